"""How long the best way through an episode is, from a world's true state: for reports, and no agent ever sees it."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

import gymnasium

from hplan.worlds.layers import layer_of
from hplan.worlds.mazes import MOVE, MazeView
from hplan.worlds.minigrid import MiniGridView
from hplan.worlds.outcome import Outcome

Start = tuple[Any, dict[str, Any]]  # what `reset` returns

STATES = 100_000  # a search that met so many gives up: some seconds
_KINGS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
State = TypeVar("State", bound=Hashable)


def optimal_steps(env: gymnasium.Env, start: Start) -> int | None:
    """The fewest environment steps from `start`, what `env.reset` just returned, to success; `env` stays as it is.

    MiniGrid: exact, by breadth-first search over all that its steps change. Point mazes: the fewest on the lattice of
    whole steps from the start (each axis by one full action, or not at all) that touch no wall, corners included, and
    keep off teleporters; actions in between save a step or two at corners. None where there is no way, where more than
    `STATES` states are met, where chance has a say, and for every other world.
    """
    maze, grid, outcome = layer_of(env, MazeView), layer_of(env, MiniGridView), layer_of(env, Outcome)
    if type(maze) is MazeView and "goal" in start[1]:  # what derives from it may change under way
        return _maze_steps(maze, start)
    return _grid_steps(grid, outcome) if type(grid) is MiniGridView and outcome is not None else None


def fewest_steps(
    start: State, following: Callable[[State], Iterable[tuple[State, bool]]], limit: int = STATES
) -> int | None:
    """Breadth-first search. following: the states one step on, each with whether that step succeeds."""
    seen, edge, steps = {start}, [start], 0
    while edge and len(seen) <= limit:
        steps, here, edge = steps + 1, edge, []
        for state in here:
            for other, success in following(state):
                if success:
                    return steps
                if other not in seen:
                    seen.add(other)
                    edge.append(other)
    return None


def _maze_steps(maze: MazeView, start: Start) -> int | None:
    x0, y0 = start[0].tolist()
    goal = tuple(start[1]["goal"].tolist())

    @cache
    def met(i: int, j: int) -> bool | None:
        """Whether (i, j) steps from the start is the goal; None where one cannot be."""
        x, y = x0 + MOVE * i, y0 + MOVE * j
        if not maze.is_clear(x, y) or maze.cell((x, y)) in maze.teleports:
            return None
        return math.dist((x, y), goal) <= maze.goal_tolerance

    def following(at: tuple[int, int]) -> Iterator[tuple[tuple[int, int], bool]]:
        for i, j in ((at[0] + i, at[1] + j) for i, j in _KINGS):
            if (success := met(i, j)) is not None:
                yield (i, j), success

    return fewest_steps((0, 0), following)


def _grid_steps(view: MiniGridView, outcome: Outcome) -> int | None:
    if view.unwrapped is not view.env or not hasattr(view, "snapshot"):  # what is around it may change it under way
        return None
    env = pickle.loads(view.snapshot())  # the search moves this copy about
    doors = [thing for thing in env.grid.grid if thing is not None and thing.type == "door"]
    chance = env.np_random.bit_generator
    untouched = chance.state

    def now() -> tuple[Hashable, ...]:  # the things themselves lie in it: each is equal to itself alone
        states = tuple((door.is_open, door.is_locked) for door in doors)
        return tuple(env.agent_pos), env.agent_dir, env.carrying, tuple(env.grid.grid), states

    def go_to(state: tuple) -> None:
        env.agent_pos, env.agent_dir, env.carrying, things, states = state
        env.grid.grid, env.step_count = list(things), 0
        for door, (is_open, is_locked) in zip(doors, states, strict=True):
            door.is_open, door.is_locked = is_open, is_locked

    def following(state: tuple) -> Iterator[tuple[tuple[Hashable, ...], bool]]:
        for action in range(view.codec.action_spec.size):
            go_to(state)
            _, reward, terminated, _, info = env.step(action)
            if chance.state != untouched:
                return
            success = outcome.succeeds(float(reward), terminated, info)
            if success or not terminated:
                yield now(), success

    return fewest_steps(now(), following)
