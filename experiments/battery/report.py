"""The battery's table, from the results that there are: `python experiments/battery/report.py > results/battery.md`.

The gap to the best is the share of the way from random to best that is left, where return counts; where success does,
the difference of rates. A row is passed where it is 0.05 at the most, and solved after the fewest steps, of those that
were tried, after which it is.
"""

from __future__ import annotations

import json
import math
import sys
import tomllib
from pathlib import Path
from statistics import mean, median
from typing import Any

from hplan.report.table import markdown

HERE = Path(__file__).parent
HEAD = ("environment", "seeds", "asked", "random", "best known", "hplan", "gap", "SB3, as many steps", "ten times")
HEAD += ("solved after", "SB3", "minutes", "ms/step", "levels")
LEAST = 0.05


def main(folder: Path) -> None:
    best = tomllib.loads((HERE / "config.toml").read_text())["best"]
    rows, passed, shares = [], 0, []
    for kind, field in (("success", "success_rate"), ("return", "return_mean")):
        for env, (value, who) in best[kind].items():
            own = _read(folder, f"{env}-[0-9]")
            if not own:
                continue
            random = _read(folder, f"{env}-0-random")
            got, floor = mean(one[field] for one in own), random[0][field] if random else float("nan")
            whole = 1.0 if kind == "success" else value - floor
            gap, enough = (value - got) / whole, value - LEAST * whole
            passed += gap <= LEAST
            curve, more = (
                [point for one in _read(folder, f"{env}-0-{what}") for point in one["curve"]]
                for what in ("sb3", "sb3-more")
            )
            tried = [(one["train"]["env_steps"], one[field]) for one in _read(folder, f"{env}-0-after-*")]
            tried += [(one["train"]["env_steps"], one[field]) for one in own if one["seed"] == 0]
            solved = _solved(tried, enough) if len(tried) > 1 else None
            theirs = _solved([(point["steps"], point[field]) for point in curve + more], enough)
            if len(tried) > 1 and curve:
                shares.append((solved or math.inf) / (theirs or (curve + more)[-1]["steps"]))
            shown = [f"{points[-1][field]:,.2f}" if points else "–" for points in (curve, more)]
            after = [f"{solved:,}" if solved else "–", _count(theirs, curve + more)]
            minutes = mean(one["train"]["wall_s"] for one in own) / 60
            ms = mean(one["plan_ms_per_step"] for one in own)
            levels = "/".join(sorted({str(one["levels"]) for one in own}))
            first = [env, str(len(own)), kind, f"{floor:,.2f}", f"{value:,} ({who})", f"{got:,.2f}", f"{gap:.2f}"]
            rows.append([*first, *shown, *after, f"{minutes:.1f}", f"{ms:.1f}", levels])
    sys.stdout.write(markdown(HEAD, rows, "lrl" + "r" * 11))
    sys.stdout.write(f"\n{passed} of {len(rows)} rows within {LEAST} of the best that is known.\n")
    if shares:
        sys.stdout.write(
            f"Steps to solve, as a share of Stable-Baselines3's, or of all that it had: {median(shares):.2f} in the "
            f"median of {len(shares)} environments.\n"
        )


def _read(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{pattern}.json"))]


def _solved(tried: list[tuple[int, float]], enough: float) -> int | None:
    """The fewest of these steps after which it is enough."""
    return min((steps for steps, got in tried if got >= enough), default=None)


def _count(solved: int | None, tried: list[Any]) -> str:
    if solved:
        return f"{solved:,}"
    return f"not after {tried[-1]['steps']:,}" if tried else "–"


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results")
