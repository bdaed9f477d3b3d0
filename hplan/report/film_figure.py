"""Films of a quadruplet as strips, with the error of a level below each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hplan.report.theme import LINE, SERIES, SOFT, new_figure, style, svg
from hplan.types import FilmStrip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAME = 0.62  # inches


def films_figure(films: tuple[FilmStrip, ...], title: str) -> str:
    """An SVG file: a strip for every film."""
    return svg(films_chart(films, title), alone=True)


@style()
def films_chart(films: tuple[FilmStrip, ...], title: str) -> Figure:
    """Frames in their order, errors below the frames that were predicted; a line is where a law is broken."""
    count = max(len(film.frames) for film in films)
    figure = new_figure(count * FRAME + 0.6, len(films) * 2.5 * FRAME + 0.5)
    rows = figure.subplots(2 * len(films), 1, height_ratios=[1.2, 1.0] * len(films))
    most = 1.1 * max(max(film.errors, default=0.0) for film in films) or 1.0
    for film, shown, below in zip(films, rows[::2], rows[1::2], strict=True):
        shown.set(xlim=(-0.5, count - 0.5), ylim=(0, 1), title=film.name, aspect="equal", anchor="W")
        shown.set_axis_off()
        for i, frame in enumerate(film.frames):
            shown.imshow(frame, extent=(i - 0.47, i + 0.47, 0.03, 0.97), interpolation="nearest", zorder=2)
        shown.set(xlim=(-0.5, count - 0.5), ylim=(0, 1))
        colour = SERIES[0] if film.moment is None else SERIES[1]
        below.bar(film.moments, film.errors, color=colour, width=0.6)
        below.set(xlim=(-0.5, count - 0.5), ylim=(0, most), xticks=[], ylabel="error")
        below.axhline(film.threshold, color=SOFT[0], linestyle=(0, (4, 3)), linewidth=1)
        if film.moment is not None:
            below.axvline(film.moment - 0.5, color=LINE[0], linewidth=2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return figure
