"""Episodes over a map: walls, path, subgoals, and what is written beside them."""

from __future__ import annotations

import numpy as np
from drawn import line_data, texts

from hplan.report.path_figure import ACROSS, MazePath, paths_chart, paths_figure

WALLS = np.ones((3, 4), bool)
WALLS[1, 1:3] = False
WAY = np.array([[1.0, 1.0], [1.5, 1.0], [2.0, 1.0]])
SOLVED = MazePath(WALLS, WAY, (2.0, 1.0), "1", True, {1: [(1.5, 1.0)], 2: [(2.0, 1.0), (1.0, 1.0)]})
LOST = MazePath(WALLS, WAY[:1], (2.0, 1.0), "<2>", False)


def test_a_map_shows_walls_path_start_goal_and_subgoals() -> None:
    axes = paths_chart([SOLVED], "title").axes[0]
    walls, *dots = axes.collections
    assert walls.get_array().count() == 10, "two of twelve cells are free"
    assert line_data(axes) == {"path": [(1, 1), (1.5, 1), (2, 1)]}
    places = {dot.get_label(): dot.get_offsets().tolist() for dot in dots}
    assert places == {
        "subgoals of level 2": [[2, 1], [1, 1]],
        "subgoals of level 1": [[1.5, 1]],
        "start": [[1, 1]],
        "goal": [[2, 1]],
    }
    sizes = [dot.get_sizes()[0] for dot in dots[:2]]
    assert sizes[0] > sizes[1] and dots[0].get_zorder() < dots[1].get_zorder(), "larger ones lie below"
    low, high = axes.get_ylim()
    assert low > high, "rows grow downwards"


def test_every_episode_has_a_map_and_the_legend_each_thing_once() -> None:
    said = texts(paths_figure([SOLVED] * ACROSS + [LOST], "a & <b>"))
    assert said.count("goal 1: solved, 2 steps") == ACROSS
    assert said.count("goal <2>: not solved, 0 steps") == 1
    assert "a & <b>" in said
    for name in ("path", "start", "goal", "subgoals of level 1", "subgoals of level 2"):
        assert said.count(name) == 1
