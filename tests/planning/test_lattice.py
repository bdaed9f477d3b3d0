"""Search over held macro-actions: around a wall, to the goal itself, within its budget."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from planning.test_cem import At, Plane, plan
from torch import Tensor

from hplan.planning.cem import CrossEntropy
from hplan.planning.energy import NearLatent
from hplan.planning.lattice import LatticeSearch, extremes
from hplan.types import MacroSpec, UsageError


class Walled(Plane):
    """The same, with a wall at x = 2 that is open above y = 4 alone. It says how far two places are apart."""

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        following = super().predict(z, macro)
        crossed = ((z[:, :1] - 2) * (following[:, :1] - 2) <= 0) & (following[:, 1:] < 4)
        return torch.where(crossed, z, following)

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z - other).norm(dim=-1)


def behind(level: Walled) -> NearLatent:
    return NearLatent(level, torch.tensor([3.1, 0.3]), 0.2)  # type: ignore[arg-type]


def test_it_finds_the_way_around_a_wall_where_samples_do_not() -> None:
    level = Walled()
    result = plan(LatticeSearch(held=2), behind(level), level=level, horizon=64, evaluations=20_000)
    assert result.reached and len(result) <= 20
    assert bool((result.latents[:, 1] >= 4).any())
    for before, macro, after in zip(result.latents[:-1], result.macros, result.latents[1:], strict=True):
        assert torch.allclose(Walled().predict(before[None], macro[None])[0], after)
    level = Walled()
    assert not plan(CrossEntropy(), behind(level), level=level, horizon=64, evaluations=20_000).reached


def test_a_goal_that_is_no_latent_is_found_without_an_estimate() -> None:
    level = Walled()
    assert plan(LatticeSearch(held=2), At((3.1, 0.3)), level=level, horizon=64, evaluations=20_000).reached


@example(evaluations=1008, horizon=8, held=1)
@given(evaluations=st.integers(1, 3000), horizon=st.integers(1, 64), held=st.integers(1, 9))
@settings(max_examples=100, deadline=None)
def test_it_spends_no_more_than_its_budget(evaluations: int, horizon: int, held: int) -> None:
    level = Walled()
    result = plan(LatticeSearch(held=held), behind(level), level=level, evaluations=evaluations, horizon=horizon)
    assert len(result) <= horizon and result.evaluations <= evaluations
    assert len(result.latents) == len(result.energies) == len(result) + 1 == len(result.costs) + 1


def test_where_it_fails_it_comes_as_near_as_it_can_within_its_budget() -> None:
    level = Walled()
    result = plan(LatticeSearch(held=2), behind(level), level=level, horizon=4, evaluations=2_000)
    assert not result.reached and result.evaluations <= 2_000
    assert float(result.energies[-1]) < float(result.energies[0])


def test_macro_actions_are_the_ends_of_their_ranges() -> None:
    two = extremes(MacroSpec("continuous", 2, low=(-1.0, 0.0), high=(1.0, 4.0)))
    assert sorted(two.tolist()) == [[x, y] for x in (-1.0, 0.0, 1.0) for y in (0.0, 2.0, 4.0) if (x, y) != (0.0, 2.0)]
    assert len(extremes(MacroSpec("continuous", 5, low=(-1.0,) * 5, high=(1.0,) * 5))) == 10


def test_discrete_macro_actions_are_refused() -> None:
    level = Walled()
    level.macro = replace(level.macro, kind="discrete")
    with pytest.raises(UsageError, match="continuous"):
        plan(LatticeSearch(), behind(level), level=level)
