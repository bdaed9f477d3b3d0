"""Split-conformal thresholds: the nominal rate holds on fresh errors of the same kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.levels.calibration import Calibration, at_look_ahead, conformal_threshold, surprise


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_the_false_alarm_rate_is_nominal(alpha: float) -> None:
    rng = np.random.default_rng(0)
    rates = [(rng.gamma(2, size=500) > conformal_threshold(rng.gamma(2, size=999), alpha)).mean() for _ in range(200)]
    assert np.mean(rates) == pytest.approx(alpha, abs=0.004)


def test_too_few_errors_say_nothing() -> None:
    assert conformal_threshold(np.arange(98.0), 0.01) == math.inf
    assert conformal_threshold(np.arange(99.0), 0.01) == 98.0
    assert conformal_threshold(np.zeros(0)) == math.inf


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300), st.floats(0.02, 0.5))
def test_it_is_one_of_the_errors_and_falls_with_alpha(errors: list[float], alpha: float) -> None:
    values = np.array(errors)
    threshold = conformal_threshold(values, alpha)
    assert threshold == math.inf or threshold in values
    assert conformal_threshold(values, min(2 * alpha, 0.99)) <= threshold


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_every_look_ahead_has_its_nominal_rate(alpha: float) -> None:
    rng = np.random.default_rng(0)
    wider = np.arange(1, 5)[:, None]  # errors grow with the look-ahead
    known = Calibration(wider * rng.gamma(2, size=(4, 1000)))
    assert list(known.thresholds(alpha)) == sorted(known.thresholds(alpha))
    assert known.false_alarms(wider * rng.gamma(2, size=(4, 20_000)), alpha) == pytest.approx(alpha, abs=0.01)
    assert known.false_alarms(2 * wider * rng.gamma(2, size=(4, 1000)), alpha) > 2 * alpha, "the world changed"
    assert math.isnan(known.false_alarms(np.zeros((1, 0)), alpha))


def test_a_plan_older_than_any_look_ahead_keeps_the_last() -> None:
    assert [at_look_ahead((0.1, 0.2), steps) for steps in (1, 2, 3, 9)] == [0.1, 0.2, 0.2, 0.2]


def test_an_error_that_was_expected_counts_in_units_of_what_was_expected() -> None:
    assert surprise(torch.tensor([3.0, 3.0, 3.0]), torch.tensor([0.0, 1.0, 6.0])).tolist() == [3.0, 3.0, 0.5]
