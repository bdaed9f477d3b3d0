"""A run on one page: a single HTML file that needs nothing else, for a browser or an attachment."""

from __future__ import annotations

import base64
import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hplan.files import write_atomically
from hplan.report.charts import line_chart, map_chart
from hplan.report.live import UPPER, budget_text, repair_text
from hplan.report.table import COLUMNS, WORDS, number, rows
from hplan.report.theme import COLOURS, SERIES, SOFT, needs, new_figure, rules, style, svg
from hplan.report.trace import TraceStep
from hplan.report.tree import GLYPHS, lines
from hplan.types import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PAIRS = re.compile(r"\x1b\[38;2;(\d+);(\d+);(\d+)m\x1b\[48;2;(\d+);(\d+);(\d+)m(" + UPPER + "+)")
ACROSS = 256  # pixels of the page that an image of the world is wide

Curves = Mapping[str, Sequence[Mapping[str, float]]]  # stage -> rows of {"step": ..., one entry per loss component}


@dataclass(frozen=True)
class LevelPage:
    """What a level learned. `facts`: table rows in words; `maps`: captions and codes (H, W) of a spatial latent."""

    level: int
    facts: Mapping[str, str]
    maps: Sequence[tuple[str, np.ndarray]] = field(default=())


def write_report(
    path: str | os.PathLike[str],
    *,
    title: str,
    summary: Sequence[str] = (),
    curves: Curves | None = None,
    levels: Sequence[LevelPage] = (),
    results: Sequence[Result] = (),
    episode: Sequence[TraceStep] = (),
    versions: Mapping[str, str] | None = None,
    command: str = "",
    frames: int = 12,
) -> Path:
    """Write the page of a run, atomically; of `episode`, `frames` steps are shown.

    `summary`: paragraphs. `curves`: per training stage, rows with `step` and loss components. Raises HplanError where
    the extra `viz` is not installed.
    """
    return write_page(
        path,
        "run.html",
        title=title,
        summary=summary,
        columns=COLUMNS,
        words=WORDS,
        results=rows(results),
        results_chart=results_chart(results) if results else None,
        glyphs=GLYPHS,
        frames=[
            {"world": s.world, "images": _images(s), "top": lines(s.tree), "foot": _foot(s)}
            for s in pick(episode, frames)
        ],
        surprise_chart=surprise_chart(episode),
        curves=curve_charts(curves or {}),
        levels=[(one, [(said, map_chart(codes)) for said, codes in one.maps]) for one in levels],
        versions=versions or {},
        command=command,
    )


def write_page(path: str | os.PathLike[str], template: str, **values: Any) -> Path:
    """Fill in a template of this package, and write the page atomically. What is no chart is escaped."""
    with needs("viz"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup
    loader = PackageLoader("hplan.report")
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    pages.filters["svg"] = lambda figure: Markup(svg(figure))
    text = pages.get_template(template).render(colours=COLOURS, rules=Markup(rules()), **values)
    return write_atomically(path, text + "\n")


def curve_charts(curves: Curves) -> list[Figure]:
    """A chart for every stage of training."""
    charts = []
    for stage, table in curves.items():
        names = dict.fromkeys(name for row in table for name in row if name != "step")
        series = {name: [(row["step"], row[name]) for row in table if name in row] for name in names}
        charts.append(line_chart(series, x="gradient steps", y="loss or score", title=stage))
    return [chart for chart in charts if chart]


def surprise_chart(steps: Sequence[TraceStep]) -> Figure | None:
    """Surprise of every level over an episode, as a multiple of its threshold: above 1 the level's plan is repaired."""
    levels = sorted({level for step in steps for level, limit in step.thresholds.items() if 0 < limit < math.inf})
    series = {
        f"level {level}": [(s.step, s.surprise.get(level, math.nan) / s.thresholds.get(level, math.nan)) for s in steps]
        for level in levels
    }
    return line_chart(series, x="environment steps", y="surprise / threshold", title="Surprise of each level",
                      ends=False, reference={"replanning threshold": 1.0})  # fmt: skip


@style()
def results_chart(results: Sequence[Result]) -> Figure:
    """Success with its interval, and predictor evaluations a step, of each result."""
    figure = new_figure(9, 0.8 + 0.36 * len(results))
    left, right = figure.subplots(1, 2, sharey=True)
    names = [
        f"{one.method}, {one.levels} level{'s' * (one.levels != 1)}" if one.levels else one.method for one in results
    ]
    at = range(len(results))
    rates = [100 * one.success_rate for one in results]
    sides = [[abs(100 * bound - rate) for bound, rate in zip(one.ci95, (rate, rate), strict=True)]
             for one, rate in zip(results, rates, strict=True)]  # fmt: skip
    left.barh(at, rates, 0.55, color=SERIES[0])
    left.errorbar(rates, at, xerr=np.transpose(sides), fmt="none", ecolor=SOFT[0], capsize=3)
    left.set(xlim=(0, 118), xticks=range(0, 101, 25), xlabel="success [% of episodes], 95 % interval")
    evaluations = [one.predictor_evals_per_step if one.levels else 0.0 for one in results]
    right.barh(at, evaluations, 0.55, color=SERIES[1])
    right.set(xlim=(0, 1.25 * max(*evaluations, 1e-9)), xlabel="predictor evaluations per environment step")
    for i, (rate, count, (_, up)) in enumerate(zip(rates, evaluations, sides, strict=True)):
        left.text(rate + up + 2, i, f"{rate:.0f} %", va="center")
        right.annotate(
            f"{count:,.1f}" if results[i].levels else "none",
            (count, i),
            (4, 0),
            textcoords="offset points",
            va="center",
        )
    left.set_yticks(at, names)
    left.invert_yaxis()
    for axes in (left, right):
        axes.grid(False, axis="y")
    return figure


def _images(step: TraceStep) -> list[tuple[str, str]]:
    """What the agent sees and what its levels expect, each with its caption; nothing where the world is no image."""
    seen = {"what the agent sees": step.world}
    seen |= {f"what level {level} expects": drawn for level, drawn in sorted(step.imagined.items())}
    return [(said, image) for said, drawn in seen.items() if (image := png(drawn))]


def png(world: str) -> str:
    """An image that was drawn as half blocks with colours, as a data URI; empty where the text is none."""
    lines = [_PAIRS.findall(line) for line in world.splitlines() if "\x1b" in line]
    if not lines:
        return ""
    from PIL import Image

    rows = [[tuple(map(int, pair[:6])) for pair in line for _ in pair[6]] for line in lines]
    pairs = np.array(rows, np.uint8)  # (H / 2, W, 6)
    pixels = np.stack([pairs[..., :3], pairs[..., 3:]], 1).reshape(-1, pairs.shape[1], 3)
    file = io.BytesIO()
    Image.fromarray(pixels).resize((ACROSS, ACROSS * len(pixels) // pairs.shape[1]), Image.Resampling.NEAREST).save(
        file, "PNG"
    )
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _foot(step: TraceStep) -> list[str]:
    surprise = ", ".join(
        f"level {level} {number(step.surprise.get(level, math.nan), 2)} of {threshold:.2f}"
        for level, threshold in sorted(step.thresholds.items(), reverse=True)
    )
    foot = [budget_text(step), *([f"surprise: {surprise}"] if surprise else [])]
    return foot + ([repair_text(step.repair)] if step.repair else [])


def pick(steps: Sequence[TraceStep], frames: int) -> list[TraceStep]:
    """The steps worth a picture: first and last, then those where a plan was repaired or a subgoal was settled, then
    others between, evenly. In order, at most `frames`."""
    if len(steps) <= frames:
        return list(steps)
    turning = [i for i in range(1, len(steps)) if _turns(steps[i - 1], steps[i])]
    chosen = {0, len(steps) - 1, *_evenly(turning, max(frames - 2, 0))}
    rest = [i for i in range(len(steps)) if i not in chosen]
    chosen.update(_evenly(rest, frames - len(chosen)))
    return [steps[i] for i in sorted(chosen)]


def _turns(before: TraceStep, after: TraceStep) -> bool:
    settled = [{n.id: n.status for n in s.tree.nodes.values() if n.level} for s in (before, after)]
    return before.repair != after.repair or settled[0] != settled[1]


def _evenly(indices: Sequence[int], count: int) -> list[int]:
    if count <= 0 or not indices:
        return []
    places = np.linspace(0, len(indices) - 1, min(count, len(indices)))
    return [indices[round(place)] for place in places]
