"""The cached view of MiniGrid against encoding from scratch, and MiniGrid's own semantics."""

from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
from by_name import begin, take
from hypothesis import given
from hypothesis import strategies as st
from minigrid.core.actions import Actions
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX

from hplan.worlds.minigrid import MiniGridView, cardinalities, full_view
from hplan.worlds.outcome import Outcome

IDS = (  # doors, keys, boxes that hide keys, balls that move, lava, rooms, an agent on open doors
    "MiniGrid-DoorKey-8x8-v0",
    "MiniGrid-KeyCorridorS3R3-v0",
    "MiniGrid-BlockedUnlockPickup-v0",
    "MiniGrid-ObstructedMaze-2Dlh-v0",
    "MiniGrid-Dynamic-Obstacles-8x8-v0",
    "MiniGrid-LavaCrossingS9N1-v0",
    "MiniGrid-MultiRoom-N4-S5-v1",
    "MiniGrid-LockedRoom-v0",
    "MiniGrid-Fetch-8x8-N3-v0",
)
LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE = range(6)


def make(identity: str, *, at_least: int = 0, **options) -> Outcome:
    env = gymnasium.make(identity, disable_env_checker=True).unwrapped
    return Outcome(MiniGridView(env, identity, at_least=at_least), **options)


def free(world: MiniGridView) -> None:
    """Put the agent of DoorKey-5x5 at (1, 1) looking down, at the key at (1, 2); a door at (2, 1) on its left."""
    env = world.unwrapped
    begin(world, 0)
    for x, y in [(1, 1), (1, 2), (1, 3)]:
        env.grid.set(x, y, None)
    from minigrid.core.world_object import Door, Key

    for y in (1, 2, 3):
        env.grid.set(2, y, None)
    env.put_obj(Key("yellow"), 1, 2)
    env.put_obj(Door("yellow", is_locked=True), 2, 1)
    env.agent_pos, env.agent_dir = (1, 1), 1
    world.view._encode()


@pytest.mark.parametrize("identity", IDS)
def test_cached_view_equals_encoding_from_scratch(identity):
    world = make(identity)
    random = np.random.default_rng(0)
    observation = begin(world, 0).observation
    changed = 0
    for step in range(1500):
        assert np.array_equal(observation, full_view(world.unwrapped))
        assert (observation < np.array(cardinalities())).all()
        transition = take(world, int(random.integers(world.codec.action_spec.size)))
        changed += not np.array_equal(observation, transition.observation)
        observation = transition.observation
        if transition.terminated or transition.truncated:
            observation = begin(world, step).observation
    assert changed > 100


@pytest.mark.parametrize("identity", ["MiniGrid-DoorKey-8x8-v0", "MiniGrid-Dynamic-Obstacles-8x8-v0"])
def test_dynamics_are_the_environments_own(identity):
    world, reference = make(identity), gymnasium.make(identity).unwrapped
    begin(world, 3)
    reference.reset(seed=3)
    for action in np.random.default_rng(1).integers(0, world.codec.action_spec.size, 500).tolist():
        mine, theirs = take(world, action), reference.step(action)
        assert (mine.reward, mine.terminated, mine.truncated) == theirs[1:4]
        assert np.array_equal(mine.observation, full_view(reference))
        if mine.terminated or mine.truncated:
            begin(world, 4)
            reference.reset(seed=4)


def test_objects_are_those_of_minigrids_own_encoding():
    world = make("MiniGrid-LockedRoom-v0")
    observation = begin(world, 1).observation
    assert np.array_equal(observation[..., :3], world.unwrapped.grid.encode().transpose(1, 0, 2))


def test_view_shows_what_is_carried_and_what_is_under_the_agent():
    world = make("MiniGrid-DoorKey-5x5-v0")
    free(world)
    yellow, key, door = COLOR_TO_IDX["yellow"], OBJECT_TO_IDX["key"], OBJECT_TO_IDX["door"]
    assert full_view(world.unwrapped)[1, 1, 3:].tolist() == [2, 0, 0]  # looks down, carries nothing
    assert take(world, PICKUP).observation[1, 1, 3:].tolist() == [2, key, yellow]
    take(world, LEFT)
    opened = take(world, TOGGLE).observation
    assert opened[1, 2, :3].tolist() == [door, yellow, 0]
    inside = take(world, FORWARD).observation
    assert inside[1, 2].tolist() == [door, yellow, 0, 1, key, yellow]  # in the doorway the door is still to be seen
    assert inside[1, 1, 3:].tolist() == [0, 0, 0]
    dropped = take(world, DROP).observation
    assert dropped[1, 3, :2].tolist() == [key, yellow]
    assert dropped[1, 2, 3:].tolist() == [1, 0, 0]


def test_observations_stay_as_they_were():
    world = make("MiniGrid-DoorKey-5x5-v0")
    first = begin(world, 0).observation
    kept = first.copy()
    for action in (LEFT, FORWARD, RIGHT, RIGHT, FORWARD):
        take(world, action)
    assert np.array_equal(first, kept)


def test_success_is_a_terminating_reward_and_lava_a_violation():
    world = make("MiniGrid-LavaGapS5-v0")
    ends = set()
    random = np.random.default_rng(0)
    begin(world, 0)
    for step in range(4000):
        done = take(world, int(random.integers(3)))
        if done.terminated:
            ends.add((done.success, done.violation))
            assert done.success == (done.reward > 0)
        else:
            assert not (done.success or done.violation)
        if done.terminated or done.truncated:
            begin(world, step)
    assert ends == {(True, False), (False, True)}


def test_ending_succeeds_where_the_task_says_so():
    world = make("MiniGrid-Dynamic-Obstacles-5x5-v0", ending_succeeds=True)
    begin(world, 0)
    while not (done := take(world, FORWARD)).terminated:
        pass
    assert done.success


@pytest.mark.parametrize("identity", ["MiniGrid-KeyCorridorS3R1-v0", "MiniGrid-ObstructedMaze-1Dlh-v0"])
@given(seed=st.integers(0, 2**20), before=st.integers(0, 150))
def test_snapshot_restores_exactly(identity, seed, before):
    world = make(identity)
    random = np.random.default_rng(seed)
    begin(world, seed)
    for action in random.integers(0, 6, before).tolist():
        take(world, action)
    snapshot, here = world.snapshot(), full_view(world.unwrapped)
    actions = random.integers(0, 6, 30).tolist()

    def go_on() -> list:
        world.restore(snapshot)
        assert np.array_equal(full_view(world.unwrapped), here)
        return [take(world, a) for a in actions]

    for one, other in zip(go_on(), go_on(), strict=True):
        assert np.array_equal(one.observation, other.observation)
        assert (one.terminated, one.success) == (other.terminated, other.success)


def test_a_restored_key_corridor_still_knows_its_object():
    """KeyCorridor compares what is carried by identity, so a copy of the grid alone would never end."""
    world = make("MiniGrid-KeyCorridorS3R1-v0")
    begin(world, 0)
    env = world.unwrapped
    env.grid.set(*env.obj.cur_pos, None)
    x, y = env.front_pos
    env.put_obj(env.obj, int(x), int(y))
    world.view._encode()
    world.restore(world.snapshot())
    done = take(world, PICKUP)
    assert done.success
    assert done.terminated


def test_limit_counts_anew_after_restoring_and_can_be_raised():
    world = make("MiniGrid-FourRooms-v0", at_least=150)
    assert world.max_steps == 150
    begin(world, 0)
    for _ in range(149):
        assert not take(world, LEFT).truncated
    snapshot = world.snapshot()
    assert take(world, LEFT).truncated
    world.restore(snapshot)
    assert not take(world, LEFT).truncated
    assert len(pickle.dumps(snapshot)) < 100_000


def test_draw_and_names():
    world = make("MiniGrid-DoorKey-5x5-v0")
    free(world)
    assert world.draw().splitlines()[:3] == ["#####", "#vL #", "#k  #"]
    take(world, PICKUP)
    assert world.draw().endswith("carries a yellow key")
    assert world.codec.action_spec.names == tuple(a.name for a in Actions)
    assert make("MiniGrid-Dynamic-Obstacles-5x5-v0").codec.action_spec.names == ("left", "right", "forward")
