"""The page: whole, self-contained, escaped, and with the frames that matter."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from drawn import line_data
from hypothesis import given
from hypothesis import strategies as st
from made_up_episode import episode
from test_table import RESULTS

from hplan.report.page import LevelPage, pick, results_chart, surprise_chart, write_report
from hplan.worlds.half_blocks import half_blocks

VOID = {"meta", "br"}
CURVES = {"level 0": [{"step": i, "prediction": 1 / (i + 1), "inverse": 2.0} for i in range(20)]}
LEVELS = [
    LevelPage(0, {"latent": "24 x 8 x 8"}, [("codes", np.arange(6).reshape(2, 3))]),
    LevelPage(1, {"latent": "16"}),
]


class Page(HTMLParser):
    """Counts tags, and checks that they close and that nothing is loaded from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: Counter[str] = Counter()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {"src", "srcset"} & {name for name, _ in attrs}
        assert all((value or "").startswith("#") for name, value in attrs if name in ("href", "xlink:href"))
        assert tag not in ("script", "link", "iframe")
        self.counts[tag] += 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_page_has_everything_and_needs_nothing(tmp_path: Path) -> None:
    path = write_report(
        tmp_path / "runs" / "report.html",
        title="a <demo>", summary=["first", "second & last"], curves=CURVES, levels=LEVELS, results=RESULTS,
        episode=episode(), versions={"hplan": "0.1"}, command="make demo",
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.counts["section"] == 5
    assert page.counts["figure"] == len(episode()) + 1 + len(CURVES) + 1, "frames, surprise, stages, maps"
    assert page.counts["svg"] == 1 + 1 + len(CURVES) + 1, "results and the others"
    assert re.findall(r"url\((?!#)|@import|https?://(?!www.w3.org)", text) == []
    for said in ("a &lt;demo&gt;", "second &amp; last", "97 %", "pick up the key", "level 0, surprise", "hplan 0.1",
                 "surprise / threshold", "gradient steps", "prefers-color-scheme: dark"):  # fmt: skip
        assert said in text


def test_an_empty_page_is_a_page(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path / "report.html", title="nothing").read_text())
    assert page.counts["section"] == 0


def test_worlds_and_labels_are_no_html(tmp_path: Path) -> None:
    step = replace(episode()[0], world="<b>#</b>", action="<i>")
    step = replace(step, tree=step.tree.update(1, label="<script>"))
    text = write_report(tmp_path / "report.html", title="t", episode=[step]).read_text()
    Page(text)
    assert "&lt;b&gt;#&lt;/b&gt;" in text and "&lt;script&gt;" in text
    curves = {"<stage>": [{"step": 0, "<loss>": 1.0}]}
    assert "&lt;loss&gt;" in write_report(tmp_path / "report.html", title="t", curves=curves).read_text()


def test_the_same_run_is_the_same_page(tmp_path: Path) -> None:
    first, second = (
        write_report(
            tmp_path / f"{i}.html", title="t", curves=CURVES, levels=LEVELS, results=RESULTS, episode=episode()
        )
        for i in range(2)
    )
    assert first.read_bytes() == second.read_bytes()


def test_results_are_drawn_with_their_intervals() -> None:
    success, evaluations = results_chart(RESULTS).axes
    assert [bar.get_width() for bar in success.patches] == [97.0, 0.0]
    assert [bar.get_width() for bar in evaluations.patches] == [1234.56, 0.0], "what has no level does not plan"
    assert [label.get_text() for label in success.get_yticklabels()] == ["hierarchical, 2 levels", "random"]
    (_, _, (spans,)) = success.containers[-1]
    assert spans.get_segments()[0][:, 0] == pytest.approx([91.49, 99.02])


def test_surprise_is_drawn_against_its_threshold() -> None:
    chart = surprise_chart(episode())
    assert chart
    assert line_data(chart.axes[0]) == {
        "level 0": [(0, 0.5), (1, 0.5), (2, 3.5), (3, 0.5)],
        "level 1": [(0, pytest.approx(1 / 6)), (1, pytest.approx(1 / 6)), (2, pytest.approx(1 / 3)),
                    (3, pytest.approx(1 / 6))],
    }  # fmt: skip
    endless = [replace(step, thresholds={0: math.inf}) for step in episode()]
    assert surprise_chart(endless) is None, "a level that is never surprised has no line"


@given(st.integers(1, 40), st.integers(2, 15))
def test_picked_frames_are_in_order_and_keep_both_ends(length: int, frames: int) -> None:
    steps = [replace(episode()[i % 3], step=i) for i in range(length)]
    picked = [step.step for step in pick(steps, frames)]
    assert picked == sorted(set(picked))
    assert len(picked) == min(length, frames)
    assert {0, length - 1} >= {picked[0], picked[-1]}


@pytest.mark.parametrize("at", [5, 17, 38])
def test_a_repair_is_never_cut(at: int) -> None:
    calm, repaired = episode()[1], episode()[2]
    steps = [replace(repaired if i >= at else calm, step=i) for i in range(40)]
    assert at in [step.step for step in pick(steps, 4)]


def test_pictures_of_what_levels_expect_stand_beside_what_is_seen(tmp_path: Path) -> None:
    white, black = (half_blocks(np.full((2, 2, 3), shade, np.uint8)) for shade in (255, 0))
    steps = [replace(step, world=white, imagined={1: black}) for step in episode()]
    text = write_report(tmp_path / "report.html", title="a", episode=steps).read_text(encoding="utf-8")
    seen, expected = text.count('alt="what the agent sees"'), text.count('alt="what level 1 expects"')
    assert seen == expected == text.count("data:image/png") // 2 > 0
    assert len(set(re.findall(r'src="(data:image/png[^"]*)"', text))) == 2
