"""Gradient descent on the macro-actions: it arrives where there is a slope, keeps its budget, and leaves no graph."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from planning.test_cem import At, Plane, plan

from hplan.planning.energy import Guided
from hplan.planning.gradient import GradientDescent
from hplan.types import MacroSpec, UsageError


def test_it_descends_to_the_goal() -> None:
    result = plan(GradientDescent(candidates=2), At((3.0, -2.0)), horizon=8)
    assert result.reached and len(result) <= 8
    steps = result.latents.diff(dim=0)
    assert torch.allclose(steps, result.macros) and bool((result.macros.abs() <= 1).all())


def test_what_it_returns_needs_no_gradient() -> None:
    with torch.inference_mode():
        result = plan(GradientDescent(), At((2.0, 2.0)))
    assert not any(each.requires_grad for each in (result.macros, result.latents, result.energies, result.costs))


def test_one_round_is_chance_and_many_are_better() -> None:
    one, many = (float(plan(GradientDescent(candidates=1, rounds=n), At((6.0, 6.0))).energies[-1]) for n in (1, 30))
    assert many < one - 1


def test_it_begins_with_what_a_guide_does() -> None:
    goal = At((4.0, 0.0))
    ahead = Guided(goal, lambda z: (torch.tensor([1.0, 0.0]).expand(len(z), 2), torch.full((len(z), 2), 0.1)))
    assert plan(GradientDescent(rounds=2, candidates=1), ahead, horizon=8).reached
    assert not plan(GradientDescent(rounds=2, candidates=1), goal, horizon=8).reached


@given(evaluations=st.integers(1, 800), horizon=st.integers(1, 12), candidates=st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_it_spends_no_more_than_its_budget(evaluations: int, horizon: int, candidates: int) -> None:
    result = plan(GradientDescent(candidates=candidates), At((3.0, 3.0)), evaluations=evaluations, horizon=horizon)
    assert 1 <= len(result) <= horizon and result.evaluations <= evaluations


def test_discrete_macro_actions_are_refused() -> None:
    level = Plane()
    level.macro = replace(level.macro, kind="discrete")
    with pytest.raises(UsageError, match="continuous"):
        plan(GradientDescent(), At((1.0, 1.0)), level=level)
    assert isinstance(level.macro, MacroSpec)
