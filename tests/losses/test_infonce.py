"""InfoNCE: chance level, certainty, and what its optimum estimates."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.losses.infonce import infonce


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
