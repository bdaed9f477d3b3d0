"""Charts of lines, of bars, and of maps of codes."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hplan.report.theme import SERIES, SOFT, new_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]
WIDE = 30  # largest by smallest value; above it an axis is logarithmic
APART = 0.085  # of the height of a chart: the least distance of two labels
NAMED = 120  # cells; a larger map has no room for a number in each


@style()
def line_chart(
    series: Mapping[str, Points],
    *,
    x: str,
    y: str,
    title: str = "",
    ends: bool = True,
    reference: Mapping[str, float] | None = None,
) -> Figure | None:
    """Lines of (x, y) points; each is named at its end, with its last value where `ends`. None where nothing is finite.

    reference: names and heights of dashed lines. The y axis is logarithmic where values, none of them negative, span
    more than a factor of WIDE.
    """
    lines = {name: [p for p in points if all(map(math.isfinite, p))] for name, points in series.items()}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return None
    figure = new_figure(4.4, 2.5)
    axes = figure.add_subplot(xlabel=x, title=title)
    for i, (name, points) in enumerate(lines.items()):
        marker = "o" if len(points) < 12 else ""
        dashes = "--" if i >= len(SERIES) else "-"
        axes.plot(*zip(*points, strict=True), color=SERIES[i % len(SERIES)], label=name, marker=marker, ms=3, ls=dashes)
    axes.locator_params(axis="x", integer=True, nbins=6)
    for name, height in (reference or {}).items():
        axes.axhline(height, color=SOFT[0], linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(name, (0, height), (2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
                      color=SOFT[0], fontsize=8)  # fmt: skip
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    log = log_where_wide(axes, [value for points in lines.values() for _, value in points])
    axes.set_ylabel(f"{y} (log scale)" if log else y)
    last = {name: points[-1][1] for name, points in lines.items()}
    name_lines(axes, {f"{name}  {value:.3g}" if ends else name: value for name, value in last.items()})
    return figure


def log_where_wide(axes: Axes, values: Sequence[float]) -> bool:
    """Whether the y axis became logarithmic. Zeros are drawn at its lower end."""
    positive = [value for value in values if value > 0]
    wide = min(values) >= 0 and bool(positive) and max(positive) > WIDE * min(positive)
    if wide:
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(bottom=min(positive) / 1.5)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
    return wide


def name_lines(axes: Axes, ends: Mapping[str, float]) -> None:
    """Write names beside the right ends of an axes' lines, at the heights where these end, but apart."""
    low, high = axes.get_ylim()
    values = (low, high, *(max(value, low) for value in ends.values()))
    low, high, *heights = axes.transScale.transform([(1, value) for value in values])[:, 1]
    places = spread([(height - low) / (high - low) for height in heights])
    for name, place, line in zip(ends, places, axes.lines, strict=False):
        axes.text(1.02, place, name, transform=axes.transAxes, va="center", color=line.get_color(), fontsize=8)


def spread(places: Sequence[float]) -> list[float]:
    """Places in the same order, each APART from the next, on average where they were."""
    order = np.argsort(places, kind="stable")
    moved = np.array(places, float)[order]
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + APART)
    if len(moved):
        moved -= max(moved[-1] - max(1.0, max(places)), 0.0)
    for i in range(len(moved) - 2, -1, -1):
        moved[i] = min(moved[i], moved[i + 1] - APART)
    found = np.empty(len(moved))
    found[order] = moved
    return found.tolist()


@style()
def bar_chart(series: Mapping[str, Mapping[str, float]], *, y: str, title: str = "") -> Figure | None:
    """A group of bars for every key, one for every series, from 0 to 1: what lies outside ends at the axis, and its
    number says what it is. None where there are no keys."""
    keys = list(dict.fromkeys(key for one in series.values() for key in one))
    if not keys:
        return None
    figure = new_figure(max(4.4, 1.2 * len(keys)), 2.5)
    axes = figure.add_subplot(ylabel=y, xlim=(-0.6, len(keys) - 0.4), ylim=(0, 1.08), title=title)
    axes.grid(False, axis="x")
    width = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        at = [k - 0.4 + (i + 0.5) * width for k in range(len(keys))]
        heights = [values.get(key, math.nan) for key in keys]
        bars = axes.bar(at, np.clip(heights, 0, 1), 0.9 * width, color=SERIES[i % len(SERIES)], label=name)
        said = [f"{height:.2f}" if math.isfinite(height) else "" for height in heights]
        axes.bar_label(bars, said, fontsize=7, color=SOFT[0], padding=1)
    axes.set_xticks(range(len(keys)), keys)
    if len(series) > 1:
        figure.legend(loc="outside lower center", ncols=len(series), labelcolor=SOFT[0])
    return figure


@style()
def map_chart(codes: np.ndarray, *, title: str = "") -> Figure:
    """A map (H, W) of whole numbers: equal colours and equal numbers are equal codes, numbered from 0."""
    from matplotlib.colors import ListedColormap

    height, width = np.shape(codes)
    kinds, numbers = np.unique(codes, return_inverse=True)
    numbers = numbers.reshape(height, width)
    figure = new_figure(0.25 * width + 0.2, 0.25 * height + 0.5)
    axes = figure.add_subplot(title=title, aspect="equal", xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    colours = ListedColormap([_code_colour(i) for i in range(len(kinds))])
    axes.pcolormesh(numbers, cmap=colours, vmin=-0.5, vmax=len(kinds) - 0.5, edgecolors="face", linewidth=0.3)
    for (row, column), number in np.ndenumerate(numbers) if codes.size <= NAMED else ():
        axes.text(column + 0.5, row + 0.5, str(number), ha="center", va="center", fontsize=6, color="#111111")
    return figure


def _code_colour(code: int) -> tuple[float, float, float]:
    """Light enough for dark numbers; neighbouring codes far apart in hue (golden angle), every third one lighter."""
    return colorsys.hls_to_rgb(code * 137.508 % 360 / 360, (0.62, 0.72, 0.82)[code % 3], 0.55)
