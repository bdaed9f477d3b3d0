"""Rows of several seeds: what is pooled, what is averaged, and which inspections belong to which cell."""

from __future__ import annotations

from dataclasses import replace

from hplan.evaluation.result import summarise
from hplan.report.seeds import seeds_table
from hplan.types import Result


def test_seeds_of_a_cell_are_one_row() -> None:
    one = summarise([], task="maze", agent="runs/one", method="hierarchical", replan="surprise", seed=0, levels_info=())
    one = replace(one, levels=2, episodes=10, successes=10, success_rate=1.0, predictor_evals_per_step=90.0)
    one = replace(one, per_goal={"9-12": 1.0, "13-16": 1.0})
    goals = {"9-12": 0.75, "13-16": 0.25}
    other = replace(one, successes=5, success_rate=0.5, seed=1, predictor_evals_per_step=110.0, per_goal=goals)
    results: list[tuple[dict[str, str], Result]] = [
        ({"objective": "vicreg", "task": "a short name", "seed": "0"}, one),
        ({"objective": "vicreg", "seed": "1"}, other),
        ({"objective": "none", "seed": "0"}, replace(one, successes=0, success_rate=0.0, per_goal={})),
    ]
    seen = [
        ({"objective": "vicreg", "seed": "0"}, {"trained_on": "maze", "levels": [{"rank": 4.0}, {"rank": 2.0}]}),
        ({"objective": "vicreg", "task": "maze", "seed": "1"}, {"trained_on": "maze", "levels": [{"rank": 6.0}]}),
    ]
    head, _, pooled, control = seeds_table(results, seen, lambda k, n: (k / n / 2, 1.0), figures=("rank",)).splitlines()
    assert head.startswith("| task | objective | depth | seeds | episodes | success | 95 % | by seed | by goal |")
    assert pooled.startswith("| maze | vicreg |")
    assert "| 2 | 20 | 75 % | 38–100 | 50–100 | 88/62 |" in pooled
    assert "| 100.0 |" in pooled
    assert pooled.endswith("| 5.00 / 2.00 |")
    assert "| 0 % | 0–100 | 0–0 | – |" in control
    assert control.endswith("| – |")


def test_violations_are_told_where_there_are_any() -> None:
    kept = summarise([], task="maze", agent="one", method="hierarchical", replan="surprise", seed=0, levels_info=())
    broke = replace(kept, constraint_violations=1.5, records=[{"violations": 3}, {"violations": 0}])
    interval = lambda k, n: (0.0, 1.0)  # noqa: E731 - not what is tested
    with_them = replace(kept, episodes=2), replace(broke, episodes=2)
    head, _, none, some = seeds_table(
        [({"guard": str(i)}, one) for i, one in enumerate(with_them)], [], interval
    ).splitlines()
    assert "| violations | in episodes |" in head
    assert "| 0.00 | 0 |" in none
    assert "| 1.50 | 1 |" in some
    assert "violations" not in seeds_table([({"guard": "0"}, with_them[0])], [], interval)
