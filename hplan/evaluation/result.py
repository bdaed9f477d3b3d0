"""From episodes to the figures of contract.md: one `Result`, and its JSON."""

from __future__ import annotations

import json
import math
import os
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hplan.evaluation.episode import Record
from hplan.evaluation.statistics import wilson
from hplan.files import plain, write_atomically
from hplan.types import Result

PACKAGES = ("torch", "lightning", "numpy", "gymnasium", "minigrid", "ogbench", "mujoco", "stable-baselines3")
TRAIN = ("env_steps", "gradient_steps", "wall_s", "device", "seed")  # what contract.md wants of an agent's training


def summarise(
    records: Sequence[Record],
    *,
    task: str,
    agent: str,
    method: str,
    replan: str,
    seed: int,
    levels_info: Sequence[Mapping[str, Any]] = (),
    train: Mapping[str, Any] | None = None,
) -> Result:
    """Means over episodes; `predictor_evals_per_step` and `plan_ms_per_step` over all steps of all episodes.

    `steps_success_mean` is NaN without a success. A method that plans with no level (random, oracle) has no levels.
    """
    steps = sum(r.steps for r in records)
    successes = sum(r.success for r in records)
    goals: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        if record.goal:
            goals[record.goal].append(record.success)
    return Result(
        task=task,
        agent=agent,
        method=method,
        levels=len(levels_info),
        replan=replan,
        seed=seed,
        episodes=len(records),
        successes=successes,
        success_rate=_mean([r.success for r in records]),
        ci95=wilson(successes, len(records)),
        per_goal={goal: _mean(goals[goal]) for goal in sorted(goals)},
        steps_mean=_mean([r.steps for r in records]),
        steps_success_mean=_mean([r.steps for r in records if r.success]),
        return_mean=_mean([r.reward for r in records]),
        predictor_evals_per_step=sum(r.evaluations for r in records) / max(steps, 1),
        plan_ms_per_step=sum(r.ms for r in records) / max(steps, 1),
        planner_calls=_per_level([r.planner_calls for r in records]),
        repairs=_per_level([r.repairs for r in records]),
        constraint_violations=_mean([r.violations for r in records]),
        levels_info=[dict(level) for level in levels_info],
        train={key: value for key, value in (train or {}).items() if key in TRAIN},
        versions=versions(),
        model_evals_per_step=_each([r.model_evaluations for r in records], steps),
        flops_per_step=_each([r.flops for r in records], steps),
        records=[r.to_dict() for r in records],
    )


def result_json(result: Result) -> str:
    """The JSON of `hplan eval`, plus `records` with one entry per episode. What there is no figure for is null."""
    return json.dumps(plain(asdict(result)), indent=1, allow_nan=False) + "\n"


def write_result(result: Result, path: str | os.PathLike[str]) -> Path:
    """Write `result_json`, atomically."""
    return write_atomically(path, result_json(result))


def read_result(path: str | os.PathLike[str]) -> Result:
    """The inverse of `write_result`."""
    stored = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    nan = {name: math.nan for name, value in stored.items() if value is None}
    return Result(**{**stored, **nan, "ci95": tuple(stored["ci95"])})


def versions() -> dict[str, str]:
    """What made the figures: Python, hplan and the installed packages that a number can depend on."""
    from hplan import __version__

    found = {"python": platform.python_version(), "hplan": __version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _mean(values: Sequence[float]) -> float:
    return float(sum(values) / len(values)) if values else math.nan


def _each(counts: Sequence[int | None], steps: int) -> float:
    """Per step; NaN where a count is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) / max(steps, 1) if len(known) == len(counts) else math.nan


def _per_level(counts: Sequence[dict[str, int]]) -> dict[str, float]:
    levels = sorted({level for one in counts for level in one}, key=int)
    return {level: sum(one.get(level, 0) for one in counts) / len(counts) for level in levels}
