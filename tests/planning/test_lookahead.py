"""Lookahead on a line whose rewards and values are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hplan.planning.cem import CrossEntropy
from hplan.planning.energy import Return
from hplan.planning.lookahead import Lookahead
from hplan.types import Budget, Capabilities, MacroSpec

END = 6.0


class Paid:
    """A step beyond 6 ends the episode and pays 10, one below 0 ends it and costs 10; each other one costs 1. `sees`:
    whether values beyond a step are known."""

    discount = 0.9

    def __init__(self, *, sees: bool = True) -> None:
        self.sees = sees

    def step(self, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        x = following[:, 0]
        there, over = x > END, x < 0
        return torch.where(there, 10.0, torch.where(over, -10.0, -1.0)), (there | over).float()

    def doubt(self, z: Tensor, macro: Tensor, following: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def value(self, z: Tensor) -> Tensor:
        left = (END - z[:, 0]).floor() + 1  # steps to the end
        before = (1 - self.discount ** (left - 1)) / (1 - self.discount)
        return (10 * self.discount ** (left - 1) - before) if self.sees else torch.zeros(len(z))

    def propose(self, z: Tensor) -> Tensor | None:
        return None


class Line:
    index, stride, capabilities = 0, 1.0, Capabilities(discrete=False)
    compatibility: Any = None
    obstruction = outcomes = process = policy = landmarks = possible = approach = relaxation = None

    def __init__(self, kind: Any, **paid: bool) -> None:
        self.macro = (
            MacroSpec("discrete", 2) if kind == "discrete" else MacroSpec("continuous", 1, low=(-1.0,), high=(1.0,))
        )
        self.returns, self.evaluations = Paid(**paid), 0

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        self.evaluations += len(z)
        return z + (2.0 * macro[:, None] - 1 if self.macro.kind == "discrete" else macro)

    def prior(self, z: Tensor) -> Tensor:
        return torch.full((len(z), 2), 0.5).log()

    def keys(self, z: Tensor) -> Tensor:
        return z.round().long()

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))


def plan(level: Line, at: float, *, evaluations: int = 4096, horizon: int = 256, **options: int) -> Any:
    generator = torch.Generator().manual_seed(0)
    budget = Budget(evaluations, horizon)
    goal = Return(level.returns)
    result = Lookahead(CrossEntropy(), **options).plan(
        level, torch.tensor([at]), goal, budget=budget, generator=generator
    )
    assert result.evaluations == level.evaluations <= evaluations
    return result


@pytest.mark.parametrize("sees", [True, False])
def test_it_goes_where_it_pays_and_values_replace_a_longer_look(sees: bool) -> None:
    result = plan(Line("discrete", sees=sees), 2.5, horizon=8 if sees else 4, beam=8)
    if sees:
        assert result.macros.tolist()[:4] == [1, 1, 1, 1]
    else:
        assert result.macros.tolist()[:4] == [1, 1, 1, 1], "four steps see the end"
    assert not result.reached


def test_without_values_and_too_short_a_look_it_only_keeps_from_falling() -> None:
    result = plan(Line("discrete", sees=False), 0.5, horizon=2)
    assert result.macros[0] == 1
    assert len(result) == 2


def test_continuous_macro_actions_are_sampled_to_the_same_end() -> None:
    result = plan(Line("continuous"), 2.5)
    assert float(result.latents[4, 0]) > END - 1.0
    assert (result.macros[:3] > 0.5).all()


def test_a_small_budget_shortens_the_look() -> None:
    assert len(plan(Line("discrete"), 2.5, evaluations=6)) == 2
    assert plan(Line("continuous"), 2.5, evaluations=6).evaluations <= 6


def test_energies_are_minus_what_can_still_be_had() -> None:
    level = Line("discrete")
    result = plan(level, 2.5)
    assert result.energies[0] == pytest.approx(-(10 * 0.9**3 - (1 + 0.9 + 0.81)), abs=1e-4)
