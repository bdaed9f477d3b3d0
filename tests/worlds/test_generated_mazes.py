"""Generated mazes: connected, different, of the sizes and distances that they say, and with OGBench's physics."""

from __future__ import annotations

import numpy as np
import pytest
from by_name import begin, take

pytest.importorskip("ogbench")

from hplan.registry import load_task, make_world
from hplan.testing import check_task
from hplan.types import UsageError
from hplan.worlds.experts import OraclePlay, Paths, make_oracle
from hplan.worlds.generated_mazes import BANDS, EVALUATION, SIZES, STEPS, TRAINING, DiverseMaze, generate, layouts

TASK = load_task("mazes/unseen")


@pytest.fixture(scope="module")
def held_out():
    return make_world(TASK, "eval")


@pytest.mark.parametrize("size", SIZES)
def test_generated_mazes_are_connected_and_have_loops(size):
    loops = 0
    for seed in range(10):
        walls = generate(np.random.default_rng(seed), size)
        assert walls.shape == (size, size)
        assert walls[[0, -1]].all() and walls[:, [0, -1]].all()
        paths = Paths(walls)
        assert set(paths.distances(paths.free[0])) == set(paths.free)
        assert not walls[1::2, 1::2].any() and walls[::2, ::2].all()
        rooms = (size // 2) ** 2
        loops += len(paths.free) - rooms - (rooms - 1)  # a tree opens one wall for each room but the first
    assert loops > 0


def test_layouts_are_25_and_20_others():
    training, held_out = layouts(held_out=False), layouts(held_out=True)
    assert (len(training), len(held_out)) == (TRAINING, EVALUATION) == (25, 20)
    assert len({walls.tobytes() for walls in training + held_out}) == 45
    sizes = {int((~walls).any(0).sum()) + 2 for walls in training}
    assert sizes == set(SIZES)


def test_goals_are_as_far_as_their_band_says(held_out):
    shown = set()
    for seed in range(30):
        start = begin(held_out, seed)
        least, most = BANDS[seed % 3]
        assert start.goal_name == f"{least}-{most}"
        maze = held_out.view
        cells = Paths(maze.walls).distances(maze.cell(start.goal))[maze.cell(start.observation)]
        assert least <= cells <= most
        assert held_out.max_steps == STEPS * cells
        shown.add(start.context.tobytes())
    assert len(shown) > 5
    assert shown <= {walls.astype(np.uint8).tobytes() for walls in layouts(held_out=True)}


def test_the_image_is_where_the_ball_can_be_and_where_it_cannot(held_out):
    start = begin(held_out, 3)
    spec, maze = held_out.codec.observation_spec, held_out.view
    x, y, pixel = spec.context_frame
    column, row = ((start.observation - (x, y)) / pixel).round().astype(int)
    assert (row, column) == maze.cell(start.observation)
    assert start.context.shape == spec.context and not start.context[row, column]
    assert np.array_equal(start.context == 1, maze.walls)


def test_walls_are_those_of_the_layout_that_is_there_now(held_out):
    maze, random = held_out.view, np.random.default_rng(0)
    for seed in (1, 2, 3):
        begin(held_out, seed)
        for step in range(400):
            direction = random.uniform(-1, 1, 2) if step % 40 == 0 else direction  # noqa: F821
            seen = take(held_out, direction).observation
            row, column = maze.cell(seen)
            assert not maze.walls[row, column]


def test_a_step_that_touches_a_wall_is_the_undisturbed_mazes_to_the_last_bit():
    """A world that has been through other layouts, and one that has not."""
    walls = layouts(held_out=False)
    first, second = (make_world(TASK, "train").view for _ in range(2))
    assert isinstance(first, DiverseMaze) and isinstance(second, DiverseMaze)
    for seed in (7, 8, 9):
        begin(first, seed)
    assert np.array_equal(begin(first, 5).observation, begin(second, 5).observation)
    assert any(np.array_equal(first.walls, wall) for wall in walls)
    for step in range(300):
        action = np.array([np.sin(step / 50), np.cos(step / 50)])
        assert np.array_equal(take(first, action).observation, take(second, action).observation)


def test_play_and_oracle(held_out):
    oracle = make_oracle(held_out, TASK)
    for seed in range(6):
        start = begin(held_out, seed)
        oracle.reset(start.goal, seed)
        seen, done = start.observation, False
        for _ in range(held_out.max_steps // 2):
            transition = take(held_out, oracle.act(seen))
            seen, done = transition.observation, transition.success
            if done:
                break
        assert done
    play = OraclePlay(make_world(TASK, "train"), np.random.default_rng(0), recipe="navigate")
    shown = {play.start()[1].tobytes() for _ in range(40)}
    assert len(shown) > 10
    assert shown <= {walls.astype(np.uint8).tobytes() for walls in layouts(held_out=False)}


def test_nothing_closes_in_it():
    from dataclasses import replace

    from hplan.config import ChangeConfig

    with pytest.raises(UsageError, match="view 'layout' allows none"):
        make_world(replace(TASK, changes=ChangeConfig("closing-corridor")))


def test_the_task_is_sound():
    check_task("mazes/unseen")
