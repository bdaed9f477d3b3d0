"""InfoNCE: chance level, certainty, and what its optimum estimates."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from hplan.objectives.infonce import TEMPERATURE, InfoNCE, infonce


@given(size=st.integers(2, 64), level=st.floats(-5, 5))
def test_a_critic_that_sees_nothing_is_at_chance(size: int, level: float) -> None:
    assert float(infonce(torch.full((size, size), level), torch.arange(size))) == pytest.approx(
        math.log(size), rel=1e-4
    )


def test_a_critic_that_knows_every_partner_costs_nothing() -> None:
    assert float(infonce(100 * torch.eye(8), torch.arange(8))) < 1e-6


def test_a_critic_that_is_surely_wrong_costs_more_than_chance() -> None:
    assert float(infonce(-10 * torch.eye(8), torch.arange(8))) > math.log(8)


@given(seed=st.integers(0, 10_000))
def test_a_constant_per_row_changes_nothing(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits, shift = torch.randn(8, 8, generator=generator), torch.randn(8, 1, generator=generator)
    same = float(infonce(logits, torch.arange(8)))
    assert float(infonce(logits + shift, torch.arange(8))) == pytest.approx(same, abs=1e-5)


def test_between_unit_vectors_it_is_the_cross_entropy_of_cosines() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, codes = (F.normalize(torch.randn(n, 6, generator=generator), dim=-1) for n in (40, 9))
    label = torch.randint(9, (40,), generator=generator)
    expected = F.cross_entropy(predicted @ codes.T / TEMPERATURE, label, reduction="none")
    assert torch.allclose(InfoNCE(4).agreement(predicted, codes, label), expected, atol=1e-5)


def test_candidates_that_are_all_one_leave_chance() -> None:
    z = torch.ones(8, 3)
    assert torch.allclose(InfoNCE(4).agreement(z, z, torch.arange(8)), torch.tensor(math.log(8)), atol=1e-5)


def test_a_longer_candidate_is_not_nearer() -> None:
    """Distance decides, unlike under a plain scalar product."""
    candidates = torch.tensor([[1.0, 0.0], [5.0, 0.0]])
    assert float(InfoNCE(4).agreement(candidates[:1], candidates, torch.tensor([0]))) < 1e-6


def test_candidates_carry_gradient_so_that_they_can_move_apart() -> None:
    candidates = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    InfoNCE(4).agreement(candidates.detach()[:1], candidates, torch.tensor([0])).sum().backward()
    assert candidates.grad is not None and bool((candidates.grad.abs().sum(1) > 0).any())
