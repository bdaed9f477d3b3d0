"""Changes of MiniGrid's worlds: when they happen, that they can be undone or walked round, and that seeds decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from by_name import begin, take
from gymnasium import spaces
from minigrid.core.constants import OBJECT_TO_IDX
from minigrid.core.world_object import Door
from small_environments import Corridor, Reach

from hplan.config import ChangeConfig
from hplan.evaluation.statistics import wilson
from hplan.play.record import play
from hplan.registry import load_task, make_world, task_from_factory
from hplan.types import UsageError
from hplan.worlds.changing import ClosingDoors, SlipperyActions, changing

CHANGED = {
    "minigrid/DoorKey-8x8-closing": "minigrid/DoorKey-8x8",
    "minigrid/DoorKey-8x8-moving": "minigrid/DoorKey-8x8",
    "minigrid/DoorKey-8x8-slippery": "minigrid/DoorKey-8x8",
    "minigrid/FourRooms-moving": "minigrid/FourRooms",
}
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
DOOR_AT, OPEN, CLOSED = (3, 3), 0, 1


def doorway(chance: float) -> tuple[ClosingDoors, Door]:
    """An empty room with one open door at (3, 3), and the agent before it at (2, 3), looking at it."""
    env = ClosingDoors(gymnasium.make("MiniGrid-Empty-8x8-v0").unwrapped, chance)
    env.reset(seed=0)
    door = Door("yellow", is_open=True)
    env.unwrapped.put_obj(door, *DOOR_AT)
    env.unwrapped.agent_pos, env.unwrapped.agent_dir = (2, 3), 0
    return env, door


def test_a_door_closes_before_the_step_and_opens_again():
    env, door = doorway(chance=1.0)
    *_, info = env.step(FORWARD)
    assert env.unwrapped.agent_pos == (2, 3)  # it ran into it
    assert door.encode()[2] == CLOSED
    assert info["changes"] == 1
    env.step(DONE)
    assert door.encode()[2] == CLOSED
    env.step(TOGGLE)
    assert door.encode()[2] == OPEN
    *_, info = env.step(DONE)
    assert door.encode()[2] == CLOSED
    assert info["changes"] == 2


def test_no_door_closes_on_the_agent():
    env, door = doorway(chance=1.0)
    env.unwrapped.agent_pos = DOOR_AT
    for _ in range(50):
        *_, info = env.step(LEFT)
        assert door.is_open
    assert info["changes"] == 0
    for action in (RIGHT, RIGHT, FORWARD):
        env.step(action)
    assert door.is_open  # it was left in that very step
    env.step(DONE)
    assert not door.is_open
    assert not door.is_locked


def test_doors_close_as_often_as_said():
    env, door = doorway(chance=0.3)
    closed = 0
    for _ in range(1500):
        door.is_open = True
        env.step(DONE)
        closed += not door.is_open
    low, high = wilson(closed, 1500, confidence=0.999)
    assert low <= 0.3 <= high


class Recorder(Corridor):
    """Remembers which actions it was given."""

    action_space = spaces.Discrete(5, start=3)

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[int] = []

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.taken.append(action)
        return super().step(0)


def test_slips_are_as_many_as_said_and_to_every_other_action_alike():
    recorder = Recorder()
    env = SlipperyActions(recorder, chance=0.2)
    env.reset(seed=4)
    wanted = [3 + i % 5 for i in range(6000)]
    for action in wanted:
        *_, info = env.step(action)
    off = [(taken - action) % 5 for action, taken in zip(wanted, recorder.taken, strict=True)]
    slips = sum(shift > 0 for shift in off)
    assert info["changes"] == slips
    low, high = wilson(slips, len(off), confidence=0.999)
    assert low <= 0.2 <= high
    for shift in range(1, 5):
        low, high = wilson(off.count(shift), slips, confidence=0.999)
        assert low <= 1 / 4 <= high


def test_when_an_action_slips_does_not_depend_on_what_went_before():
    runs = []
    for actions in ([3] * 300, [7, 4, 5] * 100):
        recorder = Recorder()
        env = SlipperyActions(recorder, chance=0.2)
        env.reset(seed=9)
        for action in actions:
            env.step(action)
        runs.append([(taken - action) % 5 for action, taken in zip(actions, recorder.taken, strict=True)])
    assert runs[0] == runs[1]


def reachable(view: np.ndarray) -> set[tuple[int, int]]:
    """Cells (row, column) that the agent could come to if doors and things were no obstacles."""
    walls = view[..., 0] == OBJECT_TO_IDX["wall"]
    edge = [tuple(map(int, np.argwhere(view[..., 3])[0]))]
    found = set(edge)
    while edge:
        i, j = edge.pop()
        beside = {(i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)} - found
        edge += [cell for cell in beside if not walls[cell]]
        found |= set(edge)
    return found


@pytest.mark.parametrize("name", ["minigrid/DoorKey-8x8-moving", "minigrid/FourRooms-moving"])
def test_a_way_round_the_moving_wall_always_remains(name):
    world = make_world(load_task(name), "train")
    random = np.random.default_rng(0)
    moved = 0
    for seed in range(6):
        before = view = begin(world, seed).observation
        everywhere = reachable(view)
        block: set[tuple[int, int]] = set()
        for _ in range(300):
            env = world.view.unwrapped
            ahead = [(env.agent_pos[1] + n * env.dir_vec[1], env.agent_pos[0] + n * env.dir_vec[0]) for n in (1, 2, 3)]
            done = take(world, int(random.choice([LEFT, RIGHT, FORWARD, FORWARD, PICKUP, TOGGLE])))
            view = done.observation
            walls = (view[..., 0] == OBJECT_TO_IDX["wall"]) & (before[..., 0] != OBJECT_TO_IDX["wall"])
            now = {tuple(map(int, cell)) for cell in np.argwhere(walls)}
            assert len(now) <= 1
            assert reachable(view) == everywhere - now
            assert view[walls][:, 3:].sum() == 0  # nobody is inside
            if now != block:
                assert now <= set(ahead)
                block, moved = now, moved + 1
            if done.terminated or done.truncated:
                break
    assert moved > 20


@pytest.mark.parametrize(("name", "undisturbed"), CHANGED.items())
def test_an_episode_is_the_undisturbed_one_until_something_changes(name, undisturbed):
    for split in ("train", "eval"):
        changed, plain = make_world(load_task(name), split), make_world(load_task(undisturbed), split)
        assert changed.max_steps == plain.max_steps
        happened = 0
        for seed in range(50, 62):
            one, other = begin(changed, seed), begin(plain, seed)
            assert np.array_equal(one.observation, other.observation)
            random = np.random.default_rng(seed)
            for _ in range(200):
                action = int(random.integers(6))
                one, other = take(changed, action), take(plain, action)
                if changed.view.env.changes:
                    happened += 1
                    break
                assert np.array_equal(one.observation, other.observation)
                if one.terminated:
                    break
        assert happened >= 6 or name.endswith("closing")  # hardly any door is opened at random


@pytest.mark.parametrize("name", CHANGED)
def test_the_same_again_from_a_seed_and_from_a_snapshot(name):
    world = make_world(load_task(name))
    actions = np.random.default_rng(0).integers(0, 6, 120).tolist()

    def go_on() -> list[bytes]:
        return [take(world, action).observation.tobytes() for action in actions]

    begin(world, 7)
    one, snapshot = go_on(), world.snapshot()
    two = go_on()
    begin(world, 7)
    assert go_on() == one
    world.restore(snapshot)
    assert go_on() == two
    assert two != one


@pytest.mark.parametrize("name", CHANGED)
def test_play_of_a_changing_world_is_made_and_told_from_undisturbed_play(name, tmp_path):
    task = load_task(name)
    assert play(task, tmp_path, steps=600, seed=0).manifest.settings["changes"]["kind"] == task.changes.kind
    with pytest.raises(UsageError, match="holds play with settings"):
        play(replace(task, changes=replace(task.changes, chance=0.9)), tmp_path, steps=600, seed=0)


def test_slips_are_for_any_world_whose_actions_can_be_drawn():
    task = replace(task_from_factory(Corridor, "corridor"), changes=ChangeConfig("slippery", chance=1.0))
    world = make_world(task)
    start = begin(world, 0).observation.item()
    assert start == 0
    assert take(world, 0).observation.item() == 1  # of two actions, the other one
    unbounded = Reach()
    unbounded.action_space = spaces.Box(-np.inf, np.inf, (2,))
    with pytest.raises(UsageError, match=r"'slippery' needs one of several discrete actions or a box with bounds, not"):
        SlipperyActions(unbounded, 0.5)


def test_changes_of_other_worlds_are_refused():
    task = replace(load_task("minigrid/Empty-8x8"), changes=ChangeConfig("closing-corridor"))
    with pytest.raises(UsageError, match="view 'symbols' allows slippery, closing-doors, moving-wall"):
        make_world(task)


def test_nothing_is_wrapped_where_nothing_changes():
    env = Corridor()
    assert changing(env, ChangeConfig()) is env
