"""One figure of every episode against another: a chart for each family of tasks, and a table of rank correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from hplan.report.svg import HEIGHT, LEFT, WIDTH, Cloud, dot_chart
from hplan.report.table import number

GAP, HEAD, FOOT = 24, 24, 40  # around a panel
SCALE = 1.6  # of the page to the charts' own units


@dataclass(frozen=True)
class Episodes:
    """Those of one task, planned with so many levels. points: (x, y) of each; solved: whether each succeeded; rho, low,
    high: correlation of the ranks of x and y with its interval, NaN where there is none."""

    task: str
    levels: int
    points: tuple[tuple[float, float], ...]
    solved: tuple[bool, ...]
    rho: float
    low: float
    high: float


def scatter_table(groups: Sequence[Episodes], x: str, y: str) -> str:
    """Markdown, a row for each group: range of `x`, mean of `y`, and how their ranks go together."""
    head = ["task", "levels", "episodes", "solved", x, f"{y}, mean", "rank correlation", "95 %"]
    rows = [head, [*["---"] * 2, *["---:"] * (len(head) - 2)]]
    for one in groups:
        xs, ys = zip(*one.points, strict=True)
        rows.append(
            [
                one.task,
                str(one.levels or "–"),
                f"{len(one.points):,}",
                f"{sum(one.solved):,}",
                f"{min(xs):,.0f}–{max(xs):,.0f}",
                f"{sum(ys) / len(ys):,.0f}",
                number(one.rho, 2),
                f"{one.low:.2f} to {one.high:.2f}" if math.isfinite(one.low) else "–",
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def scatter_figure(groups: Sequence[Episodes], x: str, y: str) -> str:
    """An SVG file. Tasks of one family, the word before the slash, share a panel; colours are numbers of levels; an
    episode that was not solved is hollow, as it cost what its limit of steps let it."""
    families = list(dict.fromkeys(_family(one) for one in groups))
    width, height = GAP + len(families) * (WIDTH + GAP), HEAD + HEIGHT + FOOT
    style = files("hplan.report").joinpath("report.css").read_text(encoding="utf-8")
    size = f'width="{SCALE * width:.0f}" height="{SCALE * height:.0f}" viewBox="0 0 {width} {height}"'
    panels = (
        _panel([one for one in groups if _family(one) == family], GAP + i * (WIDTH + GAP), family, x, y)
        for i, family in enumerate(families)
    )
    page = '<rect width="100%" height="100%" style="fill: var(--page)"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>{page}{"".join(panels)}</svg>\n'


def _panel(groups: Sequence[Episodes], left: int, family: str, x: str, y: str) -> str:
    clouds = [
        Cloud(f"{one.task}, {_levels(one.levels)}", one.points, one.solved, max(one.levels - 1, 0)) for one in groups
    ]
    below, marks, at = HEAD + HEIGHT, [], LEFT
    for levels in sorted({one.levels for one in groups}):
        marks.append(f'<circle class="b{max(levels - 1, 0)}" cx="{at + 3}" cy="{below + 23}" r="3"/>')
        marks.append(f'<text x="{at + 10}" y="{below + 26}">{_levels(levels)}</text>')
        at += 56
    if not all(solved for one in groups for solved in one.solved):
        marks.append(f'<text x="{at}" y="{below + 26}">hollow: not solved</text>')
    return (
        f'<g class="chart" transform="translate({left} 0)">'
        f'<text x="{LEFT}" y="{HEAD - 8}">{escape(f"{family}: {y} of an episode, by {x}")}</text>'
        f'<svg y="{HEAD}" width="{WIDTH}" height="{HEIGHT}">{dot_chart(clouds)}</svg>{"".join(marks)}</g>'
    )


def _levels(count: int) -> str:
    return f"{count or 'no'} level{'s' * (count != 1)}"


def _family(one: Episodes) -> str:
    return one.task.split("/")[0]
