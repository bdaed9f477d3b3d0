"""What an episode asks for, where that changes on the way: cut after success, and told of each part."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from raw_worlds import Point, Rounds

from hplan.codec import Codec
from hplan.play.collect import RandomPlay, collect
from hplan.play.next_goals import Asked
from hplan.registry import make_world, task_of
from hplan.types import Mission

BOX = spaces.Box(-9.0, 9.0, (1,), np.float32)
CODEC = Codec.of(spaces.Dict(observation=BOX, achieved_goal=BOX, desired_goal=BOX), spaces.Discrete(2), "numbers")


def stretches(asked: list[float], reached: list[int]) -> list[tuple[int, int, Mission]]:
    """Of an episode whose observations ask for these numbers, where these steps succeed."""
    found = Asked(CODEC)
    for number, goal in enumerate(asked):
        seen = {"observation": [0.0], "achieved_goal": [0.0], "desired_goal": [goal]}
        found.see({name: np.array(value, np.float32) for name, value in seen.items()}, number)
    success = np.zeros(len(asked) - 1, bool)
    success[reached] = True
    return found.stretches(success)


@pytest.mark.parametrize(
    ("asked", "reached", "told"),
    [
        ([1, 1, 1, 1], [2], [(0, 3, (1,))]),
        ([1, 1, 2, 2], [1], [(0, 2, (1,)), (2, 3, (2,))]),  # seen with the success
        ([1, 1, 1, 2, 2], [1], [(0, 2, (1,)), (2, 4, (2,))]),  # one observation later
        ([1, 2, 2, 2], [], [(0, 3, (2,))]),  # the first is of the time before
        ([1, 2, 2, 3], [0, 2], [(0, 1, (1,)), (1, 3, (2,))]),  # a last one that nothing is done for
        ([1, 1, 2, 2], [], [(0, 3, "")]),  # for no reason that is known
        ([1, 1, 2, 2, 3, 3], [3], [(0, 4, ""), (4, 5, (3,))]),  # known again after success
        ([1, 2, 3, 4], [0, 1, 2], [(0, 1, (1,)), (1, 2, (2,)), (2, 3, (3,))]),  # every step
    ],
)
def test_an_episode_is_cut_where_success_is_followed_by_another_goal(
    asked: list[float], reached: list[int], told: list[tuple[int, int, Mission]]
) -> None:
    assert stretches(asked, reached) == told


@given(st.data())
def test_no_step_is_lost_and_none_is_there_twice(data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, 12))
    asked = data.draw(st.lists(st.sampled_from([1.0, 2.0]), min_size=steps + 1, max_size=steps + 1))
    reached = data.draw(st.lists(st.integers(0, steps - 1), unique=True))
    found = stretches(asked, reached)
    assert [step for first, end, _ in found for step in range(first, end)] == list(range(steps))
    assert all(end > first for first, end, _ in found)


@pytest.mark.parametrize("at_once", [True, False])
def test_play_of_goals_that_follow_each_other_is_an_episode_for_each(at_once: bool) -> None:
    env = make_world(task_of(lambda: Rounds(at_once=at_once), "auto"))
    play = collect(env, RandomPlay(env, np.random.default_rng(0), steps=3000), steps=3000, episode_steps=60).arrays
    lengths, missions = play["lengths"], play["missions"]
    assert lengths.sum() == 3000 and len(lengths) > 60 > 3000 / 60
    ends = np.cumsum(lengths + 1) - 1
    begins = ends - lengths
    # a goal that is reached in its first step, and seen late, cannot be told from one that is seen at once
    told = 1.0 if at_once else 0.9
    assert play["success"][ends - 1].sum() >= told * play["success"].sum() > 10, "the last step of one succeeds"
    reached = play["success"][ends - 1]
    apart = np.linalg.norm(play["observations"][ends, :2] - missions, axis=1)
    assert (apart[reached] < 0.3).mean() >= told, "and where it ends, there is what it asks for"
    assert not play["actions"][ends].any()
    onwards = reached[:-1] & (lengths[:-1] % 60 > 0)
    same = (play["observations"][begins[1:]] == play["observations"][ends[:-1]]).all(1)
    assert same[onwards & (play["seeds"][1:] == play["seeds"][:-1])].all()


def test_a_world_of_one_goal_is_left_alone() -> None:
    env = make_world(task_of(Point, "auto"))
    play = collect(env, RandomPlay(env, np.random.default_rng(0), steps=600), steps=600, episode_steps=60).arrays
    assert (play["lengths"] == 60).all() and len(np.unique(play["missions"], axis=0)) == 10
