"""What `hplan surprise` found: a row for each level and disturbance, with a picture of the error around its moment."""

from __future__ import annotations

import math

from rich.table import Table

from hplan.report.table import number
from hplan.types import SurpriseReport

BARS = "▁▂▃▄▅▆▇█"


def surprise_table(found: SurpriseReport) -> Table:
    """Errors are in steps of the level; so is the time that a profile shows."""
    title = f"{found.agent} in {found.task}: {found.episodes} episodes, seed {found.seed}"
    caption = "error: the largest in each of some steps of the level before the moment, and from it on, on average"
    table = Table(title=title, caption=caption)
    for name in ("level", "step", "threshold", "false alarms", "disturbance", "AUROC", "found at once", "error"):
        table.add_column(name, justify="right" if name not in ("disturbance", "error") else "left", no_wrap=True)
    for level in found.levels:
        own = (str(level.level), number(level.stride), number(level.threshold), f"{100 * level.false_alarms:.1f} %")
        for i, one in enumerate(level.disturbances):
            first = own if i == 0 else ("",) * len(own)
            told = f"{round(one.found * one.episodes)} of {one.episodes}"
            table.add_row(*first, one.kind, f"{one.auroc:.3f}", told, sparkline(one.profile))
    return table


def sparkline(values: tuple[float, ...]) -> str:
    """A bar for each value, from 0 to the largest; a blank where there is none."""
    most = max((value for value in values if math.isfinite(value)), default=0.0) or 1.0
    return "".join(
        BARS[min(int(value / most * len(BARS)), len(BARS) - 1)] if math.isfinite(value) else " " for value in values
    )
