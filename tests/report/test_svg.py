"""Line charts and code maps as SVG: well-formed, within their frame, and every value where it belongs."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hplan.report.svg import (
    BOTTOM,
    CELL,
    GROUPS,
    HEIGHT,
    LEFT,
    POINTS,
    TOP,
    WIDTH,
    Cloud,
    bar_chart,
    code_map,
    dot_chart,
    line_chart,
)

NUMBERS = st.floats(-1e9, 1e9) | st.floats(1e-9, 1e9) | st.sampled_from([0.0, math.nan, math.inf])


def polylines(svg: str) -> list[list[tuple[float, float]]]:
    found = ElementTree.fromstring(svg).findall("polyline")
    return [[(float(x), float(y)) for x, y in re.findall(r"(\S+),(\S+)", line.attrib["points"])] for line in found]


@given(st.lists(st.lists(NUMBERS, max_size=30), max_size=3))
def test_every_chart_stays_in_its_frame(curves: list[list[float]]) -> None:
    series = {f"<loss {i}>": list(enumerate(values)) for i, values in enumerate(curves)}
    finite = [value for values in curves for value in values if math.isfinite(value)]
    svg = line_chart(series)
    assert (svg == "") == (not finite)
    if svg:
        lines = polylines(svg)
        assert sum(map(len, lines)) == len(finite)
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for line in lines for x, y in line)


@pytest.mark.parametrize("values", [[5e-324], [0.0, 5e-324], [0.0], [-7.0, -7.0], [1e9]])
def test_a_chart_of_one_value_has_an_axis_around_it(values: list[float]) -> None:
    heights = [y for line in polylines(line_chart({"loss": list(enumerate(values))})) for _, y in line]
    assert all(TOP < y < HEIGHT - BOTTOM for y in heights)


def test_a_falling_loss_falls_on_the_page() -> None:
    (line,) = polylines(line_chart({"loss": [(x, 100 / (1 + x)) for x in range(100)]}))
    xs, ys = zip(*line, strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys), "y grows downwards in SVG"


def test_values_over_magnitudes_get_a_logarithmic_axis() -> None:
    (line,) = polylines(line_chart({"loss": [(0, 1000.0), (1, 10.0), (2, 0.1)]}))
    first, middle, last = (y for _, y in line)
    assert middle - first == pytest.approx(last - middle, abs=0.2)
    (line,) = polylines(line_chart({"loss": [(0, 10.0), (1, 5.0), (2, 0.0)]}))
    first, middle, last = (y for _, y in line)
    assert middle - first == pytest.approx(last - middle, abs=0.2)


def test_long_curves_are_thinned_but_keep_their_end() -> None:
    (line,) = polylines(line_chart({"loss": [(x, float(x)) for x in range(10_000)]}))
    assert POINTS / 2 < len(line) <= POINTS + 1
    assert line[-1][0] == WIDTH - 8


@given(st.lists(st.dictionaries(st.sampled_from("abc<"), NUMBERS, max_size=4), max_size=4))
def test_every_bar_stays_in_its_frame_and_says_what_it_is(values: list[dict[str, float]]) -> None:
    svg = bar_chart({f"<{i}>": one for i, one in enumerate(values)})
    finite = [value for one in values for value in one.values() if math.isfinite(value)]
    assert (svg == "") == (not any(values))
    if svg:
        bars = ElementTree.fromstring(svg).findall("rect")
        assert len(bars) == len(finite)
        for bar in bars:
            x, y, width, height = (float(bar.attrib[name]) for name in ("x", "y", "width", "height"))
            assert 0 <= x <= x + width <= WIDTH + 0.1
            assert TOP - 0.1 <= y <= y + height <= HEIGHT - BOTTOM + 0.1
            assert bar[0].text


def test_a_bar_is_as_tall_as_its_value() -> None:
    bars = ElementTree.fromstring(bar_chart({"one": {"a": 0.5, "b": 1.0, "c": -3.0, "d": 7.0}})).findall("rect")
    whole = HEIGHT - BOTTOM - TOP
    assert [float(bar.attrib["height"]) for bar in bars] == pytest.approx([whole / 2, whole, 0, whole], abs=0.1)


@given(arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-(2**62), 2**62)))
def test_a_code_map_has_one_colour_per_code(codes: np.ndarray) -> None:
    rectangles = ElementTree.fromstring(code_map(codes)).findall("rect")
    drawn: dict[str, set[str]] = {}
    for rectangle in rectangles:
        row, column = (int(rectangle.attrib[axis]) // CELL for axis in "yx")
        assert rectangle[0].text == str(codes[row, column])
        drawn.setdefault(rectangle[0].text, set()).add(rectangle.attrib["fill"])
    assert len(rectangles) == codes.size
    assert all(len(colours) == 1 for colours in drawn.values())


def test_small_codes_differ_in_colour() -> None:
    assert len(set(re.findall(r"hsl\([^)]*\)", code_map(np.arange(24).reshape(4, 6))))) == 24


@given(st.lists(st.lists(st.tuples(st.integers(0, 500), st.floats(0, 1e7), st.booleans()), max_size=30), max_size=3))
def test_every_dot_stays_in_its_frame(drawn: list[list[tuple[int, float, bool]]]) -> None:
    clouds = [
        Cloud(f"<{i}>", tuple((x, y) for x, y, _ in dots), tuple(full for *_, full in dots), i)
        for i, dots in enumerate(drawn)
        if dots
    ]
    svg = dot_chart(clouds)
    assert (svg == "") == (not clouds)
    if svg:
        circles = ElementTree.fromstring(svg).findall("circle")
        assert len(circles) == sum(map(len, drawn))
        assert sum(circle.get("fill") == "none" for circle in circles) == sum(not f for d in drawn for *_, f in d)
        places = [(float(circle.attrib["cx"]), float(circle.attrib["cy"])) for circle in circles]
        assert all(LEFT <= x <= WIDTH and TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1 for x, y in places)
        assert all(0 < len(line) <= GROUPS for line in polylines(svg))


def test_the_line_of_a_cloud_goes_through_means() -> None:
    """Ten dots, two in each part: their means lie on y = x, although no dot does."""
    dots = tuple((float(x), x + (1.0 if x % 2 else -1.0)) for x in range(10))
    (line,) = polylines(dot_chart([Cloud("one", dots, (True,) * 10)]))
    assert len(line) == GROUPS
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(line)]
    assert slopes == pytest.approx([slopes[0]] * (GROUPS - 1), abs=0.01)
    assert slopes[0] < 0, "y grows downwards in SVG"
