"""A maze in which a corridor closes: which one, when, that it is a wall like every other, and where the goal stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from by_name import begin, take

pytest.importorskip("ogbench")

from hplan.play.record import play
from hplan.registry import load_task, make_world
from hplan.worlds.closing import ClosingMaze
from hplan.worlds.experts import OraclePlay, Paths, make_oracle

SIZES = ("medium", "giant")


def maze(size: str, split: str = "eval", kind: str = "closing") -> Any:
    return make_world(load_task(f"ogbench/pointmaze-{size}-{kind}"), split)


def closed(inner: ClosingMaze) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in np.argwhere(inner.walls & ~inner._plan)]


def on_the_way(world: Any, seed: int, steps: int = 1000):
    """The oracle's episode: its transitions, until it ends."""
    oracle = make_oracle(world, load_task("ogbench/pointmaze-medium-closing"))
    start = begin(world, seed)
    oracle.reset(start.goal, seed)
    observation = start.observation
    for _ in range(steps):
        done = take(world, oracle.act(observation))
        yield done
        observation = done.observation
        if done.terminated or done.truncated:
            return


@pytest.mark.parametrize("size", SIZES)
def test_oracle_is_a_ceiling_and_a_cell_ahead_closes(size):
    world = maze(size)
    inner, happened = world.view, 0
    for seed in range(50, 60):
        before = None
        for done in on_the_way(world, seed):
            if inner.changes and before is not None:
                (cell,) = closed(inner)
                goal = inner.cell(inner._maze.cur_goal_xy)
                here = inner.cell(before)
                assert cell in Paths(inner._plan).way(here, goal)[:-1]
                assert here in Paths(inner.walls).distances(goal)
                assert np.abs(before - inner.centre(cell)).max() > 2.7  # half a cell and the ball's radius
                happened, before = happened + 1, None
            elif not inner.changes:
                before = done.observation
            assert inner.cell(done.observation) not in closed(inner)
        assert done.success
    assert happened >= 9


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("split", ["train", "eval"])
def test_an_episode_is_the_undisturbed_one_to_the_last_bit_until_a_corridor_closes(size, split):
    changed, plain = maze(size, split), maze(size, split, "navigate")
    assert changed.max_steps == plain.max_steps
    touches = 0
    for seed in (50, 51, 52):  # the second and the third begin where a wall is to be taken away again
        one, other = begin(changed, seed), begin(plain, seed)
        assert closed(changed.view) == []
        assert np.array_equal(one.observation, other.observation)
        assert np.array_equal(one.goal, other.goal)
        assert one.goal_name == other.goal_name
        random = np.random.default_rng(seed)
        for step in range(1500):
            action = np.clip(random.uniform(-1, 1, 2) + 0.7 * np.sin(step / 40 + np.array([0, 1.3])), -1, 1)
            touches += not plain.view.is_clear(*(plain.view._data.qpos + 0.2 * action))
            one, other = take(changed, action), take(plain, action)
            if changed.view.changes:
                break
            assert np.array_equal(changed.view._data.qpos, plain.view._data.qpos)
            assert (one.success, one.terminated) == (other.success, other.terminated)
        assert changed.view.changes
    assert touches > 20


def farthest(world: Any, cell: tuple[int, int], side: tuple[int, int]) -> float:
    """How near to the middle of `cell` a ball comes that is pushed at it from the middle of the cell at its `side`."""
    inner = world.view
    from_cell = cell[0] + side[0], cell[1] + side[1]
    inner._maze.set_xy(np.array(inner.centre(from_cell)))
    push = -np.array([side[1], side[0]], float)  # x is the column
    return min(np.abs(take(world, push).observation - inner.centre(cell)).max() for _ in range(40))


def test_a_closed_cell_is_a_wall_like_every_other():
    world = maze("medium")
    for _ in on_the_way(world, 53):
        if world.view.changes:
            break
    (cell,) = closed(world.view)
    beside = [(i, j) for i, j in ((-1, 0), (1, 0), (0, -1), (0, 1)) if not world.view.walls[cell[0] + i, cell[1] + j]]
    assert beside
    wall = farthest(world, (0, 1), (1, 0))
    for side in beside:
        assert farthest(world, cell, side) == pytest.approx(wall, abs=1e-3)
    assert wall > 2.5
    begin(world, 54)
    assert farthest(world, cell, beside[0]) < 0.5  # open again


def test_same_seed_same_cell_at_the_same_step():
    def changes() -> list:
        world = maze("giant")
        found = []
        for seed in (50, 51, 52):
            for step, _ in enumerate(on_the_way(world, seed)):
                if world.view.changes:
                    found.append((step, closed(world.view)))
                    break
        return found

    one = changes()
    assert one == changes()
    assert len({str(cell) for _, cell in one}) > 1
    assert len({step for step, _ in one}) == 3


def test_pictures_show_what_is_closed():
    world = maze("medium")
    for _ in on_the_way(world, 53):
        pass
    assert world.render().count("#") == 2 * int(world.view._plan.sum() + 1)


def test_play_goes_on_round_what_closed(tmp_path):
    world = maze("medium", "train")
    player = OraclePlay(world, np.random.default_rng(0), recipe="navigate")
    observation = player.start()[0]
    goals = 0
    for step in range(1000):
        done = take(world, player.act(observation, step))
        observation = done.observation
        goals += done.success and world.view.changes
    assert goals >= 2
    task = load_task("ogbench/pointmaze-medium-closing")
    assert play(task, tmp_path, steps=500, seed=0).manifest.settings["changes"]["when"] == [0.1, 0.4]
