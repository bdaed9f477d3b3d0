"""The battery's table, from the results that there are: `python experiments/battery/report.py > results/battery.md`.

The gap to the best is the share of the way from random to best that is left, where return counts; where success does,
the difference of rates. A row is passed where it is 0.05 at the most.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from statistics import mean
from typing import Any

from hplan.report.table import markdown

HERE = Path(__file__).parent
HEAD = ("environment", "seeds", "asked", "random", "best known", "hplan", "gap", "SB3, as many steps", "ten times")
HEAD += ("minutes", "ms/step", "levels")


def main(folder: Path) -> None:
    best = tomllib.loads((HERE / "config.toml").read_text())["best"]
    rows, passed, known = [], 0, 0
    for kind, field in (("success", "success_rate"), ("return", "return_mean")):
        for env, (value, who) in best[kind].items():
            own = _read(folder, f"{env}-[0-9]")
            if not own:
                continue
            random, same, more = (_read(folder, f"{env}-0-{what}") for what in ("random", "sb3", "sb3-more"))
            got, floor = mean(one[field] for one in own), random[0][field] if random else float("nan")
            gap = value - got if kind == "success" else (value - got) / (value - floor)
            known, passed = known + 1, passed + (gap <= 0.05)
            shown = [f"{one[0][field]:,.2f}" if one else "–" for one in (random, same, more)]
            minutes = mean(one["train"]["wall_s"] for one in own) / 60
            ms = mean(one["plan_ms_per_step"] for one in own)
            levels = "/".join(sorted({str(one["levels"]) for one in own}))
            first = [env, str(len(own)), kind, shown[0], f"{value:,} ({who})", f"{got:,.2f}", f"{gap:.2f}"]
            rows.append([*first, *shown[1:], f"{minutes:.1f}", f"{ms:.1f}", levels])
    sys.stdout.write(markdown(HEAD, rows, "lrl" + "r" * 9))
    sys.stdout.write(f"\n{passed} of {known} rows within 0.05 of the best that is known.\n")


def _read(folder: Path, pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"{pattern}.json"))]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results")
