"""What `hplan inspect` found, in rows: a figure each, a column for every level, and a word where something is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from hplan.report.table import number
from hplan.types import Inspection, LevelInspection

COLLAPSED, NOT_SLOWER, NO_BETTER = "collapsed", "not slower than below", "no better than no change"
UNIT = "times in environment steps"
SHORT = 0.2  # of the longest lag, half an episode: times above it are lower bounds (`objectives.diagnostics`)


@dataclass(frozen=True)
class TableCell:
    """A figure, and what is wrong with it, in a word; empty where nothing is."""

    text: str
    wrong: str = ""

    def __str__(self) -> str:
        return f"{self.text}  {self.wrong}" if self.wrong else self.text


@dataclass(frozen=True)
class TableRow:
    name: str
    cells: tuple[TableCell, ...]


def inspection_rows(found: Inspection) -> list[TableRow]:
    """Every figure of `Inspection.levels`, from what a step is to what is wrong."""
    levels = found.levels
    horizons = sorted({horizon for level in levels for horizon, _, _ in level.errors})
    probes = list(dict.fromkeys(name for level in levels for name in level.probes))
    kinds = list(dict.fromkeys(kind for level in levels for kind in level.accuracies))

    def row(name: str, *cells: TableCell | str) -> TableRow:
        return TableRow(name, tuple(cell if isinstance(cell, TableCell) else TableCell(cell) for cell in cells))

    return [
        row("step duration, as planned", *(number(level.stride) for level in levels)),
        row("step duration in this play, median (quartiles)", *(_durations(level) for level in levels)),
        row("latent shape", *(" x ".join(map(str, level.latent_shape)) for level in levels)),
        row("macro-actions", *(level.macro for level in levels)),
        row("  in use: perplexity, share seen", *(_codes(level) for level in levels)),
        row("effective rank", *(_judged(level, "effective_rank", _rank(level)) for level in levels)),
        row(
            "standard deviation: min, median, max",
            *(_judged(level, "deviation", _deviation(level)) for level in levels),
        ),
        row("dimensions with almost no variance", *(_judged(level, "dead", str(level.dead)) for level in levels)),
        row(
            "largest cosine of two symbol codes",
            *(_judged(level, "closest", number(level.closest, 2)) for level in levels),
        ),
        row(
            "macro-action sensitivity (level steps)",
            *(_judged(level, "macro_sensitivity", _sensitivity(level)) for level in levels),
        ),
        row("autocorrelation time", *(_correlation(found, k) for k in range(len(levels)))),
        *(row(_horizon(horizon), *(_error(level, horizon) for level in levels)) for horizon in horizons),
        *(row(f"predicted exactly: {kind}", *(_exact(level, kind) for level in levels)) for kind in kinds),
        row("surprise threshold, 1 step ahead", *(_limit(level.thresholds[0]) for level in levels)),
        row("  at the longest look-ahead", *(_ahead(level.thresholds) for level in levels)),
        *(
            row(f"  false alarm rate, {alpha:.0%} nominal", *(_share(level.false_alarms[i][1]) for level in levels))
            for i, (alpha, _) in enumerate(levels[0].false_alarms)
        ),
        row("goal tolerance (level steps)", *(number(level.tolerance, 2) for level in levels)),
        row("success head", *("learned" if level.succeeds else "none" for level in levels)),
        *(row(f"R² of {name}", *(number(level.probes.get(name, math.nan), 2) for level in levels)) for name in probes),
    ]


def inspection_table(found: Inspection) -> Table:
    """For a rich console. What is wrong is red, and said in a word."""
    table = Table(title_justify="left", caption_justify="left")
    table.add_column(UNIT)
    for level in found.levels:
        table.add_column(f"level {level.level}", justify="right")
    for row in inspection_rows(found):
        table.add_row(row.name, *(Text(str(cell), style="bold red" if cell.wrong else "") for cell in row.cells))
    return table


def inspection_lines(found: Inspection) -> list[str]:
    """What stands above the table: the agent, its training, and the play that it was measured on."""
    return [
        f"{found.agent}: trained on {found.trained_on}, success: {found.success_rule}",
        f"  {', '.join(f'{name} {value}' for name, value in found.train.items())}",
        f"  {', '.join(f'{name} {version}' for name, version in found.versions.items())}",
        f"measured on {found.steps:,} steps of fresh play in {found.episodes:,} episodes of {found.task}, "
        f"seed {found.seed}",
    ]


def verdict_lines(found: Inspection) -> list[str]:
    """What stands below it: every symptom of collapse, or that there is none."""
    wrong = [
        f"level {level.level} {COLLAPSED}: {'; '.join(level.symptoms.values())}"
        for level in found.levels
        if level.symptoms
    ]
    return wrong or ["no level has collapsed"]


def _judged(level: LevelInspection, figure: str, text: str) -> TableCell:
    return TableCell(text, COLLAPSED if figure in level.symptoms else "")


def _rank(level: LevelInspection) -> str:
    return f"{level.effective_rank:.1f} of {level.rank_of}"


def _sensitivity(level: LevelInspection) -> str:
    return number(level.macro_sensitivity, 2)


def _deviation(level: LevelInspection) -> str:
    return " ".join(f"{value:.2g}" for value in level.deviation)


def _durations(level: LevelInspection) -> str:
    low, middle, high = level.durations
    return f"{number(middle, 0)} ({number(low, 0)}–{number(high, 0)})" if low < high else number(middle, 0)


def _codes(level: LevelInspection) -> str:
    if not level.codes:
        return "–"
    return f"{level.codes_used:.1f}, {level.codes_seen:.0%} of {level.codes}"


def _correlation(found: Inspection, k: int) -> TableCell:
    time = found.levels[k].autocorrelation
    longest = max((lag for lag, _ in found.levels[k].correlation), default=0)
    below = found.levels[k - 1].autocorrelation if k else 0.0
    if time > SHORT * longest:  # or infinite
        return TableCell(f"above {number(min(time, longest))}")
    return TableCell(number(time), NOT_SLOWER if time <= below else "")


def _horizon(horizon: int) -> str:
    return f"error after {horizon} step{'s' * (horizon > 1)} (no-change baseline)"


def _error(level: LevelInspection, horizon: int) -> TableCell:
    for here, error, copy in level.errors:
        if here == horizon:
            return TableCell(f"{error:.3f} ({copy:.2f})", NO_BETTER if error >= copy > 0 else "")
    return TableCell("–")


def _exact(level: LevelInspection, kind: str) -> str:
    if kind not in level.accuracies:
        return "–"
    steps, share = level.accuracies[kind]
    return f"{share:.1%} of {steps:,}"


def _ahead(thresholds: tuple[float, ...]) -> str:
    count = len(thresholds)
    return f"{_limit(thresholds[-1])}, {count} step{'s' * (count > 1)}"


def _share(rate: float) -> str:
    return number(100 * rate, 1) + " %" * math.isfinite(rate)


def _limit(threshold: float) -> str:
    return "never" if threshold == math.inf else f"{threshold:.3f}"
