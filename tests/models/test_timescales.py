"""Levels from time scales, on made-up symbols whose rates are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hplan.models.timescales import cuts, spectrum, transition_rates

# Symbols 0, 1 swap fast; 2, 3 swap fast; the pairs exchange slowly; 4 never changes.
RATES = np.array(
    [
        [0.70, 0.29, 0.01, 0.00, 0.0],
        [0.30, 0.70, 0.00, 0.00, 0.0],
        [0.01, 0.00, 0.69, 0.30, 0.0],
        [0.00, 0.00, 0.25, 0.75, 0.0],
        [0.00, 0.00, 0.00, 0.00, 1.0],
    ]
)


def test_rates_are_counted_within_episodes_only() -> None:
    maps = np.array([0, 1, 1, 0, 1])[:, None, None]
    starts = np.array([0, 1, 3])  # 2 -> 3 crosses an episode
    rates = transition_rates(maps, starts, 2)
    assert rates.tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_the_gap_between_time_scales_is_a_level() -> None:
    (cut,) = cuts(RATES)
    assert cut.merge[0] == cut.merge[1] and cut.merge[2] == cut.merge[3]
    assert len({int(cut.merge[i]) for i in (0, 2, 4)}) == cut.symbols == 3
    assert 0.01 < cut.rate < 0.25


def test_counts_of_a_simulated_chain_give_the_same_level() -> None:
    rng = np.random.default_rng(0)
    chain = [0]
    for _ in range(20_000):
        chain.append(int(rng.choice(5, p=RATES[chain[-1]])))
    maps = np.array(chain)[:, None, None]
    (cut,) = cuts(transition_rates(maps, np.arange(20_000), 5))
    assert cut.merge[0] == cut.merge[1] != cut.merge[2] == cut.merge[3]


def test_one_time_scale_is_no_level() -> None:
    assert cuts(np.full((6, 6), 1 / 6)) == []


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(0, 1000))
def test_cuts_are_nested_and_ordered(size: int, seed: int) -> None:
    rates = np.random.default_rng(seed).random((size, size)) ** 12
    rates /= rates.sum(1, keepdims=True)
    found = cuts(rates)
    assert len(spectrum(rates)) <= size - 1
    for finer, coarser in pairwise(found):
        assert finer.rate > coarser.rate
        pairs = {(a, b) for a, b in zip(finer.merge.tolist(), coarser.merge.tolist(), strict=True)}
        assert len(pairs) == finer.symbols, "a symbol of the finer level must lie in one of the coarser"
