"""What an agent aims for, as play tells it: success, reward, the end of episodes, or nothing of its own."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from hplan.config import TaskConfig
from hplan.play.play import Play, load_play
from hplan.training.counting import are_variables
from hplan.types import HplanError, LateRewardWarning, NoSuccessWarning

FEWEST = 2  # episodes of play: one to learn from, and one to calibrate on
NO_REWARDS = (
    "levels over maps learn rewards of events alone, where a mover is told apart from what it stands on, and levels "
    "over vectors learn any: name an encoder (--encoder one-hot of symbols, convolutional of images)"
)


def aimed(folder: Path, task: TaskConfig, paid: bool, hands_out: bool = False) -> Play:
    """Play to train on, of which nothing is left of what the agent does not aim for: success, rewards or both. paid:
    whether its levels learn rewards; hands_out: whether the task hands out observations as goals, in a GoalEnv. Raises
    HplanError where there is too little, and warns where nothing in it succeeded."""
    data = load_play(folder)
    if data.episodes < FEWEST:
        raise HplanError(
            f"{folder} holds {data.episodes} episode of {data.steps} steps, too little to train on: play more steps"
        )
    goal = "observation" if task.goal == "auto" and hands_out and not data.success.any() else task.goal
    if goal == "reward" or (goal == "auto" and not hands_out):
        _warn_of_late_rewards(data, task)
    no_success, no_rewards = torch.zeros_like(data.success), torch.zeros_like(data.rewards)
    if goal == "observation":  # success was of goals that the agent cannot see in an observation
        return replace(data, success=no_success, rewards=no_rewards)
    if goal == "reward":
        if not data.rewards.any():
            raise HplanError(f"no step of {task.name} was paid anything in {data.steps:,} steps of play: play more")
        return replace(data, success=no_success)
    if data.success.any():
        if goal == "auto" and paid and are_variables(data) and _losses_differ(data):
            return replace(data, success=no_success)
        return replace(data, rewards=no_rewards)
    told = (
        f"no step of {task.name} counted as success in {data.steps:,} steps of play, of which "
        f"{int((data.rewards > 0).sum()):,} were rewarded"
    )
    if goal == "auto" and not paid and (ends := _ends_that_pay(data)) is not None:
        warnings.warn(
            f"{told}, and each costs {-float(data.rewards[data.starts(1)][0]):g}: the agent aims to end episodes soon, "
            "which is all that pays (--success terminated says so without a warning)",
            NoSuccessWarning,
            stacklevel=3,
        )
        return replace(data, success=ends, rewards=no_rewards)
    if goal == "auto" and data.rewards.any() and not paid:
        warnings.warn(
            f"{told}: the agent learns no goal of its own, since {NO_REWARDS}", NoSuccessWarning, stacklevel=3
        )
        return replace(data, rewards=no_rewards)
    if goal == "auto" and data.rewards.any():
        warnings.warn(
            f"{told} and {int((data.rewards < 0).sum()):,} cost something: the agent aims for as much reward as can be "
            "had (--goal reward says so without a warning)",
            NoSuccessWarning,
            stacklevel=3,
        )
        return data
    warnings.warn(
        f"{told}: the agent learns no goal of its own. Success is info['success'], or a reward above 0 that ends the "
        "episode: have the environment tell it, play more, choose --success terminated or --goal reward, or give "
        "`agent.reset` a goal",
        NoSuccessWarning,
        stacklevel=3,
    )
    return replace(data, rewards=no_rewards)


def _ends_that_pay(data: Play) -> Tensor | None:
    """(N,) bool: the steps that end an episode, where all steps cost the same: then nothing else is to be had. None
    where they do not, or play ended none."""
    rows = data.starts(1)
    paid, ends = data.rewards[rows], torch.zeros_like(data.success)
    ends[rows] = data.terminated[rows + 1]
    return ends if bool((paid == paid[0]).all()) and float(paid[0]) < 0 and bool(ends.any()) else None


def _losses_differ(data: Play) -> bool:
    """Whether episodes that end without success are paid now this, now that: then success is not all that counts, as in
    a game that can be drawn."""
    last = torch.nonzero(data.terminated)[:, 0] - 1
    return len(data.rewards[last[~data.success[last]]].unique()) > 1


def _warn_of_late_rewards(data: Play, task: TaskConfig) -> None:
    """Where all that is paid beside what a step usually is comes with the last one before a limit: no observation says
    when that is."""
    rows = data.starts(1)
    usual = data.rewards[rows].median()
    paid = rows[data.rewards[rows] != usual]
    cut = (data.remaining[paid] == 1) & ~data.terminated[paid + 1]
    if len(paid) > 1 and bool(cut.all()) and data.lengths.max() > 1:
        other = f" other than {float(usual):.4g}" if usual else ""
        warnings.warn(
            f"all {len(paid):,} rewards of {task.name}{other} came in the step in which an episode was cut by its "
            "limit: an agent cannot know when that is. Pay when something is achieved, end the episode there "
            "(terminated), or put the time into the observation (gymnasium.wrappers.TimeAwareObservation)",
            LateRewardWarning,
            stacklevel=4,
        )
