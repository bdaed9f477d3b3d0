"""The length of the best way: exact on worlds made by hand, and what the worlds' own steps agree with."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from by_name import begin, take
from minigrid.core.world_object import Door, Key, Lava, Wall

from hplan.registry import load_task, make_world
from hplan.worlds.minigrid import MiniGridView, full_view
from hplan.worlds.optimal import fewest_steps, optimal_steps
from hplan.worlds.outcome import Outcome

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE = range(6)
NOWHERE = (np.zeros(2, np.float32), {})  # a grid's way begins where the world is


def grid(identity: str) -> Outcome:
    world = Outcome(MiniGridView(gymnasium.make(identity, disable_env_checker=True).unwrapped, identity))
    begin(world, 50)
    return world


def two_rooms(key: str) -> Outcome:
    """Walls but for a locked yellow door at (2, 1); the agent at (1, 1) looks at a key below; the goal is at (3, 3)."""
    world = grid("MiniGrid-DoorKey-5x5-v0")
    env = world.unwrapped
    for x, y in [(1, 1), (1, 2), (1, 3)]:
        env.grid.set(x, y, None)
    for y in (2, 3):
        env.grid.set(2, y, Wall())
    env.put_obj(Key(key), 1, 2)
    env.put_obj(Door("yellow", is_locked=True), 2, 1)
    env.agent_pos, env.agent_dir = (1, 1), 1
    world.restore(world.snapshot())
    return world


def test_a_graph_has_its_shortest_path_and_a_limit():
    def following(n: int) -> list[tuple[int, bool]]:
        return [(other, other == 24) for other in (n + 1, n + 5) if other < 25]

    assert fewest_steps(0, following) == 8
    assert fewest_steps(0, following, limit=10) is None
    assert fewest_steps(0, lambda n: []) is None


def test_an_empty_room_takes_its_sides_and_a_turn():
    assert optimal_steps(grid("MiniGrid-Empty-5x5-v0"), NOWHERE) == 5
    assert optimal_steps(grid("MiniGrid-Empty-8x8-v0"), NOWHERE) == 11


def test_a_door_takes_its_key_and_one_of_another_colour_never_opens():
    world = two_rooms("yellow")
    for left, action in zip(
        range(8, 0, -1), (PICKUP, LEFT, TOGGLE, FORWARD, FORWARD, RIGHT, FORWARD, FORWARD), strict=True
    ):
        assert optimal_steps(world, NOWHERE) == left
        done = take(world, action)
    assert done.success
    assert optimal_steps(two_rooms("red"), NOWHERE) is None


@pytest.mark.parametrize("seed", [50, 51, 52])
def test_the_best_way_can_be_walked_step_by_step(seed):
    """Bellman: in every state some action leaves one step less, and none leaves fewer."""
    world = make_world(load_task("minigrid/DoorKey-5x5"), "eval")
    best = optimal_steps(world, world.reset(seed=seed))
    for left in range(best, 0, -1):
        here, after = world.snapshot(), {}
        for action in range(6):
            world.restore(here)
            done = take(world, action)
            after[action] = 0 if done.success else optimal_steps(world, NOWHERE)
        assert min(after.values()) == left - 1
        world.restore(here)
        done = take(world, min(after, key=after.__getitem__))
    assert done.success


def test_looking_for_it_changes_nothing():
    world = grid("MiniGrid-KeyCorridorS3R1-v0")
    before, random = full_view(world.unwrapped), world.unwrapped.np_random.bit_generator.state
    assert optimal_steps(world, NOWHERE) > 5
    assert np.array_equal(before, full_view(world.unwrapped))
    assert random == world.unwrapped.np_random.bit_generator.state
    assert world.unwrapped.step_count == 0


def test_lava_is_no_way():
    world = grid("MiniGrid-LavaGapS5-v0")
    assert optimal_steps(world, NOWHERE) is not None
    world.unwrapped.put_obj(Lava(), *world.unwrapped.gap_pos)
    assert optimal_steps(world, NOWHERE) is None


def test_where_chance_or_another_rule_is_at_work():
    assert optimal_steps(grid("MiniGrid-Dynamic-Obstacles-5x5-v0"), NOWHERE) is None
    corridor = make_world(load_task("gym:CliffWalking-v1"), "eval")
    assert optimal_steps(corridor, begin(corridor, 0)) is None

    class Changing(MiniGridView):
        """May do anything under way."""

    changing = Outcome(Changing(grid("MiniGrid-Empty-5x5-v0").unwrapped, "changing"))
    changing.reset(seed=0)
    assert optimal_steps(changing, NOWHERE) is None


def maze(size: str):
    pytest.importorskip("ogbench")
    return make_world(load_task(f"ogbench/pointmaze-{size}-navigate"), "eval")


def between(inner, start: tuple[int, int], goal: tuple[int, int], off: tuple[float, float]) -> tuple:
    """From the middle of a cell to beside the middle of another."""
    there = np.array(inner.centre(goal)) + off
    return np.array(inner.centre(start), np.float32), {"goal": there.astype(np.float32)}


def test_ways_through_a_maze_counted_by_hand():
    """Cells are 4 wide, a step is 0.2 along both axes at once, the goal is reached 1 from it, and the ball's middle
    stays 0.71 from walls. (2, 1), (2, 2) and (3, 2) are free, and (3, 1) is a wall."""
    inner = maze("medium").view
    assert inner.walls[3, 1] and not inner.walls[[2, 2, 3], [1, 2, 2]].any()
    assert optimal_steps(inner, between(inner, (2, 1), (2, 2), (0.1, 0.0))) == 16, "ceil((4.1 - 1) / 0.2)"
    # after 13 steps x is 2.6 and y, along the wall, 1.2; the next is past it, y 1.4; 9 more for y to be within 1 of 4.1
    assert optimal_steps(inner, between(inner, (2, 1), (3, 2), (0.0, 0.1))) == 23
    walled = between(inner, (2, 1), (0, 0), (0.0, 0.0))
    assert optimal_steps(inner, walled) is None


@pytest.mark.parametrize("size", ["medium", "giant"])
def test_the_scripted_oracle_is_no_faster(size):
    from hplan.worlds.experts import make_oracle

    world = maze(size)
    oracle = make_oracle(world, load_task(f"ogbench/pointmaze-{size}-navigate"))
    for seed in range(50, 55):
        observation, info = world.reset(seed=seed)
        best = optimal_steps(world, (observation, info))
        assert best >= (np.abs(info["goal"] - observation).max() - 1.0) / 0.2
        oracle.reset(info["goal"], seed)
        steps, done = 0, None
        while done is None or not done.terminated:
            done = take(world, oracle.act(observation))
            observation, steps = done.observation, steps + 1
        assert 0.75 * steps < best <= steps + 1


def test_teleporters_are_no_way():
    world = maze("teleport")
    start = world.reset(seed=50)
    round_them = optimal_steps(world, start)
    pads, world.view.teleports = world.view.teleports, ()
    assert pads
    assert optimal_steps(world, start) < round_them
