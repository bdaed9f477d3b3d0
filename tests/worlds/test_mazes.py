"""OGBench's point mazes: exact physics, published goals, and the oracle that makes data."""

from __future__ import annotations

import numpy as np
import pytest
from by_name import begin, take

pytest.importorskip("ogbench")

from hplan.registry import load_task, make_world
from hplan.types import UsageError
from hplan.worlds.experts import OraclePlay, Paths, make_oracle

MAZES = ("medium", "large", "giant", "teleport")


def maze(size: str, split: str = "train", kind: str = "navigate"):
    return make_world(load_task(f"ogbench/pointmaze-{size}-{kind}"), split)


@pytest.mark.parametrize("size", ["medium", "teleport"])
def test_steps_that_touch_no_wall_are_mujocos_to_the_last_bit(size):
    fast, slow = maze(size), maze(size)
    slow.view.is_clear = lambda x, y: False  # then every step is MuJoCo's
    random = np.random.default_rng(0)
    begin(fast, 3)
    begin(slow, 3)
    glides = 0
    for step in range(2500):
        action = np.clip(random.uniform(-1, 1, 2) + 0.7 * np.sin(step / 60 + np.array([0, 1.3])), -1, 1)
        glides += fast.view.is_clear(*(fast.view._data.qpos + 0.2 * action))
        one, other = take(fast, action), take(slow, action)
        assert np.array_equal(fast.view._data.qpos, slow.view._data.qpos)
        assert np.array_equal(one.observation, other.observation)
        assert (one.success, one.reward) == (other.success, other.reward)
    assert 200 < glides < 2400


def test_evaluation_takes_the_five_goals_in_turn():
    world = maze("giant", "eval")
    starts = [begin(world, seed) for seed in range(10, 20)]
    assert [s.goal_name for s in starts] == ["1", "2", "3", "4", "5"] * 2
    assert world.view.goal_tolerance == 1.0
    tasks = world.view._maze.task_infos
    for start, task in zip(starts, tasks * 2, strict=True):
        assert np.abs(start.observation - task["init_xy"]).max() <= 1.0
        assert np.abs(start.goal - task["goal_xy"]).max() <= 1.0
    assert world.max_steps == 1000


def test_same_seed_same_episode_whatever_numpys_global_generator_does():
    def episode() -> list:
        world = maze("teleport", "eval")
        start = begin(world, 4)
        play = np.random.default_rng(0)
        inner = world.view
        inner._maze.set_xy(np.array(inner.centre(inner.teleports[0])) + 1.4)  # beside a teleporter
        return [start.observation, start.goal, *(take(world, play.uniform(-1, 1, 2)).observation for _ in range(20))]

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one = episode()
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert np.array_equal(one, episode())
    jumps = np.abs(np.diff(np.array(one[2:]), axis=0)).max()
    assert jumps > 3.0


def test_episodes_end_at_the_goal_in_evaluation_only():
    for split, ends in (("eval", True), ("train", False)):
        world = maze("medium", split)
        start = begin(world, 0)
        world.view._maze.set_xy(start.goal)
        done = take(world, np.zeros(2))
        assert done.success
        assert done.terminated is ends


def test_actions_are_clipped():
    world = maze("medium")
    start = begin(world, 0).observation
    world.view._maze.set_xy(np.array(world.view.centre(world.view.cell(start))))
    centre = world.view._data.qpos.copy()
    assert np.allclose(take(world, np.array([50.0, 0.0])).observation - centre, [0.2, 0.0], atol=1e-5)


def test_training_limit_is_that_of_play():
    assert maze("giant").max_steps == 2000
    assert maze("giant", kind="stitch").max_steps == 200
    world = maze("medium", kind="stitch")
    begin(world, 0)
    assert [i for i in range(200) if take(world, np.zeros(2)).truncated] == [199]


@pytest.mark.parametrize("size", MAZES)
def test_paths_agree_with_ogbench(size):
    inner = maze(size).view
    paths = Paths(inner.walls)
    random = np.random.default_rng(0)
    for _ in range(30):
        start, goal = (paths.free[i] for i in random.integers(len(paths.free), size=2))
        subgoal, table = inner._maze.get_oracle_subgoal(np.array(inner.centre(start)), np.array(inner.centre(goal)))
        assert inner.cell(subgoal) == paths.following(start, goal)
        for cell, steps in paths.distances(goal).items():
            assert table[cell] == steps


def test_corners_leave_out_straight_hallways():
    walls = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 1, 1, 0, 1], [1, 1, 1, 1, 1]], bool)
    assert Paths(walls).corners() == [(1, 1), (1, 3), (3, 3)]


@pytest.mark.parametrize("size", MAZES)
def test_oracle_is_a_ceiling(size):
    world = maze(size, "eval")
    oracle = make_oracle(world, load_task(f"ogbench/pointmaze-{size}-navigate"))
    for seed in range(5):
        start = begin(world, seed)
        observation = start.observation
        oracle.reset(start.goal, seed)
        for _ in range(world.max_steps):
            done = take(world, oracle.act(observation))
            observation = done.observation
            if done.terminated or done.truncated:
                break
        assert done.success
        assert done.terminated


def test_navigate_goes_on_to_new_goals_with_noise():
    world = maze("medium")
    play = OraclePlay(world, np.random.default_rng(0), recipe="navigate")
    observation = play.start()[0]
    goals, actions = 0, []
    for step in range(900):
        actions.append(play.act(observation, step))
        done = take(world, actions[-1])
        observation, goals = done.observation, goals + done.success
    assert goals >= 3
    assert not done.terminated
    assert np.abs(actions).max() == 1.0
    assert actions[0].dtype == np.float32


def test_stitch_stays_within_four_cells():
    world = maze("large", kind="stitch")
    play = OraclePlay(world, np.random.default_rng(1), recipe="stitch")
    inner, paths = world.view, Paths(world.view.walls)
    for _ in range(3):
        observation = play.start()[0]
        first = inner.cell(observation)
        for step in range(200):
            observation = take(world, play.act(observation, step)).observation
        assert paths.distances(first)[inner.cell(observation)] == 4


def test_play_is_a_function_of_its_generator():
    def some() -> list:
        world = maze("medium")
        play = OraclePlay(world, np.random.default_rng(7), recipe="navigate")
        observation, _, seed = play.start()
        return [seed, *(take(world, play.act(observation, i)).observation.tolist() for i in range(5))]

    assert some() == some()


def test_pictures_show_agent_and_goal():
    picture = maze("teleport", "eval")
    picture.reset(seed=0)
    text = picture.render()
    assert {"#", "@", "G", "O", "o"} <= set(text)


def test_other_worlds_have_no_oracle():
    world = make_world(load_task("minigrid/DoorKey-5x5"))
    with pytest.raises(
        UsageError, match=r"minigrid/DoorKey-5x5: only OGBench's mazes and its Powderworld have an oracle"
    ):
        make_oracle(world, load_task("minigrid/DoorKey-5x5"))
    with pytest.raises(UsageError, match="unknown recipe 'explore'"):
        OraclePlay(maze("medium"), np.random.default_rng(0), recipe="explore")
