"""Variance and covariance against their definitions, and against the two ways to collapse."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.objectives.vicreg import VICReg, covariance, variance


def test_a_point_costs_all_of_the_variance_and_a_spread_cloud_nothing() -> None:
    cloud = torch.randn(4096, 4, generator=torch.Generator().manual_seed(0)) * 1.5
    assert float(variance(torch.zeros(8, 3))) > 0.98
    assert float(variance(cloud)) == 0.0


def test_a_constant_feature_still_has_a_finite_gradient() -> None:
    z = torch.zeros(8, 3, requires_grad=True)
    variance(z).backward()
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())


@given(seed=st.integers(0, 10_000), size=st.integers(2, 6))
def test_covariance_is_the_sum_of_squared_off_diagonals(seed: int, size: int) -> None:
    z = torch.randn(32, size, generator=torch.Generator().manual_seed(seed))
    matrix = torch.cov(z.T)
    expected = sum(float(matrix[i, j]) ** 2 for i in range(size) for j in range(size) if i != j) / size
    assert abs(float(covariance(z)) - expected) < 1e-4


def test_copies_of_one_feature_cost_more_than_independent_ones() -> None:
    z = torch.randn(512, 4, generator=torch.Generator().manual_seed(0))
    assert float(covariance(z[:, :1].expand(-1, 4))) > 10 * float(covariance(z))


def test_as_an_objective_it_is_the_error_and_ten_of_variance_and_one_of_covariance() -> None:
    z = torch.randn(64, 4, generator=torch.Generator().manual_seed(0)) / 2
    assert torch.allclose(VICReg(4).spread(z), 10 * variance(z) + covariance(z))
    cost = VICReg(4).agreement(z, z + 0.5, torch.arange(64))
    assert torch.allclose(cost, torch.ones(64), atol=1e-5)
