"""Images made of tiles become maps of symbols, with a mover apart from its ground, in a world whose tiles are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import hplan
from hplan.levels.tile_encoder import TileEncoder, tile_keys, tiles_of
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.registry import load_task, make_world
from hplan.training.tiles import Tiles, features_of, shows_tiles, tile_size
from hplan.types import ActionSpec, Episode, ObservationSpec, UsageError

SIZE, SIDE, WAYS = 8, 5, np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
KINDS = 3 + 4 * 2  # wall, floor, water; a mover that looks one of four ways, on floor or in water
TILES = np.random.default_rng(0).integers(0, 256, (KINDS, SIZE, SIZE, 3)).astype(np.uint8)
TURN, GO = 0, 1


def picture(maps: np.ndarray) -> np.ndarray:
    """(..., H, W) of kinds -> (..., 8 H, 8 W, 3)."""
    drawn = np.moveaxis(TILES[maps], -3, -4)
    return drawn.reshape(*maps.shape[:-2], maps.shape[-2] * SIZE, maps.shape[-1] * SIZE, 3)


def walks(episodes: int = 40, steps: int = 60) -> tuple[Play, np.ndarray]:
    """Somebody turns and goes on floor and through water, and the kinds of cells (N, H, W) that were drawn."""
    rng, found, shown = np.random.default_rng(1), [], []
    for seed in range(episodes):
        ground = np.zeros((SIDE, SIDE), int)
        ground[1:-1, 1:-1] = rng.integers(1, 3, (SIDE - 2, SIDE - 2))
        at, way = rng.integers(1, SIDE - 1, 2), int(rng.integers(4))
        actions, maps = (rng.random(steps) < 0.6).astype(int), []
        for action in [None, *actions]:
            if action == TURN:
                way = (way + 1) % 4
            elif action == GO and ground[tuple(at + WAYS[way])]:
                at = at + WAYS[way]
            maps.append(ground.copy())
            maps[-1][tuple(at)] = 3 + 4 * (ground[tuple(at)] - 1) + way
        nothing = np.zeros(steps, bool)
        frames = picture(np.stack(maps))
        found.append(Episode(frames, actions, nothing.astype(np.float32), nothing, nothing, False, seed))
        shown.extend(maps)
    spec = ObservationSpec("image", (SIDE * SIZE, SIDE * SIZE, 3))
    return Play.of(found, spec, ActionSpec("discrete", 2)), np.stack(shown)


PLAY, SHOWN = walks()
FOUND = Tiles.of(PLAY)


def test_the_size_of_tiles_is_found() -> None:
    assert tile_size(PLAY.observations[torch.randperm(len(PLAY))[:400]]) == SIZE


@pytest.mark.parametrize(("grid", "size"), [(1, 0), (4, 4), (8, 8)])
def test_what_moves_by_single_pixels_is_made_of_no_tiles(grid: int, size: int) -> None:
    """Though a dot on black shows but a few kinds of them, whatever it moves by."""
    at = np.random.default_rng(0).integers(0, 28 // grid + 1, (400, 2)) * grid
    frames = np.zeros((400, 32, 32, 3), np.uint8)
    for frame, (row, column) in zip(frames, np.minimum(at, 32 - max(grid, 4)), strict=True):
        frame[row : row + max(grid, 4), column : column + max(grid, 4)] = (255, 80, 0)
    assert tile_size(torch.from_numpy(frames)) == size


def test_what_is_not_made_of_tiles_has_none() -> None:
    rng = np.random.default_rng(0)
    assert tile_size(torch.from_numpy(rng.integers(0, 256, (40, 32, 32, 3)).astype(np.uint8))) == 0
    assert tile_size(torch.zeros(40, 32, 32, 3, dtype=torch.uint8)) == 0, "nothing to see"
    assert tile_size(torch.from_numpy(rng.integers(0, 256, (40, 30, 30, 3)).astype(np.uint8))) == 0


def test_a_mover_is_told_from_the_ground_that_it_is_on() -> None:
    tiles = FOUND
    assert (tiles.size, tiles.tiles.shape, tiles.features.shape) == (SIZE, (KINDS, SIZE * SIZE * 3), (KINDS, 2))
    kind = {TILES[k].tobytes(): k for k in range(KINDS)}
    order = [kind[tile.numpy().tobytes()] for tile in tiles.tiles]
    of = {k: tuple(row) for k, row in zip(order, tiles.features.tolist(), strict=True)}
    assert {of[k][1] for k in range(3)} == {0}
    for way in range(4):
        dry, wet = of[3 + way], of[7 + way]
        assert (dry[0], wet[0]) == (of[1][0], of[2][0]), "it is on what is there when it is gone"
        assert dry[1] == wet[1] > 0, "and looks the same way on either"
    assert len({of[3 + way][1] for way in range(4)}) == 4


def test_play_is_seen_as_maps_of_symbols() -> None:
    tiles = FOUND
    seen = tiles.seen(PLAY)
    assert seen.observation_spec == ObservationSpec("symbols", (SIDE, SIDE, 2), (3, 5))
    pairs, maps = np.unique(seen.observations.reshape(-1, 2).numpy(), axis=0, return_inverse=True)
    assert len(pairs) == KINDS
    for k in range(KINDS):
        assert len(np.unique(maps.reshape(SHOWN.shape)[k == SHOWN])) == 1


@given(st.integers(0, 10_000))
def test_a_tile_that_was_never_seen_is_the_nearest(seed: int) -> None:
    rng, tiles = np.random.default_rng(seed), FOUND
    options = {"latent": 4, "cardinalities": (3, 5), "vocabulary": 1, "channels": 3, "known": KINDS}
    look = TileEncoder(inputs=(2,), size=SIZE, **options)  # type: ignore[arg-type]
    look.learn(tiles.tiles, tiles.features)
    maps = rng.integers(0, KINDS, (2, SIDE, SIDE))
    frames = picture(maps)
    noisy = np.clip(frames.astype(int) + rng.integers(-3, 4, frames.shape), 0, 255).astype(np.uint8)
    assert torch.equal(look.look(torch.from_numpy(noisy)), look.look(torch.from_numpy(frames)))


def test_equal_tiles_have_equal_keys_and_others_others() -> None:
    frames = torch.from_numpy(picture(np.arange(9).reshape(1, 3, 3) % KINDS))
    keys = tile_keys(tiles_of(frames, SIZE))
    assert keys.shape == (1, 3, 3) and len(keys.unique()) == 9
    assert torch.equal(tiles_of(frames, SIZE)[0, 1, 2].view(SIZE, SIZE, 3), frames[0, 8:16, 16:24])


def test_where_nothing_moves_each_tile_is_a_symbol() -> None:
    maps = torch.zeros(len(PLAY), 3, 3, dtype=torch.long)
    maps[::2, 1, 1] = 1
    assert features_of(maps, PLAY, 2).tolist() == [[0], [1]]


def test_events_of_images_without_tiles_are_refused() -> None:
    from hplan.training.events import Events, EventSettings

    rng = np.random.default_rng(0)
    nothing = np.zeros(20, bool)
    frames, actions = rng.integers(0, 256, (21, 32, 32, 3)).astype(np.uint8), np.zeros(20, int)
    one = Episode(frames, actions, nothing * 0.0, nothing, nothing, False, 0)
    noise = Play.of([one], ObservationSpec("image", (32, 32, 3)), ActionSpec("discrete", 2))
    with pytest.raises(UsageError, match="not made of tiles: choose abstraction 'strides'"):
        Events(EventSettings(), noise, noise, count=None, seed=0)


@pytest.mark.training
def test_a_key_and_a_door_are_found_in_images(tmp_path: Path) -> None:
    """A little play, and a few steps of training: layouts that it never saw are solved."""
    task = load_task("visual/DoorKey-8x8")
    world = make_world(task)
    assert shows_tiles(world)
    world.close()
    play(task, tmp_path / "play", steps=30_000, seed=0)
    assert Tiles.of(load_play(tmp_path / "play")).features.amax(0)[1] == 8, "four ways to look, with a key and without"
    settings = {"base_steps": 200, "above_steps": 20}
    agent = hplan.learn(task.name, tmp_path / "agent", play_from=tmp_path / "play", settings=settings)
    assert len(agent.levels_info) == 2
    assert hplan.evaluate(agent, task.name, episodes=5, seed=50).successes >= 4
