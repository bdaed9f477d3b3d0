"""A plan tree drawn for people: pure functions from a PlanTree to lines, plain text or a rich tree.

One line per node: status, level, label, spent/expected environment steps, energy, cost, predictor evaluations and why
it was planned (nothing: at the start). Level-0 siblings of one status share a line, or actions would bury the subgoals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich.text import Text
from rich.tree import Tree

from hplan.control.plan_tree import PlanTree
from hplan.types import PlanNode, Status

GLYPHS: dict[Status, str] = {"pending": "·", "active": "▶", "reached": "✓", "failed": "✗", "dropped": "–"}
STYLES: dict[Status, str] = {
    "pending": "default", "active": "bold cyan", "reached": "green", "failed": "red", "dropped": "dim strike",
}  # fmt: skip
LABELS = 12  # level-0 labels that one line names before it only counts the rest


@dataclass(frozen=True)
class TreeLine:
    """One line of the drawing with the lines below it: one node, or level-0 siblings of the same status."""

    status: Status
    name: str  # "level 1  pick up the key"
    facts: tuple[str, ...]  # ("3/12 steps", "energy 0.40", ...)
    cause: str
    below: tuple[TreeLine, ...]

    @property
    def glyph(self) -> str:
        return GLYPHS[self.status]


def lines(tree: PlanTree) -> TreeLine:
    """The whole drawing as nested lines, the goal's first; what a repair replaced comes before what replaced it."""
    below = _refinement(tree, tree.root)
    expected = tree.root.expected_steps
    if math.isnan(expected):
        expected = sum(node.expected_steps for node in tree.children(tree.root.id))
    return TreeLine(
        tree.root.status, f"goal  {tree.root.label}", _facts((tree.root,), expected), _cause((tree.root,)), below
    )


def tree_text(tree: PlanTree) -> str:
    """Plain text without colours, one line per `TreeLine`."""
    top = lines(tree)
    return "\n".join(_text(top, "", ""))


def tree_rich(tree: PlanTree) -> Tree:
    """The same drawing in colours for a terminal."""
    top = lines(tree)
    return _branch(Tree(_styled(top), guide_style="dim"), top)


# ------------------------------------------------------------------------------------------------ from nodes to lines


def _refinement(tree: PlanTree, node: PlanNode) -> tuple[TreeLine, ...]:
    siblings = (*tree.earlier(node.id), *tree.children(node.id))
    drawn: list[TreeLine] = []
    for (level, status), run in groupby(siblings, key=lambda n: (n.level, n.status)):
        if level == 0:
            drawn.append(_actions(tuple(run), status))
        else:
            drawn.extend(_subgoal(tree, one) for one in run)
    return tuple(drawn)


def _subgoal(tree: PlanTree, node: PlanNode) -> TreeLine:
    name = f"level {node.level}  {node.label}" + ("  = goal" if node.is_goal else "")
    facts = _facts((node,), node.expected_steps)
    return TreeLine(node.status, name, facts, _cause((node,)), _refinement(tree, node))


def _actions(run: tuple[PlanNode, ...], status: Status) -> TreeLine:
    counted = [(label, len(list(same))) for label, same in groupby(run, key=lambda n: n.label)]
    names = [label if count == 1 else f"{label} ×{count}" for label, count in counted]
    if len(names) > LABELS:
        names = [*names[:LABELS], f"{len(names) - LABELS} more"]
    facts = _facts(run, sum(node.expected_steps for node in run))
    return TreeLine(status, f"level 0  {', '.join(names)}", facts, _cause(run), ())


def _facts(run: tuple[PlanNode, ...], expected: float) -> tuple[str, ...]:
    energy, cost = run[-1].energy, sum(node.cost for node in run)
    evaluations = sum(node.evaluations for node in run)
    facts = [f"{sum(node.spent_steps for node in run)}/{expected:.0f} steps"]
    facts += [f"energy {energy:.2f}"] if math.isfinite(energy) else []
    facts += [f"cost {cost:.2f}"] if cost else []
    facts += [f"{evaluations:,} evaluations"] if evaluations else []
    return tuple(facts)


def _cause(run: tuple[PlanNode, ...]) -> str:
    """Why these were planned; nothing for the first plan, which needs no explanation."""
    return ", ".join(sorted({node.cause for node in run} - {"", "start"}))


# -------------------------------------------------------------------------------------------------- from lines to ink


def _text(line: TreeLine, first: str, rest: str) -> Iterator[str]:
    yield first + "  ".join((line.glyph, line.name, *line.facts, *([f"({line.cause})"] if line.cause else [])))
    for i, below in enumerate(line.below):
        last = i == len(line.below) - 1
        yield from _text(below, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _branch(branch: Tree, line: TreeLine) -> Tree:
    for below in line.below:
        _branch(branch.add(_styled(below)), below)
    return branch


def _styled(line: TreeLine) -> Text:
    text = Text.assemble((f"{line.glyph}  {line.name}", STYLES[line.status]), ("  " + "  ".join(line.facts), "dim"))
    return text.append(f"  ({line.cause})", style="yellow") if line.cause else text
