"""The table of an inspection: a healthy level, and every way to be ill."""

from __future__ import annotations

import io
from typing import Any

from made_up_episode import golden
from rich.console import Console

from hplan.view.inspection import inspection_pages, inspection_table

HEALTHY: dict[str, Any] = {
    "level": 0, "kind": "vector", "stride": 1.0, "macros": 7, "effective_rank": 12.3, "rank_of": 16,
    "deviation": [0.9, 1.0, 1.1], "spectrum": [0.4, 0.3, 0.2, 0.1], "macro_sensitivity": 0.84, "autocorrelation": 14.2,
    "decay": [[1, 0.8], [2, 0.6], [4, None]], "errors": [[1, 0.01, 0.6], [2, 0.02, 0.95]], "codes_used": 6.9,
    "threshold": 0.5, "tolerance": 1.0, "succeeds": True, "probes": {"position": 0.99, "carrying": None},
}  # fmt: skip
ILL = HEALTHY | {
    "level": 1, "stride": 8.0, "effective_rank": 1.2, "deviation": [0.0, 0.01, 0.1], "macro_sensitivity": 0.01,
    "autocorrelation": 9.0, "errors": [[1, 1.5, 0.9]], "codes_used": None, "threshold": None, "succeeds": False,
    "probes": {"position": 0.1},
}  # fmt: skip


def drawn(*levels: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=110)
    console.print(inspection_table(levels))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_as_text() -> None:
    golden("inspection", drawn(HEALTHY, ILL))


def test_a_healthy_level_is_called_nothing() -> None:
    text = drawn(HEALTHY)
    for word in ("collapsed", "dull", "no slower", "worse"):
        assert word not in text


def test_every_illness_has_its_word() -> None:
    text = drawn(HEALTHY, ILL)
    for word in ("1.2 of 16 collapsed", "0.01 dull", "9.0 no slower than below", "worse than copying"):
        assert word in text


def test_pages_have_the_same_facts_and_three_charts() -> None:
    page = inspection_pages([HEALTHY])[0]
    assert page.facts["effective rank"] == "12.3 of 16"
    assert next(caption for caption, _ in page.charts).startswith("singular values")
    assert page.charts[2][1]["autocorrelation"] == [(1, 0.8), (2, 0.6)], "what was not measured is left out"
