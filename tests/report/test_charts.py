"""Charts: the data that is drawn, axes that hold it, labels that can be read, and the same bytes every time."""

from __future__ import annotations

import math
import subprocess
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from drawn import line_data, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hplan.report.charts import APART, bar_chart, line_chart, map_chart, spread
from hplan.report.theme import PALETTE, SERIES, rules, style, svg
from hplan.types import HplanError

NUMBERS = st.floats(-1e9, 1e9) | st.floats(1e-9, 1e9) | st.sampled_from([0.0, math.nan, math.inf])
FEW = settings(max_examples=25, deadline=None)


def lines(**series: list[tuple[float, float]]):
    figure = line_chart(series, x="steps", y="loss", title="level 0")
    assert figure
    return figure


@FEW
@given(st.lists(st.lists(NUMBERS, max_size=30), max_size=3))
def test_every_finite_point_is_drawn_and_no_other(curves: list[list[float]]) -> None:
    series = {f"<loss {i}>": list(enumerate(values)) for i, values in enumerate(curves)}
    finite = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in series.items()}
    finite = {name: points for name, points in finite.items() if points}
    figure = line_chart(series, x="steps", y="loss")
    assert (figure is None) == (not finite)
    if figure:
        (axes,) = figure.axes
        assert line_data(axes) == finite
        low, high = axes.get_ylim()
        values = [y for points in finite.values() for _, y in points]
        assert max(values) <= high
        assert min(value for value in values if axes.get_yscale() == "linear" or value > 0) >= low
        assert all(any(text.startswith(name) for text in texts(svg(figure))) for name in finite)


def test_axes_say_what_they_are_and_lines_how_they_end() -> None:
    figure = lines(prediction=[(0, 2.0), (100, 1.25)], prior=[(0, 3.0), (100, 2.5)])
    said = texts(svg(figure))
    assert {"steps", "loss", "level 0", "prediction  1.25", "prior  2.5"} <= set(said)
    labels = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert labels == {"prediction  1.25": SERIES[0], "prior  2.5": SERIES[1]}, "a name has its line's colour"


@pytest.mark.parametrize(
    ("values", "scale"), [((1000, 10, 0.1), "log"), ((1000, 0, 1), "log"), ((10, 5, 0), "linear"), ((-1, 99), "linear")]
)
def test_values_over_magnitudes_get_a_logarithmic_axis(values: tuple[float, ...], scale: str) -> None:
    figure = lines(loss=list(enumerate(values)))
    assert figure.axes[0].get_yscale() == scale
    assert ("loss (log scale)" in texts(svg(figure))) == (scale == "log")


@given(st.lists(st.floats(0, 1), max_size=10))
def test_labels_stand_apart_and_in_order(places: list[float]) -> None:
    moved = spread(places)
    ordered = [moved[i] for i in np.argsort(places, kind="stable")]
    assert all(upper - lower >= APART - 1e-9 for lower, upper in pairwise(ordered))
    if len(places) < 2:
        assert moved == places


@FEW
@given(st.lists(st.dictionaries(st.sampled_from("abc<"), NUMBERS, max_size=4), min_size=1, max_size=4))
def test_bars_are_as_tall_as_values_within_the_axis(values: list[dict[str, float]]) -> None:
    series = {f"<{i}>": one for i, one in enumerate(values)}
    keys = list(dict.fromkeys(key for one in values for key in one))
    figure = bar_chart(series, y="R²")
    assert (figure is None) == (not keys)
    if figure:
        heights = [bar.get_height() for bar in figure.axes[0].patches]
        expected = [min(max(one.get(key, math.nan), 0), 1) for one in values for key in keys]
        assert heights == pytest.approx([math.nan if math.isnan(h) else h for h in expected], nan_ok=True)
        said = texts(svg(figure))
        assert {*keys, "R²"} <= set(said)
        assert all(f"{v:.2f}" in said for one in values for v in one.values() if math.isfinite(v))


@FEW
@given(arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(-(2**62), 2**62)))
def test_a_map_has_one_number_and_colour_per_code(codes: np.ndarray) -> None:
    (axes,) = map_chart(codes).axes
    numbers = axes.collections[0].get_array()
    kinds, expected = np.unique(codes, return_inverse=True)
    assert np.array_equal(numbers, expected.reshape(codes.shape))
    colours = axes.collections[0].to_rgba(np.arange(len(kinds)))
    assert len({tuple(colour) for colour in colours.round(3)}) == len(kinds)
    assert [text.get_text() for text in axes.texts] == [str(n) for n in expected.ravel()]


def test_the_same_chart_is_the_same_bytes_without_a_date() -> None:
    first, second = (svg(lines(loss=[(0, 1.0), (1, 2.0)]), alone=alone) for alone in (True, True))
    assert first == second
    assert "<dc:date>" not in first
    assert first.startswith("<?xml") and "prefers-color-scheme: dark" in first
    assert svg(lines(loss=[(0, 1.0), (1, 2.0)])).startswith("<svg")


def test_every_colour_of_a_series_has_a_dark_one() -> None:
    drawn = svg(lines(**{f"line{i}": [(0, i), (1, i + 1)] for i in range(len(SERIES))}))
    for light, dark in PALETTE:
        assert f"stroke: {light}" in drawn
        assert f'[style*="stroke: {light}"] {{ stroke: {dark} !important; }}' in rules()


def test_the_callers_matplotlib_stays_as_it_is() -> None:
    before = {name: value for name, value in matplotlib.rcParams.items() if name != "backend"}
    with matplotlib.rc_context({"axes.grid": False, "font.size": 31, "lines.linewidth": 9}):
        other = svg(lines(loss=[(0, 1.0), (1, 2.0)]))
        assert matplotlib.rcParams["font.size"] == 31
    assert other == svg(lines(loss=[(0, 1.0), (1, 2.0)])), "and does not reach into the picture"
    assert {name: value for name, value in matplotlib.rcParams.items() if name != "backend"} == before


def test_nothing_is_loaded_before_it_is_drawn_and_pyplot_never() -> None:
    code = """
import sys
import hplan.report.page, hplan.report.inspection_page, hplan.report.published, hplan.report.path_figure
from hplan.report.charts import line_chart
assert not {"matplotlib", "jinja2"} & sys.modules.keys()
line_chart({"loss": [(0, 1.0)]}, x="steps", y="loss")
assert "matplotlib.figure" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.style", None)
    with pytest.raises(HplanError, match=r"matplotlib.style is not installed: pip install 'hplan\[viz\]'"), style():
        pass
