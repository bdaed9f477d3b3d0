"""Plan trees drawn: whole drawings against stored ones, and what every drawing keeps to."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_episode import first_plan, golden, node, repaired_plan
from rich.console import Console

from hplan.control.plan_tree import PlanTree
from hplan.report.tree import LABELS, TreeLine, lines, tree_rich, tree_text


def test_a_plan_as_text() -> None:
    golden("plan_first", tree_text(first_plan()))


def test_a_repaired_plan_as_text() -> None:
    golden("plan_repaired", tree_text(repaired_plan()))


def test_printing_a_tree_draws_it() -> None:
    assert str(first_plan()) == tree_text(first_plan())


@pytest.mark.parametrize("plan", [first_plan, repaired_plan])
def test_the_rich_drawing_says_the_same(plan: object) -> None:
    tree = plan()  # type: ignore[operator]
    console = Console(file=io.StringIO(), width=200)
    console.print(tree_rich(tree))
    drawn = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.lstrip(" │├└─").rstrip() for line in drawn] == [
        line.lstrip(" │├└─").rstrip() for line in tree_text(tree).splitlines()
    ]


def test_a_goal_alone_is_one_line() -> None:
    assert tree_text(PlanTree.empty("anything")) == "▶  goal  anything  0/0 steps"


def test_many_actions_are_counted() -> None:
    tree = PlanTree.empty("goal").add(0, [node(0, f"a{i}") for i in range(LABELS + 5)])
    assert "5 more" in tree_text(tree)
    assert f"a{LABELS}" not in tree_text(tree)


@given(st.lists(st.sampled_from(["pending", "reached", "active"]), max_size=12))
def test_no_step_is_lost_where_actions_share_a_line(statuses: list[str]) -> None:
    actions = [node(0, "go", steps=2.0, spent_steps=1, status=status) for status in statuses]
    drawn = lines(PlanTree.empty("goal").add(0, actions))
    spent, expected = zip(*(_steps(line) for line in drawn.below), strict=True) if actions else ((), ())
    assert (sum(spent), sum(expected)) == (len(actions), 2 * len(actions))
    assert [line.status for line in drawn.below] == [s for i, s in enumerate(statuses) if [s] != statuses[i - 1 : i]]


def _steps(line: TreeLine) -> tuple[int, int]:
    spent, expected = line.facts[0].removesuffix(" steps").split("/")
    return int(spent), int(expected)
