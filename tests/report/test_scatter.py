"""The plot of episodes: a chart for a family of tasks, a colour for a number of levels, and what the table says."""

from __future__ import annotations

import math

import pytest
from drawn import line_data, texts

from hplan.report.scatter import Episodes, scatter_chart, scatter_figure, scatter_table

FLAT = Episodes("maze/small", 1, ((3, 900), (5, 1200)), (True, False), 1.0, math.nan, math.nan)
DEEP = Episodes("maze/small", 2, ((3, 90), (5, 120), (8, 150)), (True,) * 3, 0.875, 0.5, 0.95)
LARGE = Episodes("maze/large", 2, ((30, 190), (50, 220)), (True, True), math.nan, math.nan, math.nan)
GRID = Episodes("grid/<door>", 1, ((12, 1000),), (True,), math.nan, math.nan, math.nan)
PLOT = ("optimal_steps", "evaluations")


def test_a_row_is_a_task_at_a_depth() -> None:
    head, _, flat, deep = scatter_table([FLAT, DEEP], *PLOT).splitlines()
    assert head == (
        "| task | levels | episodes | solved | optimal_steps | evaluations, mean | rank correlation | 95 % |"
    )
    assert flat == "| maze/small | 1 | 2 | 1 | 3–5 | 1,050 | 1.00 | – |"
    assert deep == "| maze/small | 2 | 3 | 3 | 3–8 | 120 | 0.88 | 0.50 to 0.95 |"


def test_families_have_a_chart_each_and_depths_a_colour() -> None:
    maze, grid = scatter_chart([FLAT, DEEP, LARGE, GRID], *PLOT).axes
    assert (maze.get_title("left"), grid.get_title("left")) == ("maze", "grid")
    assert list(line_data(maze)) == ["maze/small, 1 level", "maze/small, 2 levels", "maze/large, 2 levels"]
    one, *two = (line.get_color() for line in maze.lines)
    assert one != two[0] == two[1] and grid.lines[0].get_color() == one
    solved, lost = maze.collections[:2]
    assert solved.get_offsets().tolist() == [[3, 900]] and len(solved.get_facecolors())
    assert lost.get_offsets().tolist() == [[5, 1200]] and not len(lost.get_facecolors()), "hollow: not solved"


def test_axes_have_units_and_a_legend() -> None:
    said = set(texts(scatter_figure([FLAT, DEEP, GRID], *PLOT)))
    assert "length of the shortest solution [environment steps]" in said
    assert any(text.startswith("predictor evaluations per episode") for text in said)
    assert {"1 level", "2 levels", "not solved"} <= said
    assert "not solved" not in texts(scatter_figure([DEEP], *PLOT))
    random = Episodes("maze/small", 0, ((1.0, 2.0),), (True,), math.nan, math.nan, math.nan)
    assert {"reward", "no levels"} <= set(texts(scatter_figure([random], "reward", "ms")))


def test_the_trend_goes_through_means() -> None:
    """Ten dots, two in each fifth: their means lie on y = x, although no dot does."""
    dots = tuple((float(x), x + (1.0 if x % 2 else -1.0)) for x in range(10))
    (axes,) = scatter_chart([Episodes("a/b", 1, dots, (True,) * 10, 1.0, 1.0, 1.0)], *PLOT).axes
    assert line_data(axes)["a/b, 1 level"] == [pytest.approx((x, x)) for x in (0.5, 2.5, 4.5, 6.5, 8.5)]
