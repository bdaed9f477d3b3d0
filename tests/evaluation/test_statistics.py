"""Intervals against published values, and what holds for all of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hplan.evaluation.statistics import paired_difference, rank_correlation, wilson
from hplan.types import UsageError


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Statistics in Medicine 17:857, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0000),  # method 3 of (0, 29), mirrored
    ],
)
def test_wilson_interval_is_the_published_one(successes: int, episodes: int, low: float, high: float) -> None:
    assert wilson(successes, episodes) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_holds_the_rate_and_mirrors(counts: tuple[int, int], confidence: float) -> None:
    successes, episodes = counts
    low, high = wilson(successes, episodes, confidence)
    assert 0 <= low <= successes / episodes <= high <= 1
    mirrored = wilson(episodes - successes, episodes, confidence)
    assert mirrored == pytest.approx((1 - high, 1 - low))
    wide, wider = wilson(successes, episodes, 0.9999)
    assert wide <= low and high <= wider


def test_wilson_without_episodes_knows_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("counts", [(3, 2), (-1, 2)])
def test_wilson_refuses_impossible_counts(counts: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="expected 0 <= successes <= episodes"):
        wilson(*counts)


def test_the_bootstrap_interval_is_the_normal_one_where_that_holds() -> None:
    generator = np.random.default_rng(0)
    b = generator.normal(0, 5, 400)
    a = b + generator.normal(0.3, 1.0, 400)  # the shared part, five times as wide, must cancel
    found = paired_difference(list(a), list(b))
    half = 1.96 * np.std(a - b) / 20
    assert found.mean == pytest.approx(np.mean(a - b))
    assert (found.low, found.high) == pytest.approx((found.mean - half, found.mean + half), abs=0.02)
    assert found.clear
    assert paired_difference(list(a), list(b)) == found, "seeded"
    assert not paired_difference(list(a), list(generator.permutation(b))).clear, "unpaired, it drowns"


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20), st.integers(-3, 3))
def test_a_constant_difference_has_no_width(values: list[int], shift: int) -> None:
    found = paired_difference([v + shift for v in values], values, resamples=200)
    assert (found.mean, found.low, found.high, found.clear) == (shift, shift, shift, shift != 0)


@pytest.mark.parametrize("pair", [([], []), ([1.0], [1.0, 2.0])])
def test_unpaired_samples_are_refused(pair: tuple[list[float], list[float]]) -> None:
    with pytest.raises(UsageError, match="expected the same episodes"):
        paired_difference(*pair)


IQ, TELEVISION = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110], [7, 27, 2, 50, 28, 29, 20, 12, 6, 17]


def test_rank_correlation_of_known_examples() -> None:
    found = rank_correlation(IQ, TELEVISION)
    assert found.rho == pytest.approx(-29 / 165)
    assert (found.low, found.high) == pytest.approx((-0.7279, 0.5146), abs=1e-4)
    assert rank_correlation([1, 2, 2, 3], [1, 2, 3, 4]).rho == pytest.approx(4.5 / math.sqrt(4.5 * 5)), "ties share"
    assert rank_correlation([1, 2, 3, 9], [1, 10, 100, 1e9]).rho == pytest.approx(1.0), "of ranks, not of values"
    assert rank_correlation([1, 2, 3, 9], [4, 3, 2, 1]).high == pytest.approx(-1.0)


def test_rank_correlation_where_there_is_none() -> None:
    assert math.isnan(rank_correlation([1, 1, 1, 1], [1, 2, 3, 4]).rho)
    assert math.isnan(rank_correlation([], []).rho)
    three = rank_correlation([1, 2, 3], [3, 2, 4])
    assert three.rho == pytest.approx(0.5)
    assert math.isnan(three.low) and math.isnan(three.high)
    with pytest.raises(UsageError, match="2 and 3 values: expected pairs"):
        rank_correlation([1, 2], [1, 2, 3])


@pytest.mark.parametrize("normal", [0.0, 0.8])
def test_the_interval_of_a_rank_correlation_covers_it(normal: float) -> None:
    """Spearman's rho of a bivariate normal is 6 / pi asin(r / 2)."""
    generator, rho = np.random.default_rng(0), 6 / math.pi * math.asin(normal / 2)
    samples = generator.multivariate_normal([0, 0], [[1, normal], [normal, 1]], size=(1000, 25))
    found = [rank_correlation(*pairs.T.tolist()) for pairs in samples]
    assert 0.93 < np.mean([one.low <= rho <= one.high for one in found]) < 0.97
