"""What thresholds are made of, on levels whose errors and distances are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from control.corridor import Corridor
from levels.line_levels import line_level
from levels.plays import play_of
from torch import Tensor

from hplan.levels.calibration import AHEAD
from hplan.levels.steps import Steps
from hplan.play.play import Play
from hplan.training.calibrate import CHECKED, calibrate_stack, surprises


class Walk(Corridor):
    """Latents are numbers of rows; a step is `stride` rows on, and predicted `drift` too far."""

    gradual = True

    def __init__(self, index: int, drift: float) -> None:
        super().__init__(index)
        self.drift = drift

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return z + self.stride + self.drift


def walk(rows: int) -> Play:
    """One episode that goes on by one a row."""
    return play_of(torch.arange(float(rows))[:, None], torch.ones(rows, 1), torch.arange(rows - 1, -1, -1))


def steps(level: Walk, rows: int) -> Steps:
    stride = round(level.stride)
    begin = torch.arange(rows - stride)
    return Steps(
        level,  # type: ignore[arg-type]
        walk(rows),
        torch.arange(float(rows))[:, None],
        begin,
        end=begin + stride,
        macros=torch.zeros(len(begin), dtype=torch.long),
        durations=torch.full((len(begin),), float(stride)),
        successor=(begin + stride).clamp(max=len(begin) - 1),
        follows=(rows - 1 - begin) // stride,
        kinds=None,
    )


def test_every_look_ahead_has_the_error_of_as_many_steps() -> None:
    found = surprises(steps(Walk(0, 0.25), 3000), seed=0)
    assert found.shape == (AHEAD, CHECKED)
    for ahead, errors in enumerate(found, 1):
        assert errors == pytest.approx(0.25 * ahead)


def test_above_level_0_play_may_be_anywhere_on_its_way() -> None:
    found = surprises(steps(Walk(1, 0.0), 3000), seed=0)
    assert set(found.flatten().tolist()) == {0.0, 1.0, 2.0}, "four rows a step: at most two from the nearer end"


def test_play_too_short_for_far_predictions_says_nothing_of_them() -> None:
    assert len(surprises(steps(Walk(0, 0.0), 303), seed=0)) == 3


def test_where_nothing_happened_there_is_no_surprise() -> None:
    never = replace(steps(Walk(0, 0.0), 303), follows=torch.zeros(302, dtype=torch.long))
    assert surprises(never, seed=0).shape == (1, 0)


def test_every_level_is_calibrated_on_what_the_level_below_makes_of_play() -> None:
    """Level 0 predicts each step exactly, level 1 every fourth row; of its way there, two rows are the farthest off."""
    base, above = calibrate_stack((line_level(0), line_level(1, stride=4)), walk(3000), seed=0)
    assert base.errors.shape == above.errors.shape == (AHEAD, CHECKED)
    assert not base.errors.any()
    assert {*np.unique(above.errors).tolist()} == {0.0, 0.25, 0.5}, "in steps of the level"
    assert base.thresholds() == (0.0,) * AHEAD and above.thresholds() == (0.5,) * AHEAD
