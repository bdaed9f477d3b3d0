"""An episode as it happens, or as it was recorded: world and plan tree side by side, surprise and budget below.

It draws an iterator of TraceStep, so that `hplan watch` and `hplan replay` are one function.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hplan.control.plan_tree import PlanTree
from hplan.report.trace import TraceStep
from hplan.report.tree import tree_rich, tree_text
from hplan.types import Repair

UPPER = "▀"  # of two pixels, one above the other: a world that is an image
BAR = 24  # characters; the threshold lies at two thirds


def show(
    steps: Iterable[TraceStep], *, fps: float | None = None, title: str = "", console: Console | None = None
) -> TraceStep | None:
    """Draw every step and return the last one. In a terminal a live picture, elsewhere a plain line per step and the
    plan tree whenever it was replanned. `fps`: at most so many steps per second; None: as fast as they come.
    """
    console = console or Console(soft_wrap=True)
    paced = _paced(steps, fps) if fps else steps
    return _live(paced, title, console) if console.is_terminal else _plain(paced, title, console)


def frame(step: TraceStep, title: str = "") -> RenderableType:
    """One step as a picture for the terminal."""
    world = _picture(step.world, f"step {step.step}")
    plan = Panel(tree_rich(step.tree), title="plan", border_style="dim")
    if step.imagined:
        ahead = (_picture(seen, f"level {level} expects") for level, seen in sorted(step.imagined.items()))
        top: RenderableType = Group(Columns([world, *ahead]), plan)
    else:
        top = Table.grid(padding=(0, 1))
        top.add_row(world, plan)
    bars = Table.grid(padding=(0, 2))
    for level, threshold in sorted(_surprised(step).items(), reverse=True):
        bars.add_row(f"surprise of level {level}", *bar(step.surprise.get(level, math.nan), threshold))
    foot = [Text(repair_text(step.repair), style="yellow" if step.repair else "dim"), Text(budget_text(step))]
    return Group(*([Text(title, style="bold")] if title else []), top, bars, *foot)


def _surprised(step: TraceStep) -> dict[int, float]:
    """Thresholds of the levels that have one."""
    return {level: threshold for level, threshold in step.thresholds.items() if math.isfinite(threshold)}


def _picture(drawn: str, title: str) -> Panel:
    return Panel.fit(Text.from_ansi(drawn, no_wrap=True), title=title, border_style="dim")


def bar(surprise: float, threshold: float) -> tuple[Text, str]:
    """Surprise against its threshold: a bar whose mark is the threshold, and the two numbers."""
    mark = 2 * BAR // 3
    share = surprise / threshold if threshold > 0 and math.isfinite(surprise) else 0.0
    filled = min(BAR, round(share * mark))
    over = surprise > threshold
    line, style = "━" * filled + " " * (BAR - filled), "red" if over else "green"
    text = Text.assemble((line[:mark], style), ("┃", "bold"), (line[mark:], style))
    return text, f"{surprise:.2f} of {threshold:.2f}" + ("  surprised" if over else "")


def repair_text(repair: Repair | None) -> str:
    if repair is None:
        return "no repair so far"
    measured = f", surprise {repair.surprise:.2f} over {repair.threshold:.2f}" if repair.cause == "surprise" else ""
    return (
        f"last repair at step {repair.step}: level {repair.level}, {repair.cause}{measured}; "
        f"kept {repair.kept}, dropped {repair.dropped} subgoals"
    )


def budget_text(step: TraceStep) -> str:
    action = f"action {step.action}" if step.action else "SUCCESS" if step.success else "over"
    return f"step {step.step}  {action}  {step.evaluations:,} predictor evaluations  {step.ms:.1f} ms"


def _paced(steps: Iterable[TraceStep], fps: float) -> Iterator[TraceStep]:
    for step in steps:
        yield step
        time.sleep(1 / fps)


def _live(steps: Iterable[TraceStep], title: str, console: Console) -> TraceStep | None:
    last = None
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for last in steps:
            live.update(frame(last, title), refresh=True)
    return last


def _plain(steps: Iterable[TraceStep], title: str, console: Console) -> TraceStep | None:
    last = None
    if title:
        _line(console, title)
    for step in steps:
        if last is None or _outline(step.tree) != _outline(last.tree):
            world = "" if "\x1b" in step.world else f"{step.world}\n"  # without colours an image shows nothing
            _line(console, f"{world}{tree_text(step.tree)}")
        levels = (
            f"level {k} {step.surprise.get(k, math.nan):.2f}/{t:.2f}" for k, t in sorted(_surprised(step).items())
        )
        repaired = [repair_text(step.repair)] if step.repair and (last is None or step.repair != last.repair) else []
        _line(console, "  ".join((budget_text(step), *levels, *repaired)))
        last = step
    return last


def _outline(tree: PlanTree) -> frozenset[tuple[int, str]]:
    """What makes a tree worth printing again: other nodes, or subgoals (not single actions) in another state."""
    return frozenset((node.id, node.status if node.level else "") for node in tree.nodes.values())


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, emoji=False)
