"""Results side by side."""

from __future__ import annotations

import io
import math
from dataclasses import replace

from rich.console import Console

from hplan.report.table import COLUMNS, markdown_table, result_lines, results_table, rows
from hplan.types import Result


def result(method: str, levels: int, successes: int, **fields: object) -> Result:
    values: dict[str, object] = {
        "task": "minigrid/DoorKey-8x8", "agent": "runs/demo", "replan": "surprise", "seed": 0, "episodes": 100,
        "success_rate": successes / 100, "ci95": (0.9149, 0.9902), "per_goal": {}, "steps_mean": 40.25,
        "steps_success_mean": 31.125 if successes else math.nan, "return_mean": 0.9,
        "predictor_evals_per_step": 1234.56, "plan_ms_per_step": 3.125, "planner_calls": {"0": 4.0, "1": 1.25},
        "repairs": {"0": 1.0, "1": 0.0}, "constraint_violations": 0.0, "levels_info": [], "train": {}, "versions": {},
    }  # fmt: skip
    return Result(method=method, levels=levels, successes=successes, **{**values, **fields})  # type: ignore[arg-type]


RESULTS = [result("hierarchical", 2, 97, model_evals_per_step=4321.0), result("random", 0, 0)]


def test_a_row_of_figures() -> None:
    assert rows(RESULTS) == [
        (
            "minigrid/DoorKey-8x8",
            "hierarchical",
            "2",
            "surprise",
            "100",
            "97 %",
            "91–99",
            "31.1",
            "1,234.6",
            "4,321.0",
            "3.12",
            "4.0 / 1.2",
        ),
        ("minigrid/DoorKey-8x8", "random", "–", "–", "100", "0 %", "91–99", "–", "–", "–", "–", "–"),
    ]
    unknown = rows([replace(RESULTS[0], model_evals_per_step=math.nan)])[0]
    assert unknown[COLUMNS.index("model evaluations/step")] == "–", "of results from before they were counted"


def test_markdown_has_the_same_cells() -> None:
    lines = [line.strip("|").split("|") for line in markdown_table(RESULTS).splitlines()]
    assert [tuple(cell.strip() for cell in line) for line in lines[:1] + lines[2:]] == [COLUMNS, *rows(RESULTS)]
    assert {cell.strip() for cell in lines[1]} == {"---", "---:"}


def test_the_terminal_has_the_same_cells() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(results_table(RESULTS, "title"))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(cell in drawn for row in (COLUMNS, *rows(RESULTS), ["title"]) for cell in row)


def test_one_result_in_lines() -> None:
    goals = result("hierarchical", 2, 97, per_goal={"1": 1.0, "2": 0.9}, constraint_violations=0.5)
    assert result_lines(goals) == [
        "minigrid/DoorKey-8x8  hierarchical, 2 levels, replanning: surprise",
        "success      97 of 100 (97.0 %, 95 % interval 91.5 to 99.0)",
        "  goal 1     100.0 %",
        "  goal 2     90.0 %",
        "steps        31.1 of successful episodes, 40.2 of all; mean return 0.900",
        "planning     1,234.6 predictor evaluations and 3.12 ms per step",
        "per episode  planner calls 4.0 at level 0, 1.2 at level 1; repairs 1.0 at level 0, 0.0 at level 1",
        "violations   0.50 per episode",
    ]


def test_a_method_without_a_plan_has_no_line_for_it() -> None:
    assert result_lines(result("random", 0, 0)) == [
        "minigrid/DoorKey-8x8  random, no levels",
        "success      0 of 100 (0.0 %, 95 % interval 91.5 to 99.0)",
        "steps        – of successful episodes, 40.2 of all; mean return 0.900",
    ]


def test_where_reward_is_the_goal_no_success_is_missed() -> None:
    paid = result("hierarchical", 1, 0, records=[{"reward": -2.0}, {"reward": 3.5}])
    assert result_lines(paid, paid=True)[1:3] == [
        "return       0.90 on average of 100 episodes, -2.00 to 3.50",
        "steps        40.2 an episode",
    ]
    assert result_lines(result("hierarchical", 1, 97), paid=True)[1].startswith("success")
