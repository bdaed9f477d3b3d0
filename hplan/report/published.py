"""Success on each task beside the best that others published for it: a table and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

LEFT, BAR, ROW, HEAD, FOOT, RIGHT = 190, 420, 26, 40, 24, 150


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

    @property
    def rate(self) -> float:
        return self.successes / self.episodes


def published_table(standings: Sequence[Standing]) -> str:
    """Markdown, a row for each task. The interval is of all episodes together."""
    head = ["task", "seeds", "episodes", "success", "95 %", "by seed", "best published", "by"]
    rows = [head, ["---", *["---:"] * 6, "---"]]
    for one in standings:
        low, high = one.interval
        rows.append(
            [
                one.task,
                str(len(one.rates)),
                f"{one.episodes:,}",
                f"{100 * one.rate:.1f} %",
                f"{100 * low:.1f}–{100 * high:.1f}",
                " / ".join(f"{100 * rate:.1f}" for rate in one.rates),
                f"{100 * one.best:.1f}",
                one.by,
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def published_figure(standings: Sequence[Standing]) -> str:
    """An SVG file: a bar with its interval for each task, and a mark where the best published figure lies."""
    width, height = LEFT + BAR + RIGHT, HEAD + len(standings) * ROW + FOOT
    style = files("hplan.report").joinpath("report.css").read_text(encoding="utf-8")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f'<style>{style}</style><rect width="100%" height="100%" style="fill: var(--page)"/><g class="chart">',
        f'<rect class="b0" x="{LEFT}" y="11" width="12" height="10"/><text x="{LEFT + 18}" y="20">hplan, 95 %</text>',
        f'<path class="s1" stroke-width="3" d="M{LEFT + 106} 8v16"/>',
        f'<text x="{LEFT + 114}" y="20">best published</text>',
    ]
    for percent in (0, 25, 50, 75, 100):
        at = LEFT + BAR * percent / 100
        parts.append(f'<path class="grid" d="M{at:.1f} {HEAD - 8}V{height - FOOT}"/>')
        parts.append(f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle">{percent} %</text>')
    for row, one in enumerate(standings):
        parts.append(f'<g transform="translate(0 {HEAD + row * ROW})">{_row(one)}</g>')
    return "".join([*parts, "</g></svg>\n"])


def _row(one: Standing) -> str:
    low, high = (LEFT + BAR * bound for bound in one.interval)
    said = f"{100 * one.rate:.1f}; {100 * one.best:g} {one.by.split(',')[0]}"
    return (
        f'<text x="{LEFT - 8}" y="12" text-anchor="end">{escape(one.task.split("/")[-1])}</text>'
        f'<rect class="b0" fill-opacity="0.75" x="{LEFT}" y="1" width="{BAR * one.rate:.1f}" height="16"/>'
        f'<path stroke="currentColor" d="M{low:.1f} 9H{high:.1f}"/>'
        f'<path class="s1" stroke-width="3" d="M{LEFT + BAR * one.best:.1f} -1v20"/>'
        f'<text x="{LEFT + BAR + 10}" y="12">{escape(said)}</text>'
    )
