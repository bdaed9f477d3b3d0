"""A picture of films: a frame for every moment, and a bar for every error."""

from __future__ import annotations

import numpy as np

from hplan.report.film_figure import films_chart, films_figure
from hplan.types import FilmStrip


def strip(name: str, moment: int | None = None) -> FilmStrip:
    frames = np.full((4, 8, 8, 3), 200, np.uint8)
    return FilmStrip(name, frames, (1, 2, 3), (0.1, 0.4, 0.2), threshold=0.3, moment=moment)


def test_every_film_has_its_frames_and_below_them_its_errors() -> None:
    figure = films_chart((strip("possible"), strip("impossible", moment=2)), "two films")
    shown, errors, _, marked = figure.axes
    assert len(shown.images) == 4 and shown.get_title(loc="left") == "possible"
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in errors.patches]
    assert np.allclose(bars, [(1, 0.1), (2, 0.4), (3, 0.2)])
    assert len(errors.lines) == 1 and len(marked.lines) == 2, "the threshold; and where a law is broken"
    assert shown.get_xlim() == errors.get_xlim()


def test_it_is_an_svg_file_of_its_own() -> None:
    text = films_figure((strip("possible"),), "one film")
    assert text.startswith("<?xml") and "one film" in text
