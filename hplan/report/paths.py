"""Episodes drawn over the map that they went through, with what each level aimed for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

import numpy as np

CELL, GAP, HEAD, FOOT = 16, 20, 34, 26
NARROWEST = 460  # so that title and legend have room
ACROSS = 5  # maps in a row


@dataclass(frozen=True)
class Path:
    """One episode. All places are in cells, (column, row), the middle of a cell at whole numbers. way: (T + 1, 2).
    subgoals: by level, each place that it aimed for, in turn."""

    walls: np.ndarray
    way: np.ndarray
    goal: tuple[float, float]
    goal_name: str
    success: bool
    subgoals: dict[int, list[tuple[float, float]]] = field(default_factory=dict)


def paths_figure(paths: Sequence[Path], title: str) -> str:
    """An SVG file: a map for every episode. The way is a line from a square to a ring, the goal; dots are subgoals,
    the higher the level the larger."""
    rows, columns = np.max([path.walls.shape for path in paths], 0)
    across, down = min(ACROSS, len(paths)), -(-len(paths) // ACROSS)
    width = max(GAP + across * (columns * CELL + GAP), NARROWEST)
    height = HEAD + down * (rows * CELL + HEAD) + FOOT
    style = files("hplan.report").joinpath("report.css").read_text(encoding="utf-8")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">',
        f'<style>{style}</style><rect width="100%" height="100%" style="fill: var(--page)"/>',
        f'<g class="chart"><text x="{GAP}" y="16" style="font-size: 13px">{escape(title)}</text>',
    ]
    for i, path in enumerate(paths):
        left, top = GAP + i % ACROSS * (columns * CELL + GAP), HEAD + i // ACROSS * (rows * CELL + HEAD)
        parts.append(f'<g transform="translate({left} {top})">{_map(path)}</g>')
    return "".join([*parts, _legend(paths, height - 10), "</g></svg>\n"])


def _map(path: Path) -> str:
    steps, name = len(path.way) - 1, f"goal {path.goal_name}: " if path.goal_name else ""
    said = f"{steps} steps" if path.success else f"lost, {steps} steps"
    parts = [f'<text x="0" y="8">{escape(name)}{said}</text><g transform="translate(0 14)">']
    for row, column in np.argwhere(path.walls).tolist():
        place = f'x="{column * CELL}" y="{row * CELL}" width="{CELL}" height="{CELL}"'
        parts.append(f'<rect {place} style="fill: var(--line)"/>')
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(_at, path.way.tolist()))
    parts.append(f'<polyline class="s0" points="{points}"/>')
    for level, places in sorted(path.subgoals.items(), reverse=True):
        for x, y in map(_at, places):
            parts.append(f'<circle class="b{level}" fill-opacity="0.8" cx="{x:.1f}" cy="{y:.1f}" r="{_size(level)}"/>')
    x, y = _at(path.way[0].tolist())
    parts.append(f'<rect class="b0" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>')
    x, y = _at(path.goal)
    parts.append(f'<circle class="s5" fill="none" stroke-width="2" cx="{x:.1f}" cy="{y:.1f}" r="6"/></g>')
    return "".join(parts)


def _at(place: Sequence[float]) -> tuple[float, float]:
    """The middle of a cell is at whole numbers."""
    return (place[0] + 0.5) * CELL, (place[1] + 0.5) * CELL


def _size(level: int) -> float:
    return 0.5 + 1.5 * level


def _legend(paths: Sequence[Path], y: float) -> str:
    parts, at = [], GAP
    for level in sorted({level for path in paths for level in path.subgoals}):
        parts.append(f'<circle class="b{level}" cx="{at + 4}" cy="{y - 3}" r="{_size(level)}"/>')
        parts.append(f'<text x="{at + 14}" y="{y}">subgoals of level {level}</text>')
        at += 120
    return "".join([*parts, f'<text x="{at}" y="{y}">square: start, ring: goal</text>'])
