"""DINO: what centering and sharpening do to the targets, and where gradients go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hplan.objectives.dino import CENTRE, DINO, PROTOTYPES

LABEL = torch.arange(16)


def cloud() -> Tensor:
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(0))


def made() -> DINO:
    torch.manual_seed(0)
    return DINO(4)


def entropy(p: Tensor) -> Tensor:
    return -(p * (p + 1e-12).log()).sum(-1)


def test_gradients_reach_prediction_and_prototypes_and_not_their_copy_or_the_centre() -> None:
    objective, predicted = made(), cloud().requires_grad_(True)
    objective.agreement(predicted, cloud() + 1, LABEL).mean().backward()
    assert predicted.grad is not None and bool(predicted.grad.abs().sum() > 0)
    assert objective.prototypes.grad is not None and bool(objective.prototypes.grad.abs().sum() > 0)
    assert not objective.followed.requires_grad and not objective.centre.requires_grad


def test_targets_are_sharper_than_predictions() -> None:
    objective, z = made().eval(), cloud()
    target = objective._targets(z)
    cosines = torch.nn.functional.normalize(z, dim=-1) @ torch.nn.functional.normalize(objective.prototypes).T
    assert bool((entropy(target) < entropy((cosines / 0.1).softmax(-1))).all())
    assert torch.allclose(target.sum(-1), torch.ones(16), atol=1e-5)


def test_centering_takes_the_prototype_that_has_all_latents_away() -> None:
    """All latents are one and belong where it does, until the centre has followed: then they belong nowhere."""
    objective, z = made(), torch.ones(16, 4)
    first = entropy(objective._targets(z)[0])
    for _ in range(round(10 / (1 - CENTRE))):
        last = entropy(objective._targets(z)[0])
    assert float(first) < 0.7 * float(last)
    assert float(last) == pytest.approx(torch.tensor(PROTOTYPES).log().item(), rel=1e-3)


def test_the_copy_of_the_prototypes_lags_behind_and_stands_still_in_evaluation() -> None:
    objective, z = made(), cloud()
    first = objective.followed.clone()
    with torch.no_grad():
        objective.prototypes.add_(1.0)
    objective.eval().agreement(z, z, LABEL)
    assert torch.equal(objective.followed, first)
    assert not objective.centre.any()
    objective.train().agreement(z, z, LABEL)
    assert torch.allclose(objective.followed, first + 0.01, atol=1e-6)
    assert objective.centre.any()


def test_a_prediction_that_only_points_at_its_target_still_costs_its_distance() -> None:
    objective, z = made().eval(), cloud()
    longer = objective.agreement(2 * z, z, LABEL) - objective.agreement(z, z, LABEL)
    assert torch.allclose(longer, z.square().sum(-1), atol=1e-4)
