"""Inspection of an agent on fresh play: whole figures for every level, the same for the same seed, and refusals."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hplan.agent import load
from hplan.cli import main
from hplan.evaluation.inspection import inspect, inspection_json
from hplan.registry import load_task, shipped_agents
from hplan.types import Inspection, UsageError

STEPS = 800
MAZE = "ogbench/pointmaze-medium-navigate"


@pytest.mark.parametrize("name", list(shipped_agents()))
def test_every_shipped_agent_can_be_inspected(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.html"
    call = ["inspect", name, "--steps", str(STEPS), "--json", str(figures), "--report", str(page)]
    assert main(call) == 0
    written = capsys.readouterr().out
    for said in (f"{name}: trained on {name}", "effective rank", "surprise threshold", "no level has collapsed"):
        assert said in written
    assert "level 0" in page.read_text()
    found = json.loads(figures.read_text())
    assert (found["task"], found["steps"]) == (name, STEPS)
    for k, level in enumerate(found["levels"]):
        assert level["level"] == k
        assert 1 <= level["effective_rank"] <= level["rank_of"] + 1e-6
        assert level["symptoms"] == {}
        assert set(level["probes"]) == set(load_task(name).probes)
    horizon, error, copy = found["levels"][0]["errors"][0]
    assert horizon == 1
    assert error < copy, "a level that predicts worse than copying has learned nothing"


def test_same_seed_same_figures_and_another_seed_others() -> None:
    agent, told = load(MAZE), []
    task = load_task(agent.task)

    def figures(seed: int) -> str:
        return inspection_json(inspect(agent, task, steps=STEPS, seed=seed, progress=lambda *news: told.append(news)))

    assert figures(3) == figures(3) != figures(4)
    assert told[-1] == ("levels", len(agent.stack.levels), len(agent.stack.levels), {})
    assert ("play", STEPS, STEPS, {}) in told


def test_play_that_is_shorter_than_a_step_leaves_unknown_what_it_cannot_show() -> None:
    agent = load(MAZE)
    stride = round(agent.stack.levels[-1].stride)
    found = inspect(agent, load_task(agent.task), steps=stride - 1)
    assert isinstance(found, Inspection)
    top = found.levels[-1]
    assert top.errors == ()
    assert math.isnan(top.durations[1])
    assert json.loads(inspection_json(found))["levels"][-1]["durations"] == [None] * 3
    assert asdict(found)["levels"][0]["errors"]


def test_an_unknown_probe_and_another_kind_of_task_are_refused() -> None:
    agent = load(MAZE)
    with pytest.raises(UsageError, match=r"'colour' is no factor of vector .* known are position, room"):
        inspect(agent, replace(load_task(MAZE), probes=("colour",)), steps=STEPS)
    with pytest.raises(UsageError, match="DoorKey-5x5 shows symbols"):
        inspect(agent, load_task("minigrid/DoorKey-5x5"), steps=STEPS)
