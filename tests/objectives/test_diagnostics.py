"""Figures of collapse on latents whose rank, time scale and content are known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.objectives.diagnostics import (
    autocorrelation,
    correlation_time,
    dead,
    deviation,
    effective_rank,
    perplexity,
    probe_r2,
    spectrum,
)

LAGS = list(range(1, 60))


def rows(count: int, size: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


@given(st.integers(1, 8))
def test_rank_is_that_of_a_cloud_in_so_many_dimensions(rank: int) -> None:
    z = rows(2000, rank, rank) @ torch.linalg.qr(rows(8, 8))[0][:rank] + 5
    assert effective_rank(z) == pytest.approx(rank, rel=0.02)
    assert int((spectrum(z) > 1e-4).sum()) == rank


def test_rank_of_known_singular_values() -> None:
    """Shares 1/2, 1/4 and 1/4: the entropy is 1.5 bits."""
    z = torch.cat([torch.diag(torch.tensor([2.0, 1.0, 1.0])), -torch.diag(torch.tensor([2.0, 1.0, 1.0]))])
    assert effective_rank(z) == pytest.approx(2**1.5)
    assert spectrum(z).tolist() == pytest.approx([0.5, 0.25, 0.25])


def test_a_point_has_rank_one_even_with_rounding() -> None:
    assert effective_rank(torch.ones(50, 4)) == pytest.approx(1.0)
    assert effective_rank(torch.ones(50, 4) + 1e-8 * rows(50, 4)) == pytest.approx(1.0)


def test_dead_dimensions_are_those_that_hardly_vary() -> None:
    z = rows(500, 4) * torch.tensor([1.0, 1.0, 0.01, 0.0])
    assert dead(z).tolist() == [False, False, True, True]
    assert deviation(z)[3] == 0
    assert dead(1 + 1e-6 * rows(500, 4)).all()


def test_perplexity_counts_what_is_used() -> None:
    assert perplexity(torch.arange(6) % 3, 10) == pytest.approx(3.0)
    assert perplexity(torch.zeros(9, dtype=torch.long), 10) == pytest.approx(1.0)
    assert perplexity(torch.zeros(0, dtype=torch.long), 10) == 0.0


def process(time: float, steps: int, seed: int) -> torch.Tensor:
    """(steps, 16) of z' = f z + noise, of variance 1, correlated by f ** lag: 1/e is reached after `time` steps."""
    factor = math.exp(-1 / time)
    z = rows(steps, 16, seed)
    z[1:] *= math.sqrt(1 - factor**2)
    for t in range(1, steps):
        z[t] += factor * z[t - 1]
    return z


@pytest.mark.parametrize("time", [3.0, 12.0])
def test_autocorrelation_of_an_autoregressive_process(time: float) -> None:
    """What is constant within an episode is no correlation."""
    episodes = [100 * seed + process(time, 8000, seed) for seed in range(4)]
    assert correlation_time(LAGS, autocorrelation(episodes, LAGS)) == pytest.approx(time, rel=0.15)


@pytest.mark.parametrize(("time", "told"), [(10.0, True), (40.0, False)])
def test_short_episodes_do_not_tell_how_slow_a_process_is(time: float, told: bool) -> None:
    """Their means follow it; what comes out is more than a tenth of an episode, and the table says so."""
    lags = range(1, 100)
    found = correlation_time(lags, autocorrelation([process(time, 200, seed) for seed in range(99)], lags))
    assert found == pytest.approx(0.85 * time, rel=0.1) if told else 20 < found < 0.7 * time


def test_a_lag_that_no_episode_has_and_what_never_changes_are_unknown() -> None:
    z = torch.arange(10.0)[:, None]
    assert [math.isnan(value) for value in autocorrelation([z], [3, 9, 10])] == [False, False, True]
    assert math.isnan(correlation_time([1, 2], autocorrelation([torch.ones(10, 3)], [1, 2])))


def test_the_time_is_interpolated_or_beyond_all_lags() -> None:
    middle = (1 + 1 / math.e) / 2
    assert correlation_time([2, 4], [middle, 0.0]) == pytest.approx(2 + 2 * (middle - 1 / math.e) / middle)
    assert correlation_time([1, 2], [0.9, 0.8]) == math.inf
    assert math.isnan(correlation_time([], []))


def test_a_probe_finds_a_linear_factor_and_nothing_in_noise() -> None:
    x, held = rows(600, 5), torch.arange(600) % 2 == 1
    exact, noise, constant = probe_r2(x, [x[:, :2] * 2 - x[:, 1:3] + 3, rows(600, 1, 1), torch.ones(600, 1)], held)
    assert exact == pytest.approx(1.0, abs=1e-3)
    assert abs(noise) < 0.05
    assert math.isnan(constant)


def test_half_of_the_variance_explained_is_half() -> None:
    x, held = rows(4000, 1), torch.arange(4000) % 2 == 1
    assert probe_r2(x, [x + rows(4000, 1, 1)], held)[0] == pytest.approx(0.5, abs=0.05)


def test_what_the_fitted_rows_never_show_is_not_asked() -> None:
    x, held = rows(600, 3), torch.arange(600) % 2 == 1
    seen, unseen = x[:, :1], held[:, None] * x[:, 1:2]
    assert probe_r2(x, [torch.cat([seen, unseen], 1)], held)[0] == pytest.approx(1.0, abs=1e-3)
    assert math.isnan(probe_r2(x, [seen], torch.ones(600, dtype=torch.bool))[0])


def test_a_probe_of_more_features_than_rows_reads_a_factor_that_most_of_them_carry() -> None:
    factor, held = rows(100, 1), torch.arange(100) % 2 == 1
    x = factor @ rows(1, 400, 1) + 0.1 * rows(100, 400, 2)
    assert probe_r2(x, [factor], held)[0] > 0.95
