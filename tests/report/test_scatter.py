"""The plot of episodes: a panel for a family of tasks, a colour for a number of levels, and what the table says."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from hplan.report.scatter import Episodes, scatter_figure, scatter_table

SVG = "{http://www.w3.org/2000/svg}"
FLAT = Episodes("maze/small", 1, ((3, 900), (5, 1200)), (True, False), 1.0, math.nan, math.nan)
DEEP = Episodes("maze/small", 2, ((3, 90), (5, 120), (8, 150)), (True,) * 3, 0.875, 0.5, 0.95)
LARGE = Episodes("maze/large", 2, ((30, 190), (50, 220)), (True, True), math.nan, math.nan, math.nan)
GRID = Episodes("grid/<door>", 1, ((12, 1000),), (True,), math.nan, math.nan, math.nan)


def test_a_row_is_a_task_at_a_depth() -> None:
    head, _, flat, deep = scatter_table([FLAT, DEEP], "optimal_steps", "evaluations").splitlines()
    assert head == (
        "| task | levels | episodes | solved | optimal_steps | evaluations, mean | rank correlation | 95 % |"
    )
    assert flat == "| maze/small | 1 | 2 | 1 | 3–5 | 1,050 | 1.00 | – |"
    assert deep == "| maze/small | 2 | 3 | 3 | 3–8 | 120 | 0.88 | 0.50 to 0.95 |"


def test_families_have_a_panel_each_and_depths_a_colour() -> None:
    figure = ElementTree.fromstring(scatter_figure([FLAT, DEEP, LARGE, GRID], "optimal_steps", "evaluations"))
    maze, grid = figure.findall(f"{SVG}g")
    titles = [[text.text for text in panel.findall(f"{SVG}text")] for panel in (maze, grid)]
    assert titles[0] == [
        "maze: evaluations of an episode, by optimal_steps",
        "1 level",
        "2 levels",
        "hollow: not solved",
    ]
    assert titles[1] == ["grid: evaluations of an episode, by optimal_steps", "1 level"]
    dots = [dot.attrib["class"] for dot in maze.findall(f".//{SVG}svg/{SVG}circle")]
    assert sorted(dots) == ["b0", *["b1"] * 5, "s0"]
    names = [title.text for title in figure.findall(f".//{SVG}title")]
    assert names == ["maze/small, 1 level", "maze/small, 2 levels", "maze/large, 2 levels", "grid/<door>, 1 level"]
