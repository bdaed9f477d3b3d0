"""Results of several seeds side by side: one row for each cell of an experiment, with what `inspect` saw there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from hplan.report.table import markdown, number
from hplan.types import Result

Condition = dict[str, str]  # values of `each` of a step; a `task` among them is short for what is shown anyway


def seeds_table(
    results: Sequence[tuple[Condition, Result]],
    inspections: Sequence[tuple[Condition, dict[str, Any]]],
    interval: Callable[[int, int], tuple[float, float]],
    *,
    figures: tuple[str, ...] = (),
) -> str:
    """Markdown. Success is that of all episodes, with its `interval` (of successes, episodes), the range over seeds,
    and that of every goal, where they are named, as a mean over seeds; costs are means over seeds. Where anything broke
    a rule: violations of an episode on average, and how many episodes had any.

    figures: dotted names of what to show of every level of the inspections of agents of the same task and cell (on
    average over seeds, level 0 first); a cell of results may tell more apart than one of inspections, such as levels.
    """
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Result]] = {}
    for cell, result in results:
        groups.setdefault((result.task, _key(cell)), []).append(result)
    keys = list(dict.fromkeys(key for _, cell in groups for key, _ in cell))
    head = ["task", *keys, "depth", "seeds", "episodes", "success", "95 %", "by seed", "by goal"]
    broke = any(result.constraint_violations > 0 for _, result in results)
    counted = any(math.isfinite(result.model_evals_per_step) for _, result in results)
    head += [*(("violations", "in episodes") if broke else ()), "evaluations/step"]
    head += [*(("model evaluations/step", "MFLOP/step") if counted else ()), "ms/step", *figures]
    rows: list[list[str]] = []
    for (task, cell), group in groups.items():
        episodes, successes = sum(r.episodes for r in group), sum(r.successes for r in group)
        rates = [100 * r.success_rate for r in group]
        same = [seen for where, seen in inspections if seen["trained_on"] == task and set(_key(where)) <= set(cell)]
        rows.append(
            [
                task,
                *(dict(cell).get(key, "–") for key in keys),
                " ".join(sorted({str(r.levels) for r in group})),
                str(len(group)),
                f"{episodes:,}",
                f"{100 * successes / episodes:.0f} %",
                "–".join(f"{100 * bound:.0f}" for bound in interval(successes, episodes)),
                f"{min(rates):.0f}–{max(rates):.0f}",
                _by_goal(group),
                *(_violations(group) if broke else ()),
                number(sum(r.predictor_evals_per_step for r in group) / len(group)),
                *(_networks(group) if counted else ()),
                number(sum(r.plan_ms_per_step for r in group) / len(group), 2),
                *(_by_level(same, figure) for figure in figures),
            ]
        )
    return markdown(head, rows, "l" * len(head))


def _key(cell: Condition) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, value in cell.items() if key not in ("seed", "task"))


def _violations(group: list[Result]) -> tuple[str, str]:
    broken = [record["violations"] for result in group for record in result.records]
    return number(sum(broken) / max(len(broken), 1), 2), f"{sum(each > 0 for each in broken):,}"


def _networks(group: list[Result]) -> tuple[str, str]:
    evaluations, flops = (
        sum(getattr(result, name) for result in group) / len(group)
        for name in ("model_evals_per_step", "flops_per_step")
    )
    return number(evaluations), number(1e-6 * flops, 2)


def _by_goal(group: list[Result]) -> str:
    """`a/b/c`: percentages, goals by the number that their names begin with."""
    goals = {goal for result in group for goal in result.per_goal}
    order = sorted(goals, key=lambda goal: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", goal)])
    rates = [[result.per_goal[goal] for result in group if goal in result.per_goal] for goal in order]
    return "/".join(f"{100 * sum(each) / len(each):.0f}" for each in rates) or "–"


def _by_level(inspections: list[dict[str, Any]], figure: str) -> str:
    """`a / b / c`: the mean over seeds at every level; a dash where there is none."""
    depth = max((len(one["levels"]) for one in inspections), default=0)
    means = []
    for level in range(depth):
        values = [_look_up(one["levels"][level], figure) for one in inspections if len(one["levels"]) > level]
        known = [value for value in values if value is not None]
        means.append(number(sum(known) / len(known), 2) if known else "–")
    return " / ".join(means) or "–"


def _look_up(entry: Any, dotted: str) -> float | None:
    for part in dotted.split("."):
        entry = entry.get(part) if isinstance(entry, dict) else None
    return entry
