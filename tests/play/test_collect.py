"""Play of the real worlds, and restarts from rare states."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_world import Corridor, Plane

from hplan.play.explore import Archive, Restorable, Start, SymbolSignature
from hplan.play.play import load_play
from hplan.play.record import play
from hplan.registry import load_task


class Counted(Corridor):
    snapshots = 0

    def snapshot(self) -> list[int]:
        self.snapshots += 1
        return super().snapshot()


def test_snapshots_are_taken_seldom_and_of_the_newest_layout() -> None:
    world = Counted()
    archive = Archive(world, SymbolSignature(2))
    for layout in range(64):
        world.state = [0, 2 + layout % 5, 0]
        archive.start(Start(world.observe(), None, seed=layout))
        for position, has in ((0, 0), (1, 0), (3, 1), (4, 1), (5, 1)):
            world.state[0], world.state[2] = position, has
            archive.visit(world.observe())  # the multiset changes once, when the key is taken
    assert len(archive) == 1
    assert world.snapshots == 7  # arrivals 1, 2, 4, ... 64
    entry = archive.restart(np.random.default_rng(0))
    assert (entry.start.seed, world.state) == (63, [3, 2 + 63 % 5, 1])
    assert np.array_equal(entry.start.observation, world.observe())


def test_rare_states_are_preferred() -> None:
    archive = Archive(Corridor(), SymbolSignature(1))
    empty, common, rare = (np.arange(8, dtype=np.uint8).reshape(1, 8, 1) < n for n in range(3))
    archive.start(Start(empty, None, seed=0))
    for arrival in range(30):
        for state in (common, empty, rare, empty) if arrival % 10 == 0 else (common, empty):
            archive.visit(state)
    drawn = Counter(int(archive.restart(np.random.default_rng(i)).start.observation.sum()) for i in range(200))
    assert drawn.keys() == {1, 2}  # never back to the start: that is what a new layout is for
    assert drawn[2] > 5 * drawn[1] > 0  # 3 arrivals against 30


def test_only_worlds_that_can_go_back_are_restorable() -> None:
    assert isinstance(Corridor(), Restorable)
    assert not isinstance(Plane(), Restorable)


def test_restarts_make_doors_open_more_often(tmp_path: Path) -> None:
    """In MiniGrid, whose objects the archive knows nothing of; play stays in training layouts."""

    def opened(restart_rare: float) -> float:
        task = load_task("minigrid/DoorKey-6x6")
        task = replace(task, play=replace(task.play, recipe="random", episode_steps=200, restart_rare=restart_rare))
        play(task, tmp_path / str(restart_rare), steps=12_000, seed=0)
        cells = load_play(tmp_path / str(restart_rare)).observations.numpy()
        return float(((cells[..., 0] == 4) & (cells[..., 2] == 0)).any((1, 2)).mean())

    assert opened(0.5) > 2 * opened(0.0) > 0


@pytest.mark.parametrize("name", ["pointmaze-medium-navigate", "pointmaze-teleport-stitch"])
def test_mazes_are_played_by_their_own_process(tmp_path: Path, name: str) -> None:
    pytest.importorskip("ogbench")
    task = load_task(f"ogbench/{name}")
    np.random.seed(1)  # noqa: NPY002  # OGBench's teleporters draw from it
    one = play(task, tmp_path / "one", steps=900, seed=3, shard_steps=450)
    np.random.seed(2)  # noqa: NPY002
    other = play(task, tmp_path / "other", steps=900, seed=3, shard_steps=450, workers=2)
    assert one.manifest == other.manifest
    data = load_play(tmp_path / "one")
    assert bool((data.actions.abs() <= 1).all())
    moved = data.observations.diff(dim=0)[data.remaining[:-1] > 0]
    assert float(moved.abs().amax(1).quantile(0.9)) <= 0.201  # 0.2 a step, where no teleporter is
    along = (data.actions[:-1][data.remaining[:-1] > 0] * moved).sum(1)
    assert float((along > -1e-3).float().mean()) > 0.95  # action t moves from observation t to t + 1
