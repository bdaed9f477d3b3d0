"""Rows and floating-point operations of networks, against what can be counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hplan.evaluation.run import evaluate
from hplan.levels.encoders import mlp
from hplan.levels.meter import Meter


class Parts(nn.Module):
    """Two networks, and a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.small = mlp(3, 8, 2)
        self.eye = nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 5))
        self.drawn = nn.Sequential(nn.ConvTranspose2d(1, 2, 2, stride=2))
        self.own = nn.Linear(5, 1)


def test_rows_and_operations_are_those_of_all_layers() -> None:
    parts, images = Parts(), torch.rand(6, 2, 8, 8)
    with torch.no_grad(), FlopCounterMode(display=False) as known, Meter([parts]) as meter:
        parts.small(torch.rand(7, 3))
        parts.small(torch.rand(10, 3))
        parts.own(parts.eye(images))
        parts.drawn(torch.rand(4, 1, 3, 3))
    assert meter.evaluations == 17 + 6 + 6 + 4, "a network of several layers sees a row once"
    assert meter.flops == known.get_total_flops()


def test_what_is_computed_outside_is_not_counted() -> None:
    parts = Parts()
    parts.small(torch.rand(7, 3))
    with Meter([parts]) as meter:
        parts.own(torch.rand(5))
    parts.own(torch.rand(5))
    assert (meter.evaluations, meter.flops) == (1, 10)


def test_shared_modules_count_once() -> None:
    parts = Parts()
    with Meter([parts, parts]) as meter:
        parts.small(torch.rand(2, 3))
    assert meter.evaluations == 2


@pytest.mark.parametrize("levels", [1, 2])
def test_an_agent_computes_more_than_its_predictor_does(levels: int) -> None:
    """Priors, encoders and heads count."""
    from hplan.agent import load

    agent = load("ogbench/pointmaze-medium-navigate", levels=levels)
    result = evaluate(agent, episodes=1, seed=60)
    assert result.model_evals_per_step > result.predictor_evals_per_step
    assert result.flops_per_step > 1e3 * result.model_evals_per_step


def test_of_random_actions_nothing_is_known() -> None:
    result = evaluate("minigrid/DoorKey-8x8", episodes=1, method="random")
    assert result.records[0]["flops"] is None and result.flops_per_step != result.flops_per_step


def test_what_an_episode_computes_does_not_depend_on_those_before() -> None:
    """Level 0 of maps looks up what it was asked before, within an episode."""
    from hplan.agent import load

    agent = load("minigrid/DoorKey-8x8")
    first, second = (evaluate(agent, episodes=1, seed=60) for _ in range(2))
    assert first.flops_per_step == second.flops_per_step > 0
    assert first.model_evals_per_step == second.model_evals_per_step
