"""One figure of every episode against another: a chart for each family of tasks, and a table of rank correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hplan.report.charts import log_where_wide
from hplan.report.table import markdown, number
from hplan.report.theme import SERIES, SOFT, new_figure, style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS = 5  # of the episodes of a task; the trend goes through their means
UNITS = {  # of what `--records` has of an episode
    "optimal_steps": "length of the shortest solution [environment steps]",
    "steps": "length of the episode [environment steps]",
    "evaluations": "predictor evaluations per episode",
    "ms": "planning time per episode [ms]",
}


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
    rows = []
    for one in groups:
        xs, ys = zip(*one.points, strict=True)
        rows.append(
            (
                one.task,
                str(one.levels or "–"),
                f"{len(one.points):,}",
                f"{sum(one.solved):,}",
                f"{min(xs):,.0f}–{max(xs):,.0f}",
                f"{sum(ys) / len(ys):,.0f}",
                number(one.rho, 2),
                f"{one.low:.2f} to {one.high:.2f}" if math.isfinite(one.low) else "–",
            )
        )
    head = ("task", "levels", "episodes", "solved", x, f"{y}, mean", "rank correlation", "95 %")
    return markdown(head, rows, "llrrrrrr")


def scatter_figure(groups: Sequence[Episodes], x: str, y: str) -> str:
    """An SVG file. Tasks of one family, the word before the slash, share a chart; colours are numbers of levels; an
    episode that was not solved is hollow: it cost what its limit of steps allowed."""
    return svg(scatter_chart(groups, x, y), alone=True)


@style()
def scatter_chart(groups: Sequence[Episodes], x: str, y: str) -> Figure:
    families = list(dict.fromkeys(_family(one) for one in groups))
    figure = new_figure(1 + 4.6 * len(families), 4)
    charts = figure.subplots(1, len(families), squeeze=False)[0]
    for family, axes in zip(families, charts, strict=True):
        same = [one for one in groups if _family(one) == family]
        for one in same:
            _draw(axes, one)
        log = log_where_wide(axes, [value for one in same for _, value in one.points])
        axes.set(title=family, xlabel=UNITS.get(x, x), ylabel=UNITS.get(y, y) + " (log scale)" * log)
    depths = sorted({one.levels for one in groups})
    marks = [charts[-1].scatter([], [], s=16, color=_colour(levels), label=_name(levels)) for levels in depths]
    if not all(all(one.solved) for one in groups):
        marks.append(charts[-1].scatter([], [], s=16, facecolors="none", edgecolors=SOFT[0], label="not solved"))
    marks += charts[-1].plot([], [], color=SOFT[0], label="mean of a fifth of a task's episodes")
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), labelcolor=SOFT[0])
    return figure


def _draw(axes: Axes, one: Episodes) -> None:
    points, solved, colour = np.array(one.points, float), np.array(one.solved), _colour(one.levels)
    axes.scatter(*points[solved].T, s=9, color=colour, alpha=0.45, linewidths=0)
    axes.scatter(*points[~solved].T, s=9, facecolors="none", edgecolors=colour, alpha=0.7, linewidths=0.8)
    parts = np.array_split(np.array(sorted(one.points)), min(PARTS, len(points)))
    axes.plot(
        *np.array([part.mean(axis=0) for part in parts]).T, color=colour, label=f"{one.task}, {_name(one.levels)}"
    )


def _colour(levels: int) -> str:
    return SERIES[max(levels - 1, 0) % len(SERIES)]


def _name(levels: int) -> str:
    return f"{levels or 'no'} level{'s' * (levels != 1)}"


def _family(one: Episodes) -> str:
    return one.task.split("/")[0]
