"""Environments that allow some actions only, and say which in `info["action_mask"]`: others raise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import networkx
import numpy as np
import pytest
from gymnasium import spaces

import hplan
from hplan.play.collect import RandomPlay, collect, rare_states
from hplan.play.curious import CuriousPlay
from hplan.play.disagreement import CuriousVectors
from hplan.play.explore import CountBasedPlay
from hplan.registry import make_world, task_of
from hplan.testing import check_task
from hplan.training.tiles import shows_tiles

SOLVED = (1, 2, 3, 4, 5, 0)
WAYS = ((-1, 0), (1, 0), (0, -1), (0, 1))


def slid(tiles: tuple[int, ...], action: int) -> tuple[int, ...] | None:
    """The tiles after the hole has gone there; None where it cannot."""
    hole = tiles.index(0)
    row, column = hole // 3 + WAYS[action][0], hole % 3 + WAYS[action][1]
    if not (0 <= row < 2 and 0 <= column < 3):
        return None
    after = list(tiles)
    after[hole], after[3 * row + column] = after[3 * row + column], 0
    return tuple(after)


class Sliding(gymnasium.Env):
    """Five tiles on two rows of three, to be brought in order."""

    observation_space: spaces.Space = spaces.MultiDiscrete([6] * 6)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.tiles, self.steps = SOLVED, 0
        while self.tiles == SOLVED:
            for _ in range(40):
                self.tiles = slid(self.tiles, int(self.np_random.choice(np.flatnonzero(self.mask())))) or self.tiles
        return self.seen(), {"action_mask": self.mask()}

    def mask(self) -> np.ndarray:
        return np.array([slid(self.tiles, action) is not None for action in range(4)], np.int8)

    def seen(self) -> Any:
        return np.array(self.tiles)

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        after = slid(self.tiles, int(action))
        if after is None:
            raise ValueError(f"{action} is illegal")
        self.tiles, self.steps = after, self.steps + 1
        done = after == SOLVED
        return self.seen(), float(done), done, self.steps >= 60, {"action_mask": self.mask()}


class InNumbers(Sliding):
    """The same, seen as numbers that are no symbols."""

    observation_space = spaces.Box(0.0, 1.0, (6,), np.float32)

    def seen(self) -> Any:
        return np.array(self.tiles, np.float32) / 7


class InPictures(Sliding):
    """The same as an image: a tile of 8 x 8 pixels for each."""

    observation_space = spaces.Box(0, 255, (16, 24, 3), np.uint8)

    def seen(self) -> Any:
        painted = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3), np.uint8)
        rows = np.array(self.tiles).reshape(2, 3)
        return np.concatenate([np.concatenate([painted[tile] for tile in row], 1) for row in rows])


class Told(Sliding):
    """The same, beside words that say which tile counts, and do not."""

    observation_space = spaces.Dict(tiles=spaces.MultiDiscrete([6] * 6), instruction=spaces.Text(20))

    def seen(self) -> Any:
        return {"tiles": np.array(self.tiles), "instruction": f"mind tile {'abcde'[self.mind]}"}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.mind = (seed or 0) % 5
        return super().reset(seed=seed, options=options)


def counting(env: Any, rng: np.random.Generator) -> CountBasedPlay:
    return CountBasedPlay(env, rng, archive=rare_states(env), restart_rare=0.3)


def random(env: Any, rng: np.random.Generator) -> RandomPlay:
    return RandomPlay(env, rng, steps=600, restart_rare=0.3)


@pytest.mark.parametrize(
    ("world", "driver"),
    [
        (Sliding, counting),
        (Sliding, random),
        (Sliding, CuriousPlay),
        (InNumbers, random),
        (InNumbers, lambda env, rng: CuriousVectors(env, rng, steps=600)),
    ],
)
def test_play_takes_what_is_allowed(world: type[Sliding], driver: Any) -> None:
    env = make_world(task_of(world))
    found = collect(env, driver(env, np.random.default_rng(0)), steps=600, episode_steps=60)
    assert found.error is None
    assert len(set(found.arrays["actions"].tolist())) == 4


def test_looks_at_a_world_before_play_do_too() -> None:
    """Of images: whether they are made of tiles. Of parts: which says what an episode asks for."""
    assert shows_tiles(make_world(task_of(InPictures)))
    assert make_world(task_of(Told)).codec.mission == "instruction"
    check_task(Sliding)


@pytest.mark.training
def test_an_agent_learns_what_is_allowed(tmp_path: Path) -> None:
    agent = hplan.learn(Sliding, tmp_path / "run", steps=8000, seed=50)
    ways = networkx.Graph()
    open_ends = [SOLVED]
    for tiles in open_ends:
        for after in filter(None, (slid(tiles, action) for action in range(4))):
            if after not in ways:
                open_ends.append(after)
            ways.add_edge(tiles, after)
    fewest = networkx.single_source_shortest_path_length(ways, SOLVED)
    assert len(fewest) == 360
    assert hplan.evaluate(agent, Sliding, method="random", episodes=5).steps_mean > 10
    env = Sliding()
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        agent.reset(seed=seed)
        first, done = env.tiles, False
        while not done:
            observation, _, done, cut, _ = env.step(agent.act(observation))
            assert not cut
        assert env.steps == fewest[first]
