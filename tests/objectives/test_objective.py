"""What every objective promises, whatever its name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hplan.objectives.criterion import Criterion
from hplan.objectives.objective import Objective
from hplan.parts import BUILT_IN, find
from hplan.types import UsageError

EVERY = pytest.mark.parametrize("name", BUILT_IN["objective"])
LABEL = torch.arange(32)


def cloud(seed: int = 0) -> Tensor:
    return torch.randn(32, 4, generator=torch.Generator().manual_seed(seed))


def still(name: str) -> Objective:
    """One that does not learn while it is looked at."""
    torch.manual_seed(0)
    objective = find("objective", name)(4)
    assert isinstance(objective, nn.Module)
    return objective.eval()


@EVERY
def test_every_right_prediction_costs_less_than_a_wrong_one(name: str) -> None:
    objective, z = still(name), cloud()
    right, wrong = objective.agreement(z, z, LABEL), objective.agreement(-z, z, LABEL)
    assert right.shape == (32,)
    assert bool((right < wrong).all())


@EVERY
def test_the_label_says_which_candidate_is_the_target(name: str) -> None:
    objective, z = still(name), cloud()
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    cost = objective.agreement(z, z[order], order.argsort())
    assert torch.allclose(cost, objective.agreement(z, z, LABEL), atol=1e-4)


@EVERY
def test_gradients_are_finite_where_everything_has_collapsed(name: str) -> None:
    objective = still(name)
    z = torch.zeros(32, 4, requires_grad=True)
    (objective.agreement(z, z.detach(), LABEL).mean() + objective.spread(z)).backward()
    assert z.grad is not None
    assert bool(torch.isfinite(z.grad).all())


def cost(name: str, latents: Tensor) -> float:
    """Of latents that are predicted without error."""
    torch.manual_seed(0)
    objective = still(name)
    return float((objective.agreement(latents, latents, LABEL).mean() + objective.spread(latents)).detach())


@pytest.mark.parametrize("name", ["vicreg", "sigreg", "infonce"])
def test_a_point_and_a_line_cost_more_than_a_healthy_cloud(name: str) -> None:
    """By the spread, or by an agreement that cannot tell candidates apart."""
    z = cloud()
    assert cost(name, torch.full((32, 4), 0.1)) > cost(name, z) + 1
    assert cost(name, 0.3 * z[:, :1].expand(-1, 4)) > cost(name, z) + 0.1


@pytest.mark.parametrize("name", ["byol", "none"])
def test_a_point_is_perfect_to_those_that_do_not_look_at_the_batch(name: str) -> None:
    assert cost(name, torch.full((32, 4), 0.1)) == pytest.approx(cost(name, cloud()), abs=1e-5)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="objective 'vcreg' is not known: did you mean vicreg"):
        find("objective", "vcreg")(4)


@EVERY
def test_the_copy_follows_the_encoder_at_its_rate_and_only_while_training(name: str) -> None:
    encoder = nn.Linear(3, 4)
    criterion = Criterion(name, 4, encoder)
    first = encoder.weight.detach().clone()
    with torch.no_grad():
        encoder.weight.add_(1.0)
    momentum = criterion.objective.momentum
    if momentum is None:
        assert criterion.follow(encoder) is None
        return
    copy = criterion.follow(encoder)
    assert isinstance(copy, nn.Linear)
    assert torch.allclose(copy.weight, first + 1 - momentum)
    assert not copy(torch.ones(1, 3)).requires_grad
    criterion.eval().follow(encoder)
    assert torch.allclose(copy.weight, first + 1 - momentum)
