"""What was published beside what is ours: a table, and a bar with a mark for each task."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drawn import line_data, texts

from hplan.report.published import (
    Standing,
    experience_chart,
    experience_figure,
    published_chart,
    published_figure,
    published_table,
)

BEST = Standing("maze/large", 243, 250, (0.943, 0.986), (0.96, 0.984), 0.881, "TTGS, arXiv 1 & 2")
WORSE = Standing("maze/tiny", 0, 10, (0.0, 0.278), (0.0,), 1.0, "<all>")


def test_a_row_is_a_task_with_its_seeds_and_the_best_published() -> None:
    rows = published_table([BEST, WORSE]).splitlines()
    assert rows[1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    assert rows[2] == "| maze/large | 2 | 250 | 97.2 % | 94.3–98.6 | 96.0 / 98.4 | 88.1 | TTGS, arXiv 1 & 2 |"
    assert rows[3].startswith("| maze/tiny | 1 | 10 | 0.0 % | 0.0–27.8 | 0.0 | 100.0 |")


def test_bars_are_as_long_as_success_and_marks_lie_where_others_are() -> None:
    (axes,) = published_chart([BEST, WORSE]).axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([97.2, 0.0])
    assert line_data(axes) == {"best published": [(88.1, 0.0), (100.0, 1.0)]}
    spans = [segment[:, 0].tolist() for segment in axes.collections[0].get_segments()]
    assert spans == [pytest.approx([94.3, 98.6]), pytest.approx([0.0, 27.8])]


def test_the_picture_says_what_everything_is() -> None:
    said = set(texts(published_figure([BEST, WORSE])))
    assert {"large", "tiny", "hplan", "95 % interval", "best published", "success [% of episodes]"} <= said
    assert {"97.2 %   published: 88.1 %, TTGS", "0.0 %   published: 100 %, <all>"} <= said


def test_experience_is_drawn_where_it_is_known() -> None:
    standings = [replace(BEST, steps=5e6), WORSE]
    (axes,) = experience_chart(standings, 1e6).axes
    assert axes.get_xscale() == "log"
    assert line_data(axes) == {"hplan": [(1e6, 0.0)], "best published": [(5e6, 0.0)]}
    said = set(texts(experience_figure(standings, 1e6)))
    assert {"large", "97 %", "88 %", "steps of experience (log scale)"} <= said
    assert "tiny" not in said
