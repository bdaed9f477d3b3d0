"""What `hplan inspect` found, on one page with plots."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from hplan.report.inspection import inspection_lines, inspection_rows, verdict_lines
from hplan.report.page import Curves, chart_figure, curve_figure, write_page
from hplan.report.svg import bar_chart, line_chart
from hplan.types import Inspection

Points = Sequence[tuple[float, float]]


def write_inspection_page(path: str | os.PathLike[str], found: Inspection, curves: Curves | None = None) -> Path:
    """Write the page, atomically: the table, then spectra, errors, autocorrelations and probes of all levels, and the
    curves of their training, if there are any."""
    sections = (
        ("Figures", _table(found)),
        ("Singular values", _lines("share of the sum, largest first", _spectra(found))),
        ("Prediction error", "".join(_lines(title, lines) for title, lines in _errors(found).items())),
        ("Autocorrelation", _lines("by environment steps between two latents of an episode", _correlations(found))),
        ("Linear probes", _bars("R2 on layouts or episodes that the probe was not fitted on", _probes(found))),
        ("Learning curves", "".join(curve_figure(stage, table) for stage, table in (curves or {}).items())),
    )
    summary = (*inspection_lines(found), *verdict_lines(found))
    return write_page(path, title=f"What {found.agent} learned", summary=summary, sections=sections)


def _table(found: Inspection) -> str:
    head = "".join(f"<th>level {level.level}</th>" for level in found.levels)
    rows = [
        f"<tr><th>{escape(row.name)}</th>"
        + "".join(f"<td{' class=wrong' * bool(cell.wrong)}>{escape(str(cell))}</td>" for cell in row.cells)
        + "</tr>"
        for row in inspection_rows(found)
    ]
    head = f"<thead><tr><th>times in environment steps</th>{head}</tr></thead>"
    return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _spectra(found: Inspection) -> dict[str, Points]:
    return {f"level {one.level}": list(enumerate(one.spectrum, 1)) for one in found.levels}


def _errors(found: Inspection) -> dict[str, dict[str, Points]]:
    return {
        f"level {one.level}, by steps of its own ahead": {
            "predicted": [(horizon, error) for horizon, error, _ in one.errors],
            "no change": [(horizon, copy) for horizon, _, copy in one.errors],
        }
        for one in found.levels
    }


def _correlations(found: Inspection) -> dict[str, Points]:
    return {f"level {one.level}": [(0, 1.0), *one.correlation] for one in found.levels if one.correlation}


def _probes(found: Inspection) -> dict[str, dict[str, float]]:
    return {f"level {one.level}": one.probes for one in found.levels}


def _lines(caption: str, series: Mapping[str, Points]) -> str:
    return chart_figure(caption, line_chart(series), list(series))


def _bars(caption: str, series: Mapping[str, Mapping[str, float]]) -> str:
    return chart_figure(caption, bar_chart(series), list(series))
