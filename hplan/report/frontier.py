"""Success against what planning an episode costs: a chart for each task, and the frontier of what has no levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hplan.report.theme import SERIES, SOFT, new_figure, style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = "osD^vP*X"


@dataclass(frozen=True)
class Point:
    """One way to plan, on one task. cost: model evaluations of an episode on average; rate and interval: fractions;
    levels: that it plans with."""

    task: str
    series: str
    levels: int
    cost: float
    rate: float
    interval: tuple[float, float]


def frontier_figure(points: Sequence[Point]) -> str:
    """An SVG file."""
    return svg(frontier_chart(points), alone=True)


@style()
def frontier_chart(points: Sequence[Point]) -> Figure:
    tasks = list(dict.fromkeys(one.task for one in points))
    names = list(dict.fromkeys(one.series for one in points))
    figure = new_figure(1 + 3.4 * len(tasks), 3.6)
    charts = figure.subplots(1, len(tasks), squeeze=False, sharex=True, sharey=True)[0]
    for task, axes in zip(tasks, charts, strict=True):
        same = [one for one in points if one.task == task]
        for one in same:
            number = names.index(one.series)
            low, high = (100 * bound for bound in one.interval)
            axes.vlines(one.cost, low, high, color=SERIES[number % len(SERIES)], alpha=0.4)
            axes.plot(one.cost, 100 * one.rate, MARKS[number % len(MARKS)], color=SERIES[number % len(SERIES)])
        _draw_frontier(axes, [one for one in same if one.levels == 1])
        axes.set(title=task.split("/")[-1], xlabel="model evaluations of an episode (log scale)", xscale="log")
    charts[0].set(ylabel="success [% of episodes]", ylim=(-4, 104))
    marks = [
        charts[-1].plot([], [], MARKS[i % len(MARKS)], color=SERIES[i % len(SERIES)], label=name)[0]
        for i, name in enumerate(names)
    ]
    marks += charts[-1].plot([], [], color=SOFT[0], linestyle=":", label="best with one level")
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks), labelcolor=SOFT[0])
    return figure


def _draw_frontier(axes: Axes, flat: Sequence[Point]) -> None:
    """The most that anything without levels reaches at so much or less."""
    best, costs, rates = -1.0, list[float](), list[float]()
    for one in sorted(flat, key=lambda one: (one.cost, -one.rate)):
        if one.rate > best:
            best = one.rate
            costs.append(one.cost)
            rates.append(100 * best)
    if costs:
        last = max(one.cost for one in flat)
        axes.step([*costs, last], [*rates, rates[-1]], where="post", color=SOFT[0], linestyle=":")
