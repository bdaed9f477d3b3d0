"""Results side by side: for a terminal, for Markdown, and one result in lines."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from hplan.types import Result

COLUMNS = (
    "task", "method", "levels", "replan", "episodes", "success", "95 %", "steps", "evaluations/step",
    "model evaluations/step", "ms/step", "planner calls",
)  # fmt: skip
WORDS = 4  # the first columns are words, the others numbers, set to the right


def rows(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """One row of COLUMNS per result. `steps`: of successful episodes. `planner calls`: per episode, level 0
    first. Methods without a level do not plan."""
    return [
        (
            one.task,
            one.method,
            str(one.levels or "–"),
            one.replan if one.levels else "–",
            f"{one.episodes:,}",
            f"{100 * one.success_rate:.0f} %",
            f"{100 * one.ci95[0]:.0f}–{100 * one.ci95[1]:.0f}",
            number(one.steps_success_mean),
            f"{one.predictor_evals_per_step:,.1f}" if one.levels else "–",
            number(one.model_evals_per_step) if one.levels else "–",
            f"{one.plan_ms_per_step:.2f}" if one.levels else "–",
            " / ".join(number(calls) for calls in one.planner_calls.values()) if one.levels else "–",
        )
        for one in results
    ]


def results_table(results: Sequence[Result], title: str | None = None) -> Table:
    """For a rich console."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if i < WORDS else "right")
    for row in rows(results):
        table.add_row(*row)
    return table


def markdown_table(results: Sequence[Result]) -> str:
    """A Markdown table, with a newline at its end."""
    return markdown(COLUMNS, rows(results), "l" * WORDS + "r" * (len(COLUMNS) - WORDS))


def markdown(head: Sequence[str], body: Sequence[Sequence[str]], sides: str) -> str:
    """Rows of cells as Markdown, with a newline at its end; `sides`: l or r for each column."""
    rule = ["---" if side == "l" else "---:" for side in sides]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))


def result_lines(result: Result, *, paid: bool = False) -> list[str]:
    """One result as `hplan eval` prints it. paid: the agent aims for reward, and nothing is said of success where there
    was none."""
    lines = [
        f"{result.task}  {result.method}, {result.levels or 'no'} level{'s' * (result.levels != 1)}"
        + (f", replanning: {result.replan}" if result.levels else ""),
        *(_returned(result) if paid and not result.successes else _succeeded(result)),
    ]
    if result.levels:
        lines += [
            f"planning     {result.predictor_evals_per_step:,.1f} predictor evaluations{_networks(result)} and "
            f"{result.plan_ms_per_step:.2f} ms per step",
            f"per episode  planner calls {_by_level(result.planner_calls)}; repairs {_by_level(result.repairs)}",
        ]
    if result.constraint_violations:
        lines.append(f"violations   {result.constraint_violations:.2f} per episode")
    return lines


def _succeeded(result: Result) -> list[str]:
    low, high = (100 * bound for bound in result.ci95)
    return [
        f"success      {result.successes} of {result.episodes} ({100 * result.success_rate:.1f} %, "
        f"95 % interval {low:.1f} to {high:.1f})",
        *(f"  goal {goal}     {100 * rate:.1f} %" for goal, rate in result.per_goal.items()),
        f"steps        {number(result.steps_success_mean)} of successful episodes, {number(result.steps_mean)} of all; "
        f"mean return {result.return_mean:.3f}",
    ]


def _returned(result: Result) -> list[str]:
    returns = [record["reward"] for record in result.records]
    return [
        f"return       {result.return_mean:,.2f} on average of {result.episodes} episodes, "
        f"{min(returns):,.2f} to {max(returns):,.2f}",
        f"steps        {number(result.steps_mean)} an episode",
    ]


def _networks(result: Result) -> str:
    if not math.isfinite(result.model_evals_per_step):
        return ""
    return f", {result.model_evals_per_step:,.1f} model evaluations, {1e-6 * result.flops_per_step:,.2f} MFLOP"


def number(value: float, digits: int = 1) -> str:
    return f"{value:,.{digits}f}" if math.isfinite(value) else "–"


def _by_level(counts: dict[str, float]) -> str:
    return ", ".join(f"{count:.1f} at level {level}" for level, count in counts.items()) or "none"
