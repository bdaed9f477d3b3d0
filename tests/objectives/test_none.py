"""The negative control: prediction error, and a constant is as good as anything."""

from __future__ import annotations

import torch

from hplan.objectives.none import PredictionError

LABEL = torch.tensor([1, 0, 2])


def test_it_is_the_squared_distance_to_the_own_candidate() -> None:
    predicted, candidates = torch.zeros(3, 2), torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    assert PredictionError(4).agreement(predicted, candidates, LABEL).tolist() == [1.0, 25.0, 0.0]


def test_nothing_is_said_against_a_collapse_and_shrinking_pays() -> None:
    objective, z = PredictionError(4), torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    assert float(objective.spread(torch.zeros(3, 2))) == float(objective.spread(z)) == 0.0
    whole = objective.agreement(z, z.flip(0), LABEL).sum()
    assert torch.allclose(objective.agreement(z / 2, z.flip(0) / 2, LABEL).sum(), whole / 4)


def test_targets_carry_gradient_too() -> None:
    candidates = torch.ones(3, 2, requires_grad=True)
    PredictionError(4).agreement(torch.zeros(3, 2), candidates, LABEL).sum().backward()
    assert candidates.grad is not None and bool((candidates.grad > 0).all())
