"""Episodes drawn over the map that they went through, with the subgoals of each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hplan.report.theme import INK, LINE, PAGE, SERIES, SOFT, new_figure, style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 5  # maps in a row
CELL = 0.17  # inches


@dataclass(frozen=True)
class MazePath:
    """One episode. All places are in cells, (column, row), the middle of a cell at whole numbers. way: (T + 1, 2).
    subgoals: by level, each place that it aimed for, in turn."""

    walls: np.ndarray
    way: np.ndarray
    goal: tuple[float, float]
    goal_name: str
    success: bool
    subgoals: dict[int, list[tuple[float, float]]] = field(default_factory=dict)


def paths_figure(paths: Sequence[MazePath], title: str) -> str:
    """An SVG file: a map for every episode."""
    return svg(paths_chart(paths, title), alone=True)


@style()
def paths_chart(paths: Sequence[MazePath], title: str) -> Figure:
    """The path is a line from a square to a ring, the goal; dots are subgoals, the higher the level the larger."""
    rows, columns = np.max([path.walls.shape for path in paths], 0)
    across, down = min(ACROSS, len(paths)), -(-len(paths) // ACROSS)
    width, height = max(across * (columns * CELL + 0.3), 6.5), down * (rows * CELL + 0.4) + 0.8
    figure = new_figure(width, height)
    maps = figure.subplots(down, across, squeeze=False).ravel()
    for axes in maps:
        axes.set_axis_off()
    for axes, path in zip(maps, paths, strict=False):
        _map(axes, path)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    handles = {name: handle for axes in maps for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower left", ncols=len(handles), labelcolor=SOFT[0])
    return figure


def _map(axes: Axes, path: MazePath) -> None:
    from matplotlib.colors import ListedColormap

    rows, columns = path.walls.shape
    axes.set(aspect="equal", xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    walls = np.ma.masked_equal(path.walls.astype(int), 0)
    axes.pcolormesh(range(columns), range(rows), walls, cmap=ListedColormap([LINE[0]]), edgecolors="face", lw=0.3)
    axes.plot(*path.way.T, color=SERIES[0], lw=1.3, label="path", zorder=2)
    for level, places in sorted(path.subgoals.items(), reverse=True):
        look = {"s": (2 + 2 * level) ** 2, "color": SERIES[level % len(SERIES)], "zorder": 3 - level / 10}
        rim = {"edgecolors": PAGE[0], "linewidths": 0.4}
        axes.scatter(*np.transpose(places), **look, **rim, label=f"subgoals of level {level}")
    axes.scatter(*path.way[0], s=34, marker="s", color=INK[0], label="start", zorder=4)
    axes.scatter(*path.goal, s=90, facecolors="none", edgecolors=INK[0], linewidths=1.8, label="goal", zorder=4)
    goal = f"goal {path.goal_name}: " if path.goal_name else ""
    axes.set_title(f"{goal}{'solved' if path.success else 'not solved'}, {len(path.way) - 1} steps", fontsize=9)
