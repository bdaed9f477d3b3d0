"""Rows count by how believable they are, and a squared error weighed so is Welsch's cost."""

from __future__ import annotations

import pytest
import torch

from hplan.objectives.welsch import trust

STEPS = torch.nn.functional.one_hot(torch.arange(200) % 4, 4).float() * 2  # all of length 2


def test_an_error_of_a_long_step_counts_by_exp_minus_one_and_chance_does_not_count() -> None:
    target = torch.zeros(3, 4)
    predicted = torch.tensor([0.0, 2.0, 20.0])[:, None] * torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert torch.allclose(trust(predicted, target, STEPS), torch.tensor([1.0, 0.3679, 0.0]), atol=1e-4)


def test_what_is_near_counts_by_the_length_of_its_error() -> None:
    """Its gradient never fades, and is no longer than that of an error of one long step: Huber's, beyond it."""
    predicted = torch.tensor([0.0, 1.0, 20.0, 2000.0])[:, None] * torch.tensor([1.0, 0.0, 0.0, 0.0])
    near = torch.tensor([True, True, True, False])
    weights = trust(predicted, torch.zeros(4, 4), STEPS, near=near)
    assert torch.allclose(weights, torch.tensor([1.0, 1.0, 0.1, 0.0]), atol=1e-4)


def test_few_leaps_among_the_steps_do_not_make_leaps_believable() -> None:
    leaps = torch.cat([STEPS, torch.full((1, 4), 100.0)])
    error = torch.full((1, 4), 1.0)
    assert torch.allclose(trust(error, torch.zeros(1, 4), leaps), trust(error, torch.zeros(1, 4), STEPS))


def test_the_gradient_is_that_of_welschs_cost() -> None:
    predicted, target = torch.randn(50, 4, requires_grad=True), torch.randn(50, 4)
    squared = (predicted - target).square().sum(-1)
    (weighed,) = torch.autograd.grad((squared * trust(predicted, target, STEPS)).sum(), predicted, retain_graph=True)
    (robust,) = torch.autograd.grad((4 * (1 - torch.exp(-squared / 4))).sum(), predicted)
    assert torch.allclose(weighed, robust, atol=1e-5)


@pytest.mark.parametrize("off", [0.0, 1.0])
def test_where_nothing_moves_only_what_is_right_counts(off: float) -> None:
    assert trust(torch.full((1, 4), off), torch.zeros(1, 4), torch.zeros(9, 4)).tolist() == [1.0 - off]


def test_the_mean_of_two_outcomes_is_no_prediction() -> None:
    """Nine steps in ten lead to 0, one to 10. A squared cost settles at 1; this one at 0."""
    target = torch.tensor([0.0] * 9 + [10.0])[:, None]
    guess = torch.tensor([[1.0]], requires_grad=True)
    optimizer = torch.optim.SGD([guess], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        predicted = guess.expand(10, 1)
        ((predicted - target).square().sum(-1) * trust(predicted, target, torch.ones(9, 1))).mean().backward()
        optimizer.step()
    assert abs(float(guess.detach())) < 0.01
