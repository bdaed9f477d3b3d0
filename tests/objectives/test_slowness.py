"""Slowness: nothing where nothing moves, about one where steps forget, and what a scale does to it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.objectives.slowness import slowness


def rows(count: int = 4000, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))


def test_what_stays_costs_nothing_and_what_is_forgotten_costs_one() -> None:
    z = rows()
    assert float(slowness(z, z)) == 0.0
    assert float(slowness(torch.ones(4, 2), torch.ones(4, 2))) == 0.0  # nor where nothing varies
    assert float(slowness(z, rows(seed=1))) == pytest.approx(1.0, abs=0.05)


@given(kept=st.floats(0, 1), scale=st.floats(0.01, 100))
def test_a_step_that_keeps_a_part_costs_the_rest_at_any_scale(kept: float, scale: float) -> None:
    z = rows()
    following = kept * z + (1 - kept**2) ** 0.5 * rows(seed=1)  # correlation `kept` between a latent and the next
    assert float(slowness(scale * z, scale * following)) == pytest.approx(1 - kept, abs=0.05)


def test_the_spread_of_latents_is_no_way_to_lower_it() -> None:
    z = rows(64).requires_grad_(True)
    (gradient,) = torch.autograd.grad(slowness(z, z + 1.0), z)
    assert float(gradient.abs().max()) == 0.0
