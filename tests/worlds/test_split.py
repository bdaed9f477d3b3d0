"""Training and evaluation never meet, and failures say where."""

from __future__ import annotations

import numpy as np
import pytest
from by_name import begin, take
from hypothesis import given
from hypothesis import strategies as st
from small_environments import Board, Corridor

from hplan.evaluation.baselines import RandomActor
from hplan.evaluation.episode import run_episode
from hplan.play.record import play
from hplan.registry import load_task, make_world, task_from_factory
from hplan.types import HplanError, UsageError
from hplan.worlds.split import derived_seed, layout_split


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 400), st.integers(0, 400))
def test_seeds_of_the_splits_are_disjoint(one, other, attempt, again):
    train, held_out = derived_seed(one, "train", attempt), derived_seed(other, "eval", again)
    assert train != held_out
    assert min(train, held_out) >= 0
    assert max(train, held_out) < 2**31
    assert train % 5 == one % 5
    assert held_out % 5 == other % 5


def test_one_layout_in_eight_is_for_evaluation():
    share = np.mean([layout_split(bytes([a, b])) == "eval" for a in range(100) for b in range(100)])
    assert 0.115 < share < 0.135


@pytest.mark.parametrize("name", ["minigrid/DoorKey-5x5", "minigrid/DoorKey-8x8", "minigrid/MultiRoom-N4-S5"])
def test_layouts_of_the_splits_are_disjoint(name):
    task, seen = load_task(name), {}
    for split in ("train", "eval"):
        world = make_world(task, split)
        seen[split] = {begin(world, seed).observation[..., :3].tobytes() for seed in range(60)}
        world.close()
    assert seen["eval"]
    assert not seen["train"] & seen["eval"]


def test_same_seed_same_start_and_other_seed_another():
    world = make_world(load_task("minigrid/DoorKey-8x8"), "eval")
    starts = [begin(world, seed).observation.tobytes() for seed in (0, 1, 0)]
    assert starts[0] == starts[2] != starts[1]


def test_layouts_are_looked_up_where_no_file_says():
    boards = task_from_factory(Board, "boards")
    train, held_out = make_world(boards, "train"), make_world(boards, "eval")
    starts = {seed: begin(train, seed).observation.tobytes() for seed in range(40)}
    assert all(layout_split(layout) == "train" for layout in starts.values())
    assert layout_split(begin(held_out, 0).observation.tobytes()) == "eval"


def test_too_few_layouts_to_hold_some_back_count_as_fixed():
    world = make_world(task_from_factory(lambda: Board(kinds=2), "two boards"), "eval")
    assert begin(world, 0).observation.shape == (4, 5, 1)


def test_a_split_without_layouts_says_so():
    from dataclasses import replace

    task = replace(task_from_factory(lambda: Board(kinds=1), "one board"), layouts="vary")
    outcomes = []
    for split in ("train", "eval"):
        try:
            make_world(task, split).reset(seed=0)
            outcomes.append("")
        except HplanError as error:
            outcomes.append(str(error))
    assert sorted(map(bool, outcomes)) == [False, True]
    assert 'layouts = "fixed"' in "".join(outcomes)


TROUBLES = {
    "raise": "the motor is stuck",
    "exit": "SystemExit: the motor is gone",
    "nan": "not finite",
    "outside": "outside its space",
    "reward": "reward inf is not finite",
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_failures_of_play_name_environment_seed_and_step(trouble, tmp_path):
    task = task_from_factory(lambda: Corridor(trouble), "corridor")
    with pytest.raises(HplanError, match=rf"corridor, seed \d+, step \d: .*{TROUBLES[trouble]}") as caught:
        play(task, tmp_path, steps=100, seed=0)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError) == (trouble not in ("raise", "exit")), "whose fault: exit status 2 or 1"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_failures_of_an_episode_name_environment_seed_and_step(trouble):
    class Seeing(RandomActor):
        def act(self, observation):
            world.codec.encode(observation)  # as agents do
            return super().act(observation)

    world = make_world(task_from_factory(lambda: Corridor(trouble), "corridor"))
    with pytest.raises(HplanError, match=rf"corridor, seed 11, step \d: .*{TROUBLES[trouble]}"):
        run_episode(Seeing(world.codec), world, seed=11)


def test_without_a_seed_the_next_episode_is_the_next_seed_s():
    world = make_world(load_task("minigrid/DoorKey-5x5"), "eval")
    known = [begin(world, seed).observation.tobytes() for seed in (7, 8, 9)]
    assert begin(world, 7).observation.tobytes() == known[0]
    assert [world.reset()[0].tobytes() for _ in range(2)] == known[1:]
    fresh = make_world(load_task("minigrid/DoorKey-5x5"), "eval")
    assert layout_split(fresh.reset()[0][..., :3].tobytes()) == "eval"


def test_only_worlds_that_can_go_back_offer_it():
    class Unpicklable(Corridor):
        def __init__(self) -> None:
            super().__init__(info={"socket": lambda: None})

    assert not hasattr(make_world(task_from_factory(Unpicklable)), "snapshot")
    world = make_world(load_task("minigrid/DoorKey-5x5"))
    start = begin(world, 5).observation
    snapshot = world.snapshot()
    moved = [take(world, action).observation for action in (0, 2, 1, 2)]
    world.restore(snapshot)
    again = [take(world, action).observation for action in (0, 2, 1, 2)]
    assert np.array_equal(moved, again)
    assert start.shape == (5, 5, 6)
