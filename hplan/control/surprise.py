"""How far each level is from what it expects, against the threshold for a prediction that far ahead."""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.control.plans import ControlConfig, LevelPlan
from hplan.levels.calibration import Calibration, at_look_ahead, surprise
from hplan.types import WorldModel


class Surprise:
    """`now` and `threshold`, by level: the latest of each. Both are in steps of the level."""

    def __init__(
        self, levels: tuple[WorldModel, ...], calibration: tuple[Calibration, ...], config: ControlConfig
    ) -> None:
        self.levels, self.tolerance = levels, config.subgoal_tolerance
        self.thresholds = tuple(each.thresholds(config.alpha) for each in calibration)  # by level and look-ahead
        self.now: dict[int, float] = dict.fromkeys(range(len(levels)), 0.0)
        self.threshold: dict[int, float] = {k: each[0] for k, each in enumerate(self.thresholds)}

    def measure(self, k: int, plan: LevelPlan, z: Tensor, *, ended: bool = False) -> None:
        """Once a step: level k is at z (*z). A level above may also be off by as much as the controller itself let its
        subgoal step begin off the planned start. ended: the subgoal step is over, wherever it led."""
        if not len(plan.result):
            self.now[k] = 0.0
            return
        allowed = 0.0 if k == 0 or self.levels[k].capabilities.discrete else self.tolerance
        error = (off_course(self.levels[k], plan, z, ended=ended) - allowed).clamp(min=0)
        self.now[k] = float(surprise(error, plan.expected_error[plan.at]))
        self.threshold[k] = at_look_ahead(self.thresholds[k], plan.at + 1)

    def exceeded(self, k: int) -> bool:
        """Whether level k is surprised."""
        return self.now[k] > self.threshold[k]


def off_course(level: WorldModel, plan: LevelPlan, z: Tensor, *, ended: bool) -> Tensor:
    """(), in steps of the level. Level 0, or whose subgoal step has `ended`, must be where it was predicted; a level
    above on the way from where its subgoal step began to where it ends, as far from the nearer of the two as play was
    at any moment of a step."""
    expected = torch.stack([plan.target()] if level.index == 0 or ended else [plan.target(), plan.start])
    return level.distance(z.expand_as(expected), expected).min()
