"""What `hplan inspect` measured, as a table for a terminal and as pages of a report. Plain values in, see
`hplan.evaluation.inspection`, whose `to_dict` they come from; what could not be measured is None."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from hplan.view.report import LevelPage

COLLAPSED, DULL, FLAT = 0.25, 0.1, 0.05  # rank over dimensions, sensitivity in steps, deviation: below, a level fails
Entry = Mapping[str, Any]


def inspection_table(levels: Sequence[Entry]) -> Table:
    """One column a level, from the finest up; what is unhealthy says so in words, and in red."""
    table = Table(title_justify="left")
    table.add_column("")
    for entry in levels:
        table.add_column(f"level {entry['level']}", justify="right")
    for name in _facts(levels[0], None):
        row = [_facts(entry, levels[k - 1] if k else None).get(name, ("–", False)) for k, entry in enumerate(levels)]
        table.add_row(name, *(Text(text, style="bold red" if bad else "") for text, bad in row))
    return table


def inspection_pages(levels: Sequence[Entry]) -> list[LevelPage]:
    """The same for `write_report`, with charts."""
    pages = []
    for k, entry in enumerate(levels):
        facts = {name: text for name, (text, _) in _facts(entry, levels[k - 1] if k else None).items()}
        pages.append(LevelPage(entry["level"], facts, charts=_charts(entry)))
    return pages


def _facts(entry: Entry, below: Entry | None) -> dict[str, tuple[str, bool]]:
    """name -> (text, whether it is unhealthy)."""
    rank, dimensions, deviation = entry["effective_rank"], entry["rank_of"], entry["deviation"]
    sensitivity, time = entry["macro_sensitivity"], entry["autocorrelation"]
    slower = below is None or time is None or below["autocorrelation"] is None or time > below["autocorrelation"]
    facts = {
        "a step lasts": (f"{entry['stride']:.1f}", False),
        "macro-actions": (f"{entry['macros']}", False),
        "of which in use": (_number(entry["codes_used"], 1), False),
        "effective rank": _judged(f"{rank:.1f} of {dimensions}", rank < COLLAPSED * dimensions, "collapsed"),
        "deviation": _judged(" / ".join(f"{value:.2f}" for value in deviation), deviation[1] < FLAT, "collapsed"),
        "macro sensitivity": _judged(_number(sensitivity), sensitivity is not None and sensitivity < DULL, "dull"),
        "autocorrelation time": _judged(_number(time, 1), not slower, "no slower than below"),
    }
    for horizon, error, copy in entry["errors"]:
        worse = error > copy
        facts[f"error after {horizon}"] = _judged(f"{error:.3f} (copy {copy:.2f})", worse, "worse than copying")
    for name, r2 in entry["probes"].items():
        facts[f"probe of {name}"] = (_number(r2), False)
    facts["surprised above"] = (_number(entry["threshold"], 3), False)
    facts["goal within"] = (_number(entry["tolerance"], 3), False)
    facts["success energy"] = ("learned" if entry["succeeds"] else "none", False)
    return facts


def _judged(text: str, bad: bool, word: str) -> tuple[str, bool]:
    return (f"{text} {word}" if bad else text), bad


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _charts(entry: Entry) -> list[tuple[str, dict[str, list[tuple[float, float]]]]]:
    """(caption, lines) of each figure that is a curve."""
    errors = [(h, e, c) for h, e, c in entry["errors"] if e is not None]
    return [
        ("singular values, as shares", {"singular values": list(enumerate(entry["spectrum"], 1))}),
        (
            "error by horizon, in steps of the level",
            {"prediction": [(h, e) for h, e, _ in errors], "copy": [(h, c) for h, _, c in errors]},
        ),
        (
            "what is left of the latent by time, in environment steps",
            {"autocorrelation": [(lag, kept) for lag, kept in entry["decay"] if kept is not None]},
        ),
    ]
