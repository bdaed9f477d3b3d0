"""What was published beside what is ours: a table, and a bar with a mark for each task."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from hplan.report.published import BAR, LEFT, Standing, published_figure, published_table

BEST = Standing("maze/large", 243, 250, (0.943, 0.986), (0.96, 0.984), 0.881, "TTGS, arXiv 1 & 2")
WORSE = Standing("maze/tiny", 0, 10, (0.0, 0.278), (0.0,), 1.0, "all")


def test_a_row_is_a_task_with_its_seeds_and_the_best_published() -> None:
    rows = published_table([BEST, WORSE]).splitlines()
    assert rows[2] == "| maze/large | 2 | 250 | 97.2 % | 94.3–98.6 | 96.0 / 98.4 | 88.1 | TTGS, arXiv 1 & 2 |"
    assert rows[3].startswith("| maze/tiny | 1 | 10 | 0.0 % | 0.0–27.8 | 0.0 | 100.0 |")


def test_bars_are_as_long_as_success_and_marks_lie_where_others_are() -> None:
    page = ElementTree.fromstring(published_figure([BEST, WORSE]))
    bars = [float(bar.attrib["width"]) for bar in page.findall(".//{*}g/{*}g/{*}rect")]
    assert bars == [pytest.approx(BAR * 0.972, abs=0.1), 0.0]
    marks = [mark.attrib["d"] for mark in page.findall(".//{*}g/{*}g/{*}path[@class='s1']")]
    assert marks == [f"M{LEFT + BAR * best:.1f} -1v20" for best in (0.881, 1.0)]
    said = [text.text for text in page.findall(".//{*}g/{*}g/{*}text")]
    assert said == ["large", "97.2; 88.1 TTGS", "tiny", "0.0; 100 all"]
