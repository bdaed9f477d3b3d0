"""Small drawings for a page: charts of lines and bars, maps of codes; inline SVG, coloured by its style sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 340, 170, 46, 22, 8, 8
COLOURS = 6  # classes s0..s5 of the style sheet
POINTS = 200  # per line; more than a chart this small can show
CELL = 14
SMALLEST = 1e-300  # values this close to one another, or to 0, are the same: below it floats lose their digits
GROUPS = 5  # of the dots of a cloud, for its line


@dataclass(frozen=True)
class Cloud:
    """(x, y) points, all finite, of one name and colour; `full`: which of them are solid dots."""

    name: str
    points: tuple[tuple[float, float], ...]
    full: tuple[bool, ...]
    colour: int = 0


@dataclass(frozen=True)
class _Axes:
    """Where a point lies on the page; y on a logarithm where values span a factor of 30 above zero."""

    x_low: float
    x_high: float
    ticks: list[float]
    log: bool

    @classmethod
    def around(cls, points: Sequence[tuple[float, float]]) -> _Axes:
        xs, ys = zip(*points, strict=True)
        log = min(ys) >= SMALLEST and max(ys) > 30 * min(ys)
        return cls(min(xs), max(xs), (_log_ticks if log else _ticks)(min(ys), max(ys)), log)

    def across(self, x: float) -> float:
        return LEFT + (x - self.x_low) / ((self.x_high - self.x_low) or 1) * (WIDTH - LEFT - RIGHT)

    def up(self, y: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (self.ticks[0], self.ticks[-1], y))
        return HEIGHT - BOTTOM - (at - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    def drawn(self) -> Iterator[str]:
        for y in self.ticks:
            yield f'<path class="grid" d="M{LEFT} {self.up(y):.1f}H{WIDTH - RIGHT}"/>'
            yield f'<text x="{LEFT - 5}" y="{self.up(y) + 3:.1f}" text-anchor="end">{y:.3g}</text>'
        for x, anchor in ((self.x_low, "start"), (self.x_high, "end")):
            yield f'<text x="{self.across(x):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{x:,.0f}</text>'


def line_chart(series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lines of (x, y) points on common axes, the y axis logarithmic where values span a factor of 30 above zero.

    Points that are not finite are left out. An empty string where nothing is left.
    """
    lines = {name: _thin([p for p in points if all(map(math.isfinite, p))]) for name, points in series.items()}
    points = [point for line in lines.values() for point in line]
    if not points:
        return ""
    axes = _Axes.around(points)
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">', *axes.drawn()]
    for i, (name, line) in enumerate(lines.items()):
        path = " ".join(f"{axes.across(x):.1f},{axes.up(y):.1f}" for x, y in line)
        parts.append(f'<polyline class="s{i % COLOURS}" points="{path}"><title>{escape(name)}</title></polyline>')
    return "".join([*parts, "</svg>"])


def dot_chart(clouds: Sequence[Cloud]) -> str:
    """Dots on common axes as in `line_chart`, hollow where not `full`, and a line for each cloud through the means of
    GROUPS equal parts of it, ordered by x. An empty string where there are no dots."""
    points = [point for cloud in clouds for point in cloud.points]
    if not points:
        return ""
    axes = _Axes.around(points)
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">', *axes.drawn()]
    for cloud in clouds:
        colour = cloud.colour % COLOURS
        for (x, y), full in zip(cloud.points, cloud.full, strict=True):
            look = f'class="b{colour}" fill-opacity="0.5"' if full else f'class="s{colour}" fill="none"'
            parts.append(f'<circle {look} cx="{axes.across(x):.1f}" cy="{axes.up(y):.1f}" r="2"/>')
        groups = np.array_split(np.array(sorted(cloud.points)), min(GROUPS, len(cloud.points)))
        path = " ".join(f"{axes.across(x):.1f},{axes.up(y):.1f}" for x, y in (group.mean(axis=0) for group in groups))
        title = f"<title>{escape(cloud.name)}</title>"
        parts.append(f'<polyline class="s{colour}" points="{path}">{title}</polyline>')
    return "".join([*parts, "</svg>"])


def bar_chart(series: Mapping[str, Mapping[str, float]]) -> str:
    """A group of bars for every key, one for every series, from 0 to 1; what lies outside ends at the axis.

    Values that are not finite have no bar. An empty string where there are no keys.
    """
    keys = list(dict.fromkeys(key for one in series.values() for key in one))
    if not keys:
        return ""
    group, height = (WIDTH - LEFT - RIGHT) / len(keys), HEIGHT - BOTTOM - TOP
    bar = 0.8 * group / len(series)
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    for y in (0.0, 0.5, 1.0):
        at = HEIGHT - BOTTOM - y * height
        parts.append(f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{at + 3:.1f}" text-anchor="end">{y:g}</text>')
    for k, key in enumerate(keys):
        middle = LEFT + (k + 0.5) * group
        parts.append(f'<text x="{middle:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{escape(key)}</text>')
        for i, (name, values) in enumerate(series.items()):
            if math.isfinite(value := values.get(key, math.nan)):
                tall = min(max(value, 0.0), 1.0) * height
                x, y = middle - 0.4 * group + i * bar, HEIGHT - BOTTOM - tall
                place = f'x="{x:.1f}" y="{y:.1f}" width="{bar:.1f}" height="{tall:.1f}"'
                told = f"<title>{escape(name)}: {escape(key)} {value:.2f}</title>"
                parts.append(f'<rect class="b{i % COLOURS}" {place}>{told}</rect>')
    return "".join([*parts, "</svg>"])


def code_map(codes: np.ndarray) -> str:
    """A map (H, W) of whole numbers, one colour per code; the code itself shows under the pointer."""
    height, width = np.shape(codes)
    parts = [f'<svg class="map" width="{width * CELL}" height="{height * CELL}" role="img">']
    for y, x in np.ndindex(height, width):
        code = int(codes[y, x])
        place = f'x="{x * CELL}" y="{y * CELL}" width="{CELL}" height="{CELL}"'
        parts.append(f'<rect {place} fill="{_code_colour(code)}"><title>{code}</title></rect>')
    return "".join([*parts, "</svg>"])


def _code_colour(code: int) -> str:
    """Neighbouring codes far apart in hue (golden angle), and every third one lighter."""
    return f"hsl({code * 137.508 % 360:.0f} {45 + 10 * (code % 2)}% {(42, 58, 72)[code % 3]}%)"


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most POINTS points, the last one among them."""
    step = max(1, math.ceil(len(points) / POINTS))
    return [*points[:-1:step], *points[-1:]]


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers, the outer ones around low and high."""
    if high - low < SMALLEST:
        around = abs(low) if abs(low) >= SMALLEST else 1.0
        low, high = low - 0.5 * around, high + 0.5 * around
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    return [i * step for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten around low and high, at most seven of them."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = math.ceil((last - first) / 5)
    return [10.0**power for power in range(first, last + step, step)]
