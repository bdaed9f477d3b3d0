"""Wrong arguments of `learn`, `load` and `evaluate`: one line that names the value, and what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hplan
from hplan.control.plans import ControlConfig
from hplan.types import UsageError
from hplan.validation import Count, Share, build, checked, validated

AGENT, TASK = "minigrid/DoorKey-8x8", "minigrid/DoorKey-5x5"


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"levels": 0}, "levels is 0; expected 'auto' or 1 or more"),
        ({"levels": -3}, "levels is -3; expected 'auto' or 1 or more"),
        ({"levels": "aut"}, "levels is 'aut'; expected 'auto' or a whole number, did you mean 'auto'?"),
        ({"levels": True}, "levels is True; expected 'auto' or a whole number"),
        ({"budget": "qick"}, "budget is 'qick', did you mean quick?"),
        ({"steps": 0}, "steps is 0; expected 1 or more"),
        ({"steps": 1e5}, "steps is 100000.0; expected a whole number"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"seed": 10**20}, "seed is 100000000000000000000; expected less than 2147483648"),
        ({"seed": math.nan}, "seed is nan; expected a whole number"),
        ({"workers": 0}, "workers is 0; expected 1 or more"),
        ({"device": "tpu"}, "device is 'tpu'; expected 'auto', 'cpu' or 'cuda', did you mean 'cpu'?"),
        ({"success": "terminate"}, "success is 'terminate'; expected 'auto' or 'terminated', did you mean"),
        ({"resume": "yes"}, "resume is 'yes'; expected true or false"),
        ({"settings": {"above_stepz": 1}}, "unknown key 'above_stepz', did you mean above_steps"),
        ({"settings": {"batch": 0}}, "batch is 0; expected 8 or more"),
        ({"settings": {"batch": np.int64(7)}}, "batch is 7; expected 8 or more"),
        ({"settings": {"objective": "vicrex"}}, "vicrex"),
        ({"step": 10}, "learn has no argument 'step', did you mean steps?"),
        ({"play_from": 3}, "play_from is 3; expected"),
    ],
)
def test_learn_refuses(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refused(lambda: hplan.learn(TASK, tmp_path / "run", **options))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "Flat"}, "method is 'Flat'; expected 'hierarchical' or 'flat', did you mean 'flat'?"),
        ({"levels": 0}, "levels is 0; expected 1 or more"),
        ({"levels": -3}, "levels is -3; expected 1 or more"),
        ({"levels": 9}, "choose 1 to"),
        ({"method": "flat", "levels": 2}, "leave one of them out"),
        (
            {"replan": "suprise"},
            "replan is 'suprise'; expected 'surprise', 'clock' or 'never', did you mean 'surprise'?",
        ),
        ({"settings": {"alpha": 5}}, "settings: alpha is 5; expected less than 1"),
        ({"settings": {"overrun_factor": -1}}, "settings: overrun_factor is -1; expected more than 0"),
        ({"settings": {"least_progress": math.nan}}, "settings: least_progress is nan; expected a finite number"),
        ({"settings": {"overrun_facter": 3}}, "settings: unknown key 'overrun_facter', did you mean overrun_factor"),
        ({"settings": {"widest": 0}}, "settings: widest is 0; expected 1 or more"),
        ({"setting": {}}, "load has no argument 'setting', did you mean settings?"),
    ],
)
def test_load_refuses(options: dict[str, Any], said: str) -> None:
    assert said in refused(lambda: hplan.load(AGENT, **options))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"episodes": 0}, "episodes is 0; expected 1 or more"),
        ({"episodes": 10**7}, "episodes is 10000000; expected 1000000 at most"),
        ({"episodes": 2.5}, "episodes is 2.5; expected a whole number"),
        ({"seed": True}, "seed is True; expected a whole number"),
        ({"workers": -1}, "workers is -1; expected 1 or more"),
        ({"method": "hierarchic"}, "did you mean 'hierarchical'?"),
        ({"task": 3}, "task is 3; expected text or a table (TaskConfig) or a function"),
        ({"agent": 3}, "agent is 3; expected an agent, a run directory or the name of a shipped agent"),
    ],
)
def test_evaluate_refuses(options: dict[str, Any], said: str) -> None:
    assert said in refused(lambda: hplan.evaluate(**{"agent": AGENT, **options}))


def test_numbers_of_numpy_are_numbers() -> None:
    @checked
    def double(count: Count, share: Share = 0.5) -> tuple[int, float]:
        return 2 * count, share

    assert double(np.int64(3), np.float32(1)) == (6, 1.0)
    assert type(double(np.int64(3))[0]) is int
    assert "count is array([3, 4])" in refused(lambda: double(np.array([3, 4])))


def test_settings_are_checked_wherever_they_are_made() -> None:
    assert "alpha is 0; expected more than 0" in refused(lambda: ControlConfig(alpha=0))
    assert "file.toml: failures is 1.5; expected a whole number" in refused(
        lambda: build(ControlConfig, {"failures": 1.5}, "file.toml")
    )

    @validated
    class Sized:
        size: Count

    assert refused(lambda: build(Sized, {}, "x")) == "x: size is missing"
    assert "..." in refused(lambda: Sized(size="a" * 1000))  # type: ignore[arg-type]
