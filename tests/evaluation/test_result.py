"""The JSON of `hplan eval`, as contract.md has it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hplan.evaluation.episode import Record
from hplan.evaluation.result import read_result, result_json, summarise, write_result
from hplan.types import Result

CONTRACT = [
    "task", "agent", "method", "levels", "replan", "seed", "episodes", "successes", "success_rate", "ci95", "per_goal",
    "steps_mean", "steps_success_mean", "return_mean", "predictor_evals_per_step", "plan_ms_per_step", "planner_calls",
    "repairs", "constraint_violations", "levels_info", "train", "versions",
]  # fmt: skip


def record(goal: str = "", success: bool = True, steps: int = 4, **fields: object) -> Record:
    values = {
        "evaluations": 100,
        "model_evaluations": 60,
        "flops": 800,
        "planner_calls": {"0": 2},
        "repairs": {},
        "causes": {},
        "ms": 2.0,
    }
    values |= {"reward": 1.0, "violations": 0, **fields}
    return Record(seed=0, goal=goal, success=success, steps=steps, **values)  # type: ignore[arg-type]


def summary(records: list[Record]) -> Result:
    info = [{"level": 0, "stride": 1.0, "latent_shape": (2, 8, 8), "macro": "7 actions"}]
    return summarise(
        records, task="t", agent="a", method="flat", replan="clock", seed=4, levels_info=info,
        train={"env_steps": 5, "curves": [1, 2]},
    )  # fmt: skip


def test_means_over_episodes_and_rates_over_steps() -> None:
    result = summary(
        [
            record("1"),
            record("2", success=False, steps=12, evaluations=20, ms=6.0, reward=0.0, violations=3),
            record("2", planner_calls={"0": 1, "1": 3}, repairs={"1": 3}),
        ]
    )
    assert (result.episodes, result.successes, result.success_rate) == (3, 2, 2 / 3)
    assert result.per_goal == {"1": 1.0, "2": 0.5}
    assert (result.steps_mean, result.steps_success_mean, result.return_mean) == (20 / 3, 4.0, 2 / 3)
    assert (result.predictor_evals_per_step, result.plan_ms_per_step) == (11.0, 0.5)
    assert (result.model_evals_per_step, result.flops_per_step) == (9.0, 120.0)
    assert result.planner_calls == {"0": 5 / 3, "1": 1.0}
    assert result.repairs == {"1": 1.0}
    assert result.constraint_violations == 1.0
    assert result.ci95[0] < 2 / 3 < result.ci95[1]
    assert result.train == {"env_steps": 5}, "learning curves are no figure of an evaluation"


def test_the_json_has_the_keys_of_the_contract() -> None:
    stored = json.loads(result_json(summary([record()])))
    assert list(stored) == [*CONTRACT, "model_evals_per_step", "flops_per_step", "records"]
    assert isinstance(stored["ci95"], list)
    assert stored["levels_info"] == [{"level": 0, "stride": 1.0, "latent_shape": [2, 8, 8], "macro": "7 actions"}]
    assert {"python", "hplan", "torch", "numpy", "gymnasium"} <= stored["versions"].keys()


def test_what_there_is_no_figure_for_is_null(tmp_path: Path) -> None:
    result = summary([record(success=False)])
    path = write_result(result, tmp_path / "deep" / "result.json")
    assert json.loads(path.read_text())["steps_success_mean"] is None
    back = read_result(path)
    assert back.steps_success_mean != back.steps_success_mean
    assert result_json(back) == result_json(result)


@pytest.mark.parametrize("rate", [0.5, 1 / 3])
def test_a_result_is_read_back_to_the_last_digit(tmp_path: Path, rate: float) -> None:
    result = replace(summary([record("1"), record()]), success_rate=rate)
    back = read_result(write_result(result, tmp_path / "result.json"))
    assert (back.success_rate, back.ci95, back.per_goal) == (rate, result.ci95, {"1": 1.0})
