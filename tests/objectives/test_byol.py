"""BYOL against equation 2, in direction and in length."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from hplan.objectives.byol import BYOL

LABEL = torch.arange(16)


def test_on_unit_vectors_it_is_twice_the_published_one() -> None:
    """There the squared distance is equation 2 itself."""
    predicted, target = F.normalize(torch.randn(2, 16, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    equation2 = (F.normalize(predicted, dim=-1) - F.normalize(target, dim=-1)).square().sum(-1)
    assert torch.allclose(BYOL(4).agreement(predicted, target, LABEL), 2 * equation2, atol=1e-5)


def test_a_prediction_in_the_right_direction_and_of_the_wrong_length_still_costs() -> None:
    target = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    cost = BYOL(4).agreement(1.5 * target, target, LABEL)
    assert torch.allclose(cost, (0.5 * target).square().sum(-1), atol=1e-5)


def test_it_takes_a_constant_for_perfect() -> None:
    """Nothing in the objective forbids a collapse; the slow copy and the predictor have to keep it away."""
    z = torch.ones(16, 4)
    assert float(BYOL(4).agreement(z, z, LABEL).abs().max()) < 1e-5
    assert float(BYOL(4).spread(z)) == 0.0
