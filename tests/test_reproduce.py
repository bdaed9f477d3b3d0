"""Experiments run again: fewer of them, what they need with them, and what differs from what is stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_experiments import evaluated

from experiments import reproduce
from experiments.engine import find_experiments
from hplan.evaluation.result import read_result

CONFIG = """
question = "Does it come out again?"
[full]
episodes = 50
few = 3

[[step]]
name = "train-{seed}"
each = { seed = [0, 1] }
run = ["train", "nobody", "--out", "{runs}/{seed}"]
output = "{runs}/{seed}/agent.toml"

[[step]]
name = "door-{levels}-{seed}"
each = { levels = [1, 2], seed = [0, 1] }
needs = ["train-{seed}"]
run = ["eval", "{runs}/{seed}", "--episodes", "{episodes}", "--json", "{output}"]

[[step]]
name = "inspect"
run = ["data", "inspect", "{runs}", "--episodes", "{few}"]
figures = ["ratio", "kind"]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "experiments" / "one"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    return folder


def test_of_each_row_the_first_seed_and_few_episodes_are_run(folder: Path) -> None:
    whole = find_experiments()["one"]
    steps = reproduce.smaller(whole).steps()
    assert [step.name for step in steps] == ["train-0", "door-1-0", "door-2-0", "inspect"]
    assert steps[1].run[2:4] == ("--episodes", "10") and steps[3].run[-1] == "3"
    assert len(whole.steps()) == 7 and whole.steps()[2].run[3] == "50", "the experiment itself stays as it is"


def test_what_is_asked_for_brings_what_it_needs(folder: Path) -> None:
    steps = find_experiments()["one"].steps()
    assert [step.name for step in reproduce.chosen(steps, "door-2-*")] == ["train-0", "train-1", "door-2-0", "door-2-1"]


def test_a_run_says_what_differs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = [step for step in find_experiments()["one"].steps() if step.evaluates]
    for step in stored:
        evaluated(step, [100, 110, 120, 130])

    def run(steps: Any, *_: Any) -> None:
        for step in steps:
            if step.evaluates:
                dear = dict(step.cell)["levels"] == "2"
                evaluated(step, [900, 910, 920, 930] if dear else [100, 110, 120])

    monkeypatch.setattr(reproduce, "run_steps", run)
    assert reproduce.main(["one", "--only", "door-1-*"]) == 0
    assert reproduce.main(["one"]) == 1
    said = capsys.readouterr().out
    assert "| one/door-2-0 | evaluations a step | 5.8 | 45.8 |" in said.split("## Different")[1].split("## All")[0]
    assert "| one/door-1-0 | episodes that are equal | 3 | 3 |" in said
    assert (Path("runs/reproduce/report.md")).read_text().startswith("# Reproduced: 5 of 6 figures within chance")


def test_success_differs_where_intervals_do(folder: Path) -> None:
    step = find_experiments()["one"].steps()[2]
    evaluated(step, [1] * 20)
    every = read_result(step.output)
    none = replace(every, successes=0, success_rate=0.0)
    same = {one.figure: one.same for one in reproduce.evaluations("a", every, none)}
    assert same == {"success": False, "evaluations a step": True, "episodes that are equal": True}


def test_other_figures_may_be_a_tenth_off(folder: Path) -> None:
    assert reproduce._figure("a", "ratio", 1.0, 1.05).same and not reproduce._figure("a", "ratio", 1.0, 1.2).same
    assert reproduce._figure("a", "kind", "x", "x").same and not reproduce._figure("a", "kind", "x", None).same


def test_experiments_that_there_are_not_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        reproduce.main(["two"])
    assert ended.value.code == 2
    assert "no experiment ['two']; there are one" in capsys.readouterr().err
