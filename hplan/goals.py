"""What a caller asks an agent for, as a goal with an energy for every level."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from hplan.gym_spaces import is_goal_space
from hplan.levels.stack import Stack
from hplan.planning.energy import GivenEnergy, Goal, GoalObservation, Return, Success, TaskReturn, TaskSuccess, lifted
from hplan.reading import mission_of, text_of
from hplan.types import Energy, Mission, UsageError


def goal_of(stack: Stack, goal: Any) -> Goal | None:
    """goal: an observation as the environment gives them, an energy over level-0 latents, or None: the task's own
    success, or its rewards, as what the episode asks for has it (`Stack.asked`). None comes back where it is up to the
    first observation, as in a GoalEnv, or where missions are a part of what is observed."""
    if goal is None:
        return None if hands_out(stack) or _is_to_come(stack) else _task_s_own(stack)
    if callable(goal):
        return GivenEnergy(lifted(cast(Energy, goal), stack.levels, stack.tolerance))
    return near_observation(stack, goal)


def first_goal(stack: Stack, observation: Any) -> Goal:
    """Where it is up to the first observation. Raises UsageError where that does not say, either."""
    if _is_to_come(stack):
        raise UsageError(
            f"play of {stack.task} counted on what an episode asks for: say it, agent.reset(mission=info['mission'])"
        )
    asked = stack.codec.goal(observation)
    return _task_s_own(stack) if asked is None else near_observation(stack, asked)


def aim(stack: Stack, goal: Any, mission: Any = None) -> tuple[Any, Any]:
    """The goal and the mission of a caller. What is said in words is a mission; so is a goal observation of a GoalEnv
    where missions are read: to have achieved what was achieved there."""
    if isinstance(goal, str):
        return None, goal
    if isinstance(goal, Mapping) and stack.reading and is_goal_space(stack.codec.observation_space):
        return None, stack.codec.asked(goal, "achieved_goal")
    return goal, mission


def said(stack: Stack, seen: np.ndarray, shown: Any = None) -> Mission:
    """What an observation says that its episode asks for: `seen` in canonical form, `shown` as the environment has
    it, if that is known."""
    mission = "" if shown is None else mission_of(stack.codec.asked(shown))
    return mission or (tuple(seen[list(stack.asking)].tolist()) if stack.asking else "")


def asks(stack: Stack, seen: np.ndarray, shown: Any = None) -> np.ndarray | None:
    """The same without a look at what it means, to tell whether it becomes another one."""
    if stack.asking:
        return seen[list(stack.asking)]
    heeded = stack.reading is not None or hands_out(stack)  # else it is the same goal, whatever is asked for
    return stack.codec.asks(shown) if heeded and shown is not None else None


def follows(stack: Stack, goal: Any, mission: Any, seen: np.ndarray, shown: Any = None) -> bool:
    """Whether an agent goes by what observations ask for, and on where that changes: nobody said a goal, or what was
    said (as `aim` has it) is what the first one asks for, too."""
    if goal is None:
        return mission is None or mission_of(mission) == said(stack, seen, shown)
    wanted = stack.codec.goal(shown) if isinstance(goal, Mapping) and shown is not None else None
    return wanted is not None and np.array_equal(stack.codec.encode(goal), stack.codec.encode(wanted))


def hands_out(stack: Stack) -> bool:
    """Whether its task hands out observations to make, for want of levels that read what it asks for."""
    return is_goal_space(stack.codec.observation_space) and stack.reading is None and not stack.paid


def _is_to_come(stack: Stack) -> bool:
    """Whether nobody has said yet what the episode asks for, and levels cannot do without."""
    asks = stack.codec.asking_part or stack.asking
    return not stack.mission and (stack.counts_missions or bool(stack.reading and asks))


def _task_s_own(stack: Stack) -> Goal:
    """Its success, or its rewards, where those are what was learned."""
    asked = {"label": text_of(stack.mission)} if stack.mission else {}
    if any(level.returns for level in stack.levels):
        learned = (level.returns for level in stack.levels)
        return TaskReturn(tuple(None if one is None else Return(one) for one in learned), **asked)
    energies = (None if level.success is None else Success(level.success) for level in stack.levels)
    stop = getattr(stack.levels[0], "stop", None)  # world models of a user's own know of none
    return TaskSuccess(tuple(energies), stop=stop, **asked)


def near_observation(stack: Stack, observation: Any) -> Goal:
    """To be where that observation is made."""
    return GoalObservation(stack.levels, stack.encode(stack.codec.encode(observation)), stack.tolerance)
