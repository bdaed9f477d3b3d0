"""What a caller asks an agent for, as a goal with an energy for every level."""

from __future__ import annotations

from typing import Any, cast

from hplan.gym_spaces import is_goal_space
from hplan.levels.stack import Stack
from hplan.planning.energy import GivenEnergy, Goal, GoalObservation, Success, TaskSuccess, lifted
from hplan.types import Energy


def goal_of(stack: Stack, goal: Any) -> Goal | None:
    """goal: an observation as the environment gives them, an energy over level-0 latents, or None: the task's own
    success. None comes back where it is up to the first observation, as in a GoalEnv."""
    if goal is None and is_goal_space(stack.codec.observation_space):
        return None
    if goal is None:
        heads = (None if level.success is None else Success(level.success) for level in stack.levels)
        return TaskSuccess(tuple(heads))
    if callable(goal):
        return GivenEnergy(lifted(cast(Energy, goal), stack.levels, stack.tolerance))
    return near_observation(stack, goal)


def near_observation(stack: Stack, observation: Any) -> Goal:
    """To be where that observation is made."""
    return GoalObservation(stack.levels, stack.encode(stack.codec.encode(observation)), stack.tolerance)
