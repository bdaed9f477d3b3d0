"""Success against compute: where points lie, and what one level reaches at the most."""

from __future__ import annotations

from drawn import line_data, texts

from hplan.report.frontier import Point, frontier_chart, frontier_figure

POINTS = [
    Point("maze/large", "levels", 2, 1e3, 1.0, (0.9, 1.0)),
    Point("maze/large", "cem", 1, 1e4, 0.0, (0.0, 0.1)),
    Point("maze/large", "lattice", 1, 1e5, 0.8, (0.6, 0.9)),
    Point("maze/large", "cem", 1, 1e6, 0.4, (0.2, 0.6)),
    Point("maze/tiny", "levels", 2, 10.0, 1.0, (0.9, 1.0)),
]


def test_the_frontier_is_the_best_without_levels_so_far() -> None:
    large, tiny = frontier_chart(POINTS).axes
    assert large.get_xscale() == "log" and large.get_title(loc="left") == "large"
    dotted = [line for line in large.get_lines() if line.get_linestyle() == ":"]
    assert [(x, y) for x, y in zip(*dotted[0].get_data(), strict=True)] == [(1e4, 0.0), (1e5, 80.0), (1e6, 80.0)]
    assert "best with one level" in line_data(tiny)


def test_everything_is_named() -> None:
    said = set(texts(frontier_figure(POINTS)))
    assert {"levels", "cem", "lattice", "tiny", "model evaluations of an episode (log scale)"} <= said
