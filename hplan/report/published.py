"""Success on each task beside the best that others published for it: a table and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hplan.report.table import markdown
from hplan.report.theme import INK, SERIES, SOFT, new_figure, style, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Standing:
    """Ours on one task, all seeds together, and the best that was published. interval: of the success rate; rates: of
    each seed; best: what was published, all fractions; by: whose it is."""

    task: str
    successes: int
    episodes: int
    interval: tuple[float, float]
    rates: tuple[float, ...]
    best: float
    by: str
    steps: float | None = None  # of experience that it took them, where that is known

    @property
    def rate(self) -> float:
        return self.successes / self.episodes


def published_table(standings: Sequence[Standing]) -> str:
    """Markdown, a row for each task. The interval is of all episodes together."""
    rows = [
        (
            one.task,
            str(len(one.rates)),
            f"{one.episodes:,}",
            f"{100 * one.rate:.1f} %",
            "–".join(f"{100 * bound:.1f}" for bound in one.interval),
            " / ".join(f"{100 * rate:.1f}" for rate in one.rates),
            f"{100 * one.best:.1f}",
            one.by,
        )
        for one in standings
    ]
    head = ("task", "seeds", "episodes", "success", "95 %", "by seed", "best published", "by")
    return markdown(head, rows, "lrrrrrrl")


def published_figure(standings: Sequence[Standing]) -> str:
    """An SVG file: a bar with its interval for each task, and a mark where the best published figure lies."""
    return svg(published_chart(standings), alone=True)


@style()
def published_chart(standings: Sequence[Standing]) -> Figure:
    figure = new_figure(8.5, 1.1 + 0.34 * len(standings))
    axes = figure.add_subplot(xlim=(0, 100), xticks=range(0, 101, 25), xlabel="success [% of episodes]")
    at = range(len(standings))
    rates = [100 * one.rate for one in standings]
    low, high = zip(*([100 * bound for bound in one.interval] for one in standings), strict=True)
    axes.barh(at, rates, 0.6, color=SERIES[0], alpha=0.7, label="hplan")
    axes.hlines(at, low, high, color=INK[0], linewidth=2, label="95 % interval", clip_on=False)
    best = [100 * one.best for one in standings]
    axes.plot(best, at, "|", color=SERIES[1], markersize=15, markeredgewidth=3, label="best published", clip_on=False)
    for i, one in enumerate(standings):
        said = f"{100 * one.rate:.1f} %   published: {100 * one.best:g} %, {one.by.split(',')[0]}"
        axes.text(1.02, i, said, transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=SOFT[0])
    axes.set_yticks(at, [one.task.split("/")[-1] for one in standings])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    figure.legend(loc="outside upper left", ncols=3, labelcolor=SOFT[0])
    return figure


def experience_figure(standings: Sequence[Standing], ours: float) -> str:
    """An SVG file: success against steps of experience, of what was published and of `ours`."""
    return svg(experience_chart(standings, ours), alone=True)


@style()
def experience_chart(standings: Sequence[Standing], ours: float) -> Figure:
    known = [(one, one.steps) for one in standings if one.steps is not None]
    figure = new_figure(8.5, 1.1 + 0.34 * len(known))
    least, most = (pick(ours, *(steps for _, steps in known)) for pick in (min, max))
    axes = figure.add_subplot(xlabel="steps of experience (log scale)", xscale="log", xlim=(least / 3, 6 * most))
    at = range(len(known))
    axes.plot([ours] * len(known), at, "o", color=SERIES[0], markersize=8, label="hplan")
    axes.plot([steps for _, steps in known], at, "D", color=SERIES[1], markersize=7, label="best published")
    for i, (one, steps) in enumerate(known):
        for x, rate in ((ours, one.rate), (steps, one.best)):
            axes.annotate(f"{100 * rate:.0f} %", (x, i), (8, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(at, [one.task.split("/")[-1] for one, _ in known])
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    figure.legend(loc="outside upper left", ncols=2, labelcolor=SOFT[0])
    return figure
