"""What `hplan inspect` found, on one page with charts."""

from __future__ import annotations

import os
from pathlib import Path

from hplan.report.charts import bar_chart, line_chart
from hplan.report.inspection_table import UNIT, inspection_lines, inspection_rows, verdict_lines
from hplan.report.page import Curves, curve_charts, inline, write_page
from hplan.types import Inspection


def write_inspection_page(path: str | os.PathLike[str], found: Inspection, curves: Curves | None = None) -> Path:
    """Write the page, atomically: the table, then spectra, errors, autocorrelations and probes of all levels, and the
    curves of their training, if there are any. Raises HplanError where the extra `viz` is not installed."""
    levels = {f"level {one.level}": one for one in found.levels}
    spectra = {name: list(enumerate(one.spectrum, 1)) for name, one in levels.items()}
    correlations = {name: [(0, 1.0), *one.correlation] for name, one in levels.items() if one.correlation}
    errors = [
        line_chart(
            {
                "prediction": [(horizon, error) for horizon, error, _ in one.errors],
                "no change": [(horizon, copy) for horizon, _, copy in one.errors],
            },
            x=f"look-ahead [steps of level {one.level}]",
            y="error [level steps]",
            title=name,
        )
        for name, one in levels.items()
    ]
    sections = (
        (
            "Singular values of the latents",
            "How many directions a latent uses. A line that drops at once is a collapsed level.",
            [line_chart(spectra, x="singular value, largest first", y="share of the sum", ends=False)],
        ),
        (
            "Prediction error",
            "Open loop, by the macro-actions that play took. Predicting no change at all is the baseline.",
            errors,
        ),
        (
            "Autocorrelation",
            "How alike two latents of one episode are. Each level should change more slowly than the one below.",
            [
                line_chart(
                    correlations, x="lag [environment steps]", y="autocorrelation", ends=False, reference={"1/e": 0.368}
                )
            ],
        ),
        (
            "Linear probes",
            "What can be read off a latent linearly, on layouts or episodes that the probe was not fitted on.",
            [bar_chart({name: one.probes for name, one in levels.items()}, y="R² (1: exactly, 0: not at all)")],
        ),
        ("Learning curves", "Each stage of training, by component of its loss.", list(curve_charts(curves or {}))),
    )
    return write_page(
        path,
        "inspection.html",
        title=f"What {found.agent} learned",
        summary=(*inspection_lines(found), *verdict_lines(found)),
        unit=UNIT,
        levels=list(levels),
        rows=inspection_rows(found),
        sections=[(name, explained, inline(figures)) for name, explained, figures in sections],
    )
