"""What `hplan inspect` found, on one page with charts."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

from hplan.report.charts import bar_chart, line_chart
from hplan.report.inspection_table import UNIT, inspection_lines, inspection_rows, verdict_lines
from hplan.report.page import Curves, curve_charts, write_page
from hplan.types import Inspection, LevelInspection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAG = "lag [environment steps]"


def write_inspection_page(path: str | os.PathLike[str], found: Inspection, curves: Curves | None = None) -> Path:
    """Write the page, atomically: the table, then spectra, errors, autocorrelations and probes of all levels, and the
    curves of their training, if there are any. Raises HplanError where the extra `viz` is not installed."""
    levels = {f"level {one.level}": one for one in found.levels}
    spectra = {name: list(enumerate(one.spectrum, 1)) for name, one in levels.items()}
    correlations = {name: [(0, 1.0), *one.correlation] for name, one in levels.items() if one.correlation}
    probes = bar_chart({name: one.probes for name, one in levels.items()}, y="R² (1: exactly, 0: not at all)")
    sections = {
        "Singular values of the latents": (
            "How many directions a latent uses. A line that drops at once is a collapsed level.",
            [line_chart(spectra, x="singular value, largest first", y="share of the sum", ends=False)],
        ),
        "Prediction error": (
            "Open loop, by the macro-actions that play took. Predicting no change at all is the baseline.",
            [_error_chart(one) for one in found.levels],
        ),
        "Autocorrelation": (
            "How alike two latents of one episode are. Each level should change more slowly than the one below.",
            [line_chart(correlations, x=LAG, y="autocorrelation", ends=False, reference={"1/e": 1 / math.e})],
        ),
        "Linear probes": (
            "What can be read off a latent linearly, on layouts or episodes that the probe was not fitted on.",
            [probes],
        ),
        "Learning curves": ("Each stage of training, by component of its loss.", curve_charts(curves or {})),
    }
    return write_page(
        path,
        "inspection.html",
        title=f"What {found.agent} learned",
        summary=(*inspection_lines(found), *verdict_lines(found)),
        unit=UNIT,
        levels=list(levels),
        rows=inspection_rows(found),
        sections={name: (text, [one for one in charts if one]) for name, (text, charts) in sections.items()},
    )


def _error_chart(level: LevelInspection) -> Figure | None:
    horizons, errors, copies = zip(*level.errors, strict=True) if level.errors else ((), (), ())
    series = {
        "prediction": list(zip(horizons, errors, strict=True)),
        "no change": list(zip(horizons, copies, strict=True)),
    }
    name = f"level {level.level}"
    return line_chart(series, x=f"look-ahead [steps of {name}]", y="error [level steps]", title=name)
