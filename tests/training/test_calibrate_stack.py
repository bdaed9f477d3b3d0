"""What thresholds and strides are made of, on levels whose errors and distances are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from control.corridor import Corridor
from hplan.training.durations import wanted_stride
from hplan.training.maps import Events
from levels.small_levels import cells_level
from torch import Tensor

from hplan.levels.calibration import AHEAD
from hplan.levels.steps import Steps
from hplan.training.calibrate import CHECKED, surprises


class Walk(Corridor):
    """Latents are numbers of rows; a step is `stride` rows on, and predicted `drift` too far."""

    exact = False

    def __init__(self, index: int, drift: float) -> None:
        super().__init__(index)
        self.drift = drift

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return z + self.stride + self.drift


def steps(level: Any, rows: int) -> Steps:
    stride = round(level.stride)
    begin = torch.arange(rows - stride)
    return Steps(
        level,
        lambda at: at.float()[:, None],
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


def test_a_level_of_symbols_is_uncertain_where_its_world_is() -> None:
    level = cells_level()
    z = level.decode(torch.zeros(2, 4, 5, dtype=torch.long))
    macro = torch.zeros(2, dtype=torch.long)
    assert level.uncertainty(z, macro).tolist() == [0.0, 0.0]
    level.certainty_.fill_(0.5)
    doubt = level.uncertainty(z, macro)
    assert bool((doubt > 0).all()) and bool((doubt < 20 / level.typical_change).all())


class Cells(Corridor):
    def decode(self, symbols: Tensor) -> Tensor:
        return symbols.flatten(1).float()


def test_the_stride_of_events_is_that_of_plans_and_not_of_play() -> None:
    """Play wandered for 10 steps from cell 1 before it entered the next block, which begins at cell 4."""
    below, level = Cells(0), Cells(1)
    play = torch.tensor([1, 2, 1, 0, 1, 2, 1, 2, 3, 3, 4])[:, None, None]
    blocks = play // 4
    one = torch.tensor([9])
    happened = Events(one, blocks[one], blocks[one + 1], torch.tensor([2]), torch.tensor([10.0]), torch.zeros(1, 2))
    assert wanted_stride(level, below, play, happened, seed=0) == 3.0  # type: ignore[arg-type]
