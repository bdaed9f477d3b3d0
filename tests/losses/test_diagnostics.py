"""Figures of collapse on latents whose rank, time scale and content are known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.losses.diagnostics import (
    autocorrelation,
    correlation_time,
    dead,
    effective_rank,
    perplexity,
    probe_r2,
    spectrum,
)


def rows(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 8))
def test_rank_is_that_of_a_cloud_in_so_many_dimensions(rank: int) -> None:
    z = rows(2000, rank, rank) @ torch.linalg.qr(rows(8, 8))[0][:rank]
    assert effective_rank(z) == pytest.approx(rank, rel=0.02)
    assert int((spectrum(z) > 1e-4).sum()) == rank


def test_a_point_has_rank_one() -> None:
    assert effective_rank(torch.ones(50, 4)) == pytest.approx(1.0)


def test_perplexity_counts_what_is_used() -> None:
    assert perplexity(torch.arange(6) % 3, 10) == pytest.approx(3.0)
    assert perplexity(torch.zeros(9, dtype=torch.long), 10) == pytest.approx(1.0)
    assert perplexity(torch.zeros(0, dtype=torch.long), 10) == 0.0


@given(st.floats(2, 200))
def test_an_exponential_decay_is_read_off(time: float) -> None:
    lags = [2**i for i in range(12)]
    assert correlation_time(lags, [math.exp(-lag / time) for lag in lags]) == pytest.approx(time, rel=0.25)


def test_what_never_changes_has_no_time() -> None:
    assert math.isnan(correlation_time([1, 2], autocorrelation([torch.ones(9, 2)], [1, 2])))
    assert math.isinf(correlation_time([1, 2], [0.9, 0.9]))


def test_the_correlation_of_a_slow_process_is_its_own() -> None:
    """x' = 0.9 x + noise is correlated by 0.9 to the power of the lag."""
    noise, x, values = rows(20_000, 1)[:, 0], 0.0, []
    for step in noise.tolist():
        x = 0.9 * x + step
        values.append(x)
    found = autocorrelation([torch.tensor(values)[:, None]], [1, 5, 10])
    assert found == pytest.approx([0.9, 0.9**5, 0.9**10], abs=0.12)


def test_dimensions_that_hardly_vary_are_dead() -> None:
    assert dead(rows(500, 3) * torch.tensor([1.0, 0.01, 0.5])).tolist() == [False, True, False]


def test_a_probe_finds_a_linear_factor_and_nothing_in_noise() -> None:
    x, held = rows(600, 5), torch.arange(600) % 2 == 1
    linear, noise, constant = probe_r2(x, [x[:, :1] * 2 - x[:, 1:2] + 3, rows(600, 1, 1), torch.ones(600, 1)], held)
    assert linear == pytest.approx(1.0, abs=1e-3)
    assert noise < 0.05
    assert math.isnan(constant)


def test_a_probe_with_more_features_than_rows_is_defined() -> None:
    x, held = rows(60, 200), torch.arange(60) % 2 == 1
    assert math.isfinite(probe_r2(x, [x[:, :1]], held)[0])
