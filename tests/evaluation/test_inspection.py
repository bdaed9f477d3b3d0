"""Inspection of an agent on fresh play: whole figures for every level, the same for the same seed, and refusals."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hplan.agent import load
from hplan.cli import main
from hplan.evaluation.inspection import inspect, macro_sensitivity
from hplan.registry import load_task, shipped_agents
from hplan.types import MacroSpec, UsageError

STEPS = 1500


@pytest.mark.parametrize("name", list(shipped_agents()))
def test_every_shipped_agent_can_be_inspected(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.html"
    call = ["inspect", name, "--steps", str(STEPS), "--json", str(figures), "--report", str(page)]
    assert main(call) == 0
    assert "effective rank" in capsys.readouterr().out
    assert "Level 0" in page.read_text()
    found = json.loads(figures.read_text())
    assert found["play_steps"] == STEPS
    for k, level in enumerate(found["levels"]):
        assert level["level"] == k
        assert 1 <= level["effective_rank"] <= level["rank_of"] + 1e-6
        assert level["macro_sensitivity"] > 0
    horizon, error, copy = found["levels"][0]["errors"][0]
    assert horizon == 1
    assert error < copy, "a level that predicts worse than copying has learned nothing"


def test_same_seed_same_figures() -> None:
    agent = load("ogbench/pointmaze-medium-navigate")
    task = load_task(agent.task)
    first, second = (inspect(agent, task, steps=STEPS, seed=3).to_dict() for _ in range(2))
    assert first == second


def test_an_unknown_probe_and_another_kind_of_task_are_refused() -> None:
    agent = load("ogbench/pointmaze-medium-navigate")
    with pytest.raises(UsageError, match="colour"):
        inspect(agent, replace(load_task(agent.task), probes=("colour",)), steps=STEPS)
    with pytest.raises(UsageError, match="symbols"):
        inspect(agent, load_task("minigrid/DoorKey-5x5"), steps=STEPS)


class Deaf:
    """A level that predicts the same whatever is done, or what is done if it hears."""

    macro = MacroSpec("discrete", 3)

    def __init__(self, hears: bool) -> None:
        self.hears = hears

    def prior(self, z: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(z), 3)

    def predict(self, z: torch.Tensor, macro: torch.Tensor) -> torch.Tensor:
        return z + self.hears * macro[:, None]

    def distance(self, z: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (z - other).abs().sum(-1)


def test_sensitivity_is_how_far_predictions_lie_apart() -> None:
    z, generator = torch.zeros(5, 1), torch.Generator()
    assert macro_sensitivity(Deaf(False), z, generator) == 0.0
    assert math.isclose(macro_sensitivity(Deaf(True), z, generator), 4 / 3, rel_tol=1e-6)  # of |0-1|, |0-2|, |1-2|
