"""The table of `hplan inspect`, letter by letter, and its page."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from test_page import CURVES, Page

from hplan.report.inspection_page import write_inspection_page
from hplan.report.inspection_table import inspection_lines, inspection_rows, inspection_table, verdict_lines
from hplan.types import Inspection, LevelInspection

BASE = LevelInspection(
    level=0,
    stride=1.0,
    durations=(1.0, 1.0, 1.0),
    latent_shape=(24, 8, 8),
    macro="7 actions",
    effective_rank=14.25,
    rank_of=23,
    deviation=(0.12, 0.2, 0.25),
    dead=0,
    spectrum=(0.5, 0.3, 0.2),
    closest=0.66,
    macro_sensitivity=0.987,
    autocorrelation=15.8,
    correlation=((1, 0.9), (160, 0.1)),
    errors=((1, 0.0, 0.65), (2, 0.002, 1.06)),
    codes=7,
    codes_used=6.9,
    codes_seen=1.0,
    thresholds=(0.0, 0.5),
    false_alarms=((0.01, 0.012), (0.1, 0.09)),
    tolerance=0.0,
    succeeds=True,
    probes={"position": 0.744, "carrying": 0.98},
    symptoms={},
)
TOP = replace(
    BASE,
    level=1,
    stride=29.4,
    durations=(3.0, 10.0, 25.0),
    latent_shape=(16, 8, 8),
    macro="6 event types x cell",
    effective_rank=1.2,
    rank_of=7,
    closest=0.999,
    macro_sensitivity=math.nan,
    autocorrelation=12.0,
    errors=((1, 1.5, 1.0),),
    codes=6,
    codes_used=2.5,
    codes_seen=0.5,
    thresholds=(math.inf,),
    false_alarms=((0.01, math.nan), (0.1, math.nan)),
    tolerance=0.5,
    succeeds=False,
    probes={"position": -0.2, "carrying": math.nan},
    symptoms={"effective_rank": "effective rank 1.2 of 7", "closest": "two symbols share a latent (cosine 0.999)"},
)
FOUND = Inspection(
    agent="runs/<mine>",
    trained_on="minigrid/DoorKey-8x8",
    success_rule="auto",
    task="minigrid/DoorKey-16x16",
    seed=3,
    steps=20000,
    episodes=24,
    train={"env_steps": 200000, "device": "cpu"},
    versions={"hplan": "0.1.0"},
    levels=(BASE, TOP),
)

GOLDEN = """\
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┓
┃ times in environment steps                     ┃        level 0 ┃                                level 1 ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┩
│ step duration, as planned                      │            1.0 │                                   29.4 │
│ step duration in this play, median (quartiles) │              1 │                              10 (3–25) │
│ latent shape                                   │     24 x 8 x 8 │                             16 x 8 x 8 │
│ macro-actions                                  │      7 actions │                   6 event types x cell │
│   in use: perplexity, share seen               │ 6.9, 100% of 7 │                          2.5, 50% of 6 │
│ effective rank                                 │     14.2 of 23 │                    1.2 of 7  collapsed │
│ standard deviation: min, median, max           │  0.12 0.2 0.25 │                          0.12 0.2 0.25 │
│ dimensions with almost no variance             │              0 │                                      0 │
│ largest cosine of two symbol codes             │           0.66 │                        1.00  collapsed │
│ macro-action sensitivity (level steps)         │           0.99 │                                      – │
│ autocorrelation time                           │           15.8 │            12.0  not slower than below │
│ error after 1 step (no-change baseline)        │   0.000 (0.65) │ 1.500 (1.00)  no better than no change │
│ error after 2 steps (no-change baseline)       │   0.002 (1.06) │                                      – │
│ surprise threshold, 1 step ahead               │          0.000 │                                  never │
│   at the longest look-ahead                    │ 0.500, 2 steps │                          never, 1 step │
│   false alarm rate, 1% nominal                 │          1.2 % │                                      – │
│   false alarm rate, 10% nominal                │          9.0 % │                                      – │
│ goal tolerance (level steps)                   │           0.00 │                                   0.50 │
│ success head                                   │        learned │                                   none │
│ R² of position                                 │           0.74 │                                  -0.20 │
│ R² of carrying                                 │           0.98 │                                      – │
└────────────────────────────────────────────────┴────────────────┴────────────────────────────────────────┘
"""


def drawn(found: Inspection, **options) -> str:
    console = Console(file=io.StringIO(), width=132, **options)
    console.print(inspection_table(found))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_letter_by_letter() -> None:
    assert drawn(FOUND) == GOLDEN


def test_what_is_wrong_is_red_as_well_as_said() -> None:
    lines = drawn(FOUND, force_terminal=True, color_system="standard").splitlines()
    marked = [line for line in lines if "\x1b[1;31m" in line]
    assert len(marked) == 4
    assert all(any(word in line for word in ("collapsed", "not slower", "no better")) for line in marked)


def test_the_lines_above_and_below() -> None:
    assert inspection_lines(FOUND) == [
        "runs/<mine>: trained on minigrid/DoorKey-8x8, success: auto",
        "  env_steps 200000, device cpu",
        "  hplan 0.1.0",
        "measured on 20,000 steps of fresh play in 24 episodes of minigrid/DoorKey-16x16, seed 3",
    ]
    assert verdict_lines(FOUND) == [
        "level 1 collapsed: effective rank 1.2 of 7; two symbols share a latent (cosine 0.999)"
    ]
    assert verdict_lines(replace(FOUND, levels=(BASE,))) == ["no level has collapsed"]


@pytest.mark.parametrize(
    ("below", "above", "text"),
    [
        (10.0, 20.0, "20.0"),
        (10.0, 10.0, "10.0  not slower than below"),
        (10.0, 31.9, "31.9"),
        (10.0, 32.1, "above 32.1"),
        (50.0, 40.0, "above 40.0"),
        (10.0, math.inf, "above 160.0"),
        (math.inf, 10.0, "10.0  not slower than below"),
        (math.inf, math.inf, "above 160.0"),
        (math.nan, 10.0, "10.0"),
        (10.0, math.nan, "–"),
    ],
)
def test_the_time_of_a_level_has_to_grow(below: float, above: float, text: str) -> None:
    levels = (replace(BASE, autocorrelation=below), replace(BASE, level=1, autocorrelation=above))
    (row,) = [row for row in inspection_rows(replace(FOUND, levels=levels)) if row.name == "autocorrelation time"]
    assert str(row.cells[1]) == text


def test_the_page_has_a_plot_of_everything_and_needs_nothing(tmp_path: Path) -> None:
    text = write_inspection_page(tmp_path / "page.html", FOUND, CURVES).read_text(encoding="utf-8")
    page = Page(text)
    assert page.counts["section"] == 6
    assert page.counts["figure"] == 1 + 2 + 1 + 1 + len(CURVES), "spectra, an error each, correlations, probes, curves"
    for said in ("runs/&lt;mine&gt;", "1.2 of 7  collapsed", 'class="wrong"', "R² of position", "no change"):
        assert said in text
    assert "Learning curves" not in write_inspection_page(tmp_path / "other.html", FOUND).read_text(encoding="utf-8")
