"""What `hplan surprise` found: a row for each level and disturbance, with a picture of the error around its moment."""

from __future__ import annotations

import math

from rich.table import Table

from hplan.report.table import number
from hplan.types import SurpriseReport

BARS = "▁▂▃▄▅▆▇█"


def surprise_table(found: SurpriseReport) -> Table:
    """Of disturbances, or of laws where the world has films that break some."""
    return _laws(found) if any(level.laws for level in found.levels) else _disturbances(found)


def _laws(found: SurpriseReport) -> Table:
    """A row for each level and law; in the open, and behind a screen."""
    alarms = ", ".join(
        f"{100 * measured:.1f} % at {100 * nominal:.0f} %" for nominal, measured in found.levels[0].film_alarms
    )
    table = Table(
        title=f"{found.agent} in {found.task}: {found.episodes} quadruplets of each law, seed {found.seed}",
        caption=f"relative: the impossible film has the larger error of two that begin alike, in %; quadruplets: both "
        f"together, in %\npossible films taken for impossible ones, level 0: {alarms}",
    )
    names = [f"{where}{name}" for where in ("", "hidden: ") for name in ("relative", "quadruplets", "AUROC")]
    for name in ("level", "threshold", "false alarms", "law", *names):
        table.add_column(name, justify="left" if name == "law" else "right")
    for level in found.levels:
        own = (str(level.level), number(level.threshold), f"{100 * level.false_alarms:.1f} %")
        for i, law in enumerate(dict.fromkeys(one.law for one in level.laws)):
            cells = [
                cell
                for one in sorted((one for one in level.laws if one.law == law), key=lambda one: one.hidden)
                for cell in (f"{100 * one.relative:.1f}", f"{100 * one.sets_told:.1f}", f"{one.auroc:.3f}")
            ]
            table.add_row(*(own if i == 0 else ("",) * len(own)), law, *cells)
    return table


def _disturbances(found: SurpriseReport) -> Table:
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
