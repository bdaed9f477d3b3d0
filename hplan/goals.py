"""What a caller asks an agent for, as a goal with an energy for every level."""

from __future__ import annotations

import warnings
from typing import Any, cast

from hplan.gym_spaces import is_goal_space
from hplan.levels.heads.success import words_of
from hplan.levels.stack import Stack
from hplan.planning.energy import GivenEnergy, Goal, GoalObservation, Return, Success, TaskReturn, TaskSuccess, lifted
from hplan.types import Energy, MissionWarning, UsageError

READABLE = 0.75  # share of a mission's words that play has to have met, or it is read as one that is like it


def goal_of(stack: Stack, goal: Any) -> Goal | None:
    """goal: an observation as the environment gives them, an energy over level-0 latents, a mission in words, or None:
    the task's own success. None comes back where it is up to the first observation, as in a GoalEnv.

    A mission is the task's success as these words have it. Where nobody reads them, for play had no more than one, say,
    it is that success whatever it says, with a MissionWarning where play never asked for it. Words that play never met
    are left out, with a MissionWarning. Where they are more than a quarter, the agent goes by the mission of play that
    is most like it; where they are all, raises UsageError."""
    if goal is None and is_goal_space(stack.codec.observation_space):
        return None
    if goal is None or isinstance(goal, str):
        return _success(stack, goal)
    if callable(goal):
        return GivenEnergy(lifted(cast(Energy, goal), stack.levels, stack.tolerance))
    return near_observation(stack, goal)


def _success(stack: Stack, mission: str | None) -> Goal:
    """The task's own, as far as its words matter to it; or its rewards, where those are what was learned."""
    rewarded = any(level.returns for level in stack.levels)
    words = {} if mission is None else {k: getattr(level, "words", ()) for k, level in enumerate(stack.levels)}
    known = {word for some in words.values() for word in some}
    met = stack.train.get("missions", [])
    if mission and not known and met and mission not in met:
        known_ones = ", ".join(map(repr, met[:3])) + ("" if len(met) < 4 else f" and {len(met) - 3} more")
        warnings.warn(
            f"mission {mission!r}: play of {stack.task} asked for {known_ones}, and the agent reads no missions: it "
            f"goes by what {'was paid' if rewarded else 'counted as success'} there",
            MissionWarning,
            stacklevel=4,
        )
    if rewarded:
        learned = (level.returns for level in stack.levels)
        return TaskReturn(tuple(None if one is None else Return(one) for one in learned))
    stop = stack.levels[0].stop
    if mission is None or not known:
        learned_by = (level.success for level in stack.levels)
        return TaskSuccess(tuple(None if head is None else Success(head) for head in learned_by), stop=stop)
    asked, read = sorted(set(words_of(mission))), mission
    if strange := [word for word in asked if word not in known]:
        what = (
            f"mission {mission!r}: play of {stack.task} never met {', '.join(map(repr, strange))}; known words are "
            f"{', '.join(sorted(known))}"
        )
        if len(strange) == len(asked):
            raise UsageError(what)
        goes_by = "by the others"
        if len(strange) > (1 - READABLE) * len(asked):
            read = next(level for k, level in enumerate(stack.levels) if words.get(k)).met(mission)
            goes_by = f"by the mission of play that is most like it, {read!r}"
        warnings.warn(f"{what}. The agent goes {goes_by}", MissionWarning, stacklevel=4)
    heads = (level.success_for(read) for level in stack.levels)
    return TaskSuccess(tuple(None if head is None else Success(head) for head in heads), label=mission, stop=stop)


def near_observation(stack: Stack, observation: Any) -> Goal:
    """To be where that observation is made."""
    return GoalObservation(stack.levels, stack.encode(stack.codec.encode(observation)), stack.tolerance)
