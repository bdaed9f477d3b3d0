"""A short made-up episode of two levels, with a surprise and a repair, for the tests of the views."""

from __future__ import annotations

import os
from pathlib import Path

from hplan.control.plan_tree import PlanTree
from hplan.report.trace import TraceStep
from hplan.types import PlanNode, Repair

WORLD = "#####\n#>.k#\n#D###\n#..G#\n#####"
REPAIR = Repair(step=2, level=0, cause="surprise", surprise=1.75, threshold=0.5, kept=2, dropped=2)


def node(level: int, label: str, steps: float = 1.0, **fields: object) -> PlanNode:
    return PlanNode(id=-1, level=level, label=label, expected_steps=steps, **fields)  # type: ignore[arg-type]


def first_plan() -> PlanTree:
    """goal > (key, door, goal), and the key in actions."""
    subgoals = [
        node(1, "pick up the key", 4.0, energy=2.5, cost=1.25, evaluations=120, status="active", cause="start"),
        node(1, "open the door", 6.4, energy=1.125, cost=1.5, cause="start"),
        node(1, "enter", 5.0, energy=-0.5, cost=1.0, cause="start", is_goal=True),
    ]
    tree = PlanTree.empty("the task's success", levels=2).update(0, evaluations=1480).add(0, subgoals)
    actions = [node(0, name, cause="start") for name in ("forward", "forward", "right", "pickup")]
    return tree.add(1, actions).update(4, status="active")


def repaired_plan() -> PlanTree:
    """The second action surprised level 0: its plan is dropped and another one made."""
    tree = first_plan().update(1, spent_steps=2, evaluations=175).update(4, status="reached", spent_steps=1)
    tree = tree.update(5, status="failed", spent_steps=1).drop_children(1)
    actions = [node(0, name, cause="surprise") for name in ("toggle", "forward", "pickup")]
    return tree.add(1, actions).update(8, status="active")


def episode() -> list[TraceStep]:
    """Three actions and how it ended."""
    calm, thresholds = {0: 0.25, 1: 0.125}, {0: 0.5, 1: 0.75}
    first, repaired = first_plan(), repaired_plan()
    ended = repaired.update(8, status="reached", spent_steps=1).update(1, status="reached", spent_steps=3)
    return [
        TraceStep(0, WORLD, first, calm, thresholds, None, 1480, 12.5, "forward"),
        TraceStep(1, WORLD, first.update(4, status="reached").update(5, status="active"), calm, thresholds, None, 1480,
                  0.5, "forward"),
        TraceStep(2, WORLD, repaired, {0: 1.75, 1: 0.25}, thresholds, REPAIR, 1535, 3.0, "toggle", 0.95, True),
        TraceStep(3, WORLD, ended, calm, thresholds, REPAIR, 1535, success=True),
    ]  # fmt: skip


def golden(name: str, drawn: str) -> None:
    """Hold a drawing against tests/golden/NAME.txt; with HPLAN_UPDATE_GOLDEN set, store it there instead."""
    path = Path(__file__).parent.parent / "golden" / f"{name}.txt"
    text = "\n".join(line.rstrip() for line in drawn.splitlines()) + "\n"
    if os.environ.get("HPLAN_UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), f"{path} differs; look, then run with HPLAN_UPDATE_GOLDEN=1"
