"""The Epps-Pulley statistic against its closed form, and what it takes for normal."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.objectives.sigreg import SIGReg, epps_pulley, sigreg


@given(at=st.floats(-2, 2))
def test_a_point_costs_what_the_integral_says(at: float) -> None:
    """|exp(i t a) - exp(-t^2 / 2)|^2 weighed by exp(-t^2 / 2), over all t."""
    exact = math.sqrt(2 * math.pi) * (1 - 2 * math.exp(-(at**2) / 4) / math.sqrt(2) + 1 / math.sqrt(3))
    assert float(epps_pulley(torch.full((8, 1), at))) == pytest.approx(exact, abs=2e-3)


def test_a_standard_normal_sample_passes_and_others_do_not() -> None:
    z = torch.randn(20_000, 3, generator=torch.Generator().manual_seed(0))
    healthy = float(epps_pulley(z).max())
    assert healthy < 1e-3
    for other in (2 * z, z / 2, z + 1, z.sign()):
        assert float(epps_pulley(other).min()) > 20 * healthy


def test_gaussian_features_that_are_copies_of_one_another_are_seen_from_the_side() -> None:
    """Each feature alone is normal; only a direction between them shows that they are one."""
    z = torch.randn(4096, 8, generator=torch.Generator().manual_seed(0))
    line = z[:, :1].expand(-1, 8)
    assert float(epps_pulley(line).mean()) < 1e-2
    assert float(sigreg(line)) > 20 * float(sigreg(z))


def test_directions_follow_from_the_seed() -> None:
    z = torch.rand(64, 4, generator=torch.Generator().manual_seed(0))
    spread = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        spread.append(float(SIGReg(4).spread(z)))
    assert spread[0] == spread[1] != spread[2]
