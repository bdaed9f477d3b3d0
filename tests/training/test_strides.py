"""The rule for strides and depth, on worlds whose travel time and whose model's errors are known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.levels.level import Level
from hplan.training.strides import next_ratio, reliable_horizon, travel_time, worth_a_level
from hplan.training.vectors import Play


class Line(Level):
    """A level 0 over positions on a line that predicts every step `drift` too long."""

    def __init__(self, drift: float) -> None:
        super().__init__(index=0, inputs=1, macros=1, macro_kind="continuous", macro_low=(-1.0,), macro_high=(1.0,))
        self.drift = drift

    def encode(self, below: torch.Tensor) -> torch.Tensor:
        return below

    def predict(self, z: torch.Tensor, macro: torch.Tensor) -> torch.Tensor:
        return z + macro + self.drift


def walk(length: int, episodes: int = 4) -> Play:
    """Episodes that go from 0 to `length` in steps of one."""
    below = torch.arange(length + 1.0).repeat(episodes)[:, None]
    return Play(below, torch.ones(len(below), 1), torch.arange(length, -1, -1).repeat(episodes))


@pytest.mark.parametrize(("drift", "steps"), [(0.0, 16), (0.2, 2), (0.09, 5), (0.7, 1)])
def test_a_level_is_reliable_until_its_error_is_half_a_step(drift: float, steps: int) -> None:
    assert reliable_horizon(Line(drift).eval(), walk(40)) == steps


def test_episodes_too_short_for_one_step_say_nothing() -> None:
    level = Line(0.0).eval()
    level.stride = 50.0
    assert reliable_horizon(level, walk(40)) == 1


def test_travel_time_is_that_of_a_long_trip() -> None:
    there = travel_time(walk(100), seed=0)
    assert 60 <= there <= 100  # nine trips in ten along a line of 100 steps are shorter than 69, one way only


def test_travel_time_stitches_episodes() -> None:
    """No episode is longer than 30 steps, and yet the far end is 90 away."""
    starts = range(0, 61, 10)
    below = torch.cat([torch.arange(s, s + 31.0) for s in starts])[:, None]
    play = Play(below, torch.ones(len(below), 1), torch.arange(30, -1, -1).repeat(len(starts)))
    assert travel_time(play, seed=0) > 45


def test_a_place_that_is_never_left_takes_a_step() -> None:
    play = Play(torch.zeros(11, 1), torch.zeros(11, 1), torch.arange(10, -1, -1))
    assert travel_time(play, seed=0) == 1.0


@given(st.floats(1, 1e5), st.integers(1, 16))
def test_ratios_stay_within_what_is_reliable_and_balanced(trip: float, reliable: int) -> None:
    ratio = next_ratio(trip, reliable)
    assert ratio == 2 or (ratio <= reliable and ratio <= trip**0.5 + 0.5)


def test_short_trips_need_no_level_and_long_ones_do() -> None:
    assert not worth_a_level(16, next_ratio(16, 16))
    assert worth_a_level(340, next_ratio(340, 7))
    assert not worth_a_level(10, 3)
