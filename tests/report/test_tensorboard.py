"""What TensorBoard reads back is what was learned, evaluated and played."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_episode import episode
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_table import result

from hplan.report.tensorboard import write_episode, write_evaluation, write_training
from hplan.types import HplanError


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(one.step, one.value) for one in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_training_is_read_back_by_stage_and_component(tmp_path: Path) -> None:
    curves = {
        "level0": [{"step": 10, "loss": 2.0, "prior": 1.0}, {"step": 20, "loss": 0.5, "prior": math.nan}],
        "level1": [{"step": 5, "loss": -3.0}],
    }
    write_training(tmp_path, curves)
    assert scalars(tmp_path) == {
        "level0/loss": [(10, 2.0), (20, 0.5)],
        "level0/prior": [(10, 1.0)],
        "level1/loss": [(5, -3.0)],
    }


def test_an_evaluation_is_read_back_by_episode(tmp_path: Path) -> None:
    episodes = [
        {"seed": 7, "success": success, "steps": steps, "reward": 0.5, "evaluations": 100, "ms": 2.0, "goal": ""}
        for success, steps in ((True, 20), (False, 40))
    ]
    write_evaluation(tmp_path, result("hierarchical", 2, 1, records=episodes))
    found = scalars(tmp_path)
    assert found["evaluation/success"] == [(0, 1.0), (1, 0.0)]
    assert found["evaluation/success rate so far"] == [(0, 1.0), (1, 0.5)]
    assert found["evaluation/steps"] == [(0, 20.0), (1, 40.0)]
    assert found["evaluation/evaluations"] == [(0, 100.0), (1, 100.0)]


def test_an_episode_is_passed_through_and_read_back_by_step(tmp_path: Path) -> None:
    steps = [*episode()[:3], replace(episode()[3], thresholds={0: math.inf, 1: 0.0})]
    assert list(write_episode(tmp_path, steps)) == steps
    found = scalars(tmp_path)
    assert found["episode/predictor evaluations"] == [(0, 1480), (1, 1480), (2, 1535), (3, 1535)]
    assert found["surprise/level 0"] == [(0, 0.25), (1, 0.25), (2, 1.75), (3, 0.25)]
    assert found["surprise by threshold/level 0"] == [(0, 0.5), (1, 0.5), (2, 3.5), (3, 0.0)]
    assert [step for step, _ in found["surprise by threshold/level 1"]] == [0, 1, 2], "a threshold of 0 divides nothing"
    assert found["energy/level 1"] == [(0, 2.5), (1, 2.5), (2, 2.5)], "of the active subgoal; at the end there is none"


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(HplanError, match=r"is not installed: pip install 'hplan\[track\]'"):
        write_training(tmp_path, {})
