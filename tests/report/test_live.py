"""The live picture and its plain lines, from a made-up episode."""

from __future__ import annotations

import io
import math
from dataclasses import replace

from made_up_episode import REPAIR, episode, golden
from rich.console import Console

from hplan.report.live import BAR, bar, frame, show
from hplan.report.trace import TraceStep


def console(**options: object) -> Console:
    return Console(file=io.StringIO(), width=110, **options)  # type: ignore[arg-type]


def written(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_one_frame() -> None:
    screen = console()
    screen.print(frame(episode()[2], "made-up"))
    golden("live_frame", written(screen))


def test_plain_lines_without_a_terminal() -> None:
    screen = console(soft_wrap=True)
    last = show(iter(episode()), title="made-up", console=screen)
    golden("live_plain", written(screen))
    assert last == episode()[-1]


def test_plain_lines_draw_the_tree_only_when_the_plan_changes() -> None:
    screen = console(soft_wrap=True)
    show(episode(), console=screen)
    text = written(screen)
    assert text.count("goal  the task's success") == 3  # the plan, its repair, the subgoal reached; not every action
    assert text.count("last repair") == 1
    assert len([line for line in text.splitlines() if line.startswith("step ")]) == len(episode())


def test_a_terminal_gets_a_live_picture() -> None:
    screen = console(force_terminal=True)
    assert show(episode(), console=screen, fps=1e6) == episode()[-1]
    assert "surprised" in written(screen)
    assert written(screen).count("╭") >= 2 * len(episode())


def test_brackets_in_a_world_are_no_markup() -> None:
    step = episode()[0]
    screen = console(soft_wrap=True)
    show([type(step)(**{**vars(step), "world": "[red]#[/red]"})], console=screen)
    assert "[red]#[/red]" in written(screen)


def test_nothing_to_show() -> None:
    assert show([], console=console()) is None


def test_a_bar_turns_red_beyond_its_mark() -> None:
    for surprise, style in ((0.4, "green"), (0.5, "green"), (0.6, "red"), (1e9, "red"), (float("nan"), "green")):
        text, _ = bar(surprise, 0.5)
        assert len(text) == BAR + 1
        assert [span.style for span in text.spans] == [style, "bold", style]
    assert bar(0.5, 0.5)[0].plain.index("┃") == bar(0.5, 0.5)[0].plain.count("━")
    assert "1.75 of 0.50  surprised" in bar(REPAIR.surprise, REPAIR.threshold)


def test_what_levels_expect_is_beside_what_is_seen() -> None:
    step = replace(episode()[2], imagined={1: "soon", 2: "in the end"})
    screen = console()
    screen.print(frame(step))
    text = written(screen)
    for said in ("step 2", "level 1 expects", "soon", "level 2 expects", "in the end", "plan"):
        assert said in text
    assert TraceStep.from_json(step.to_json()) == step


def test_a_level_that_is_never_surprised_has_no_bar() -> None:
    step = replace(episode()[2], thresholds={0: 1.0, 1: math.inf})
    screen, plain = console(), console(soft_wrap=True)
    screen.print(frame(step))
    show([step], console=plain)
    assert "surprise of level 0" in written(screen) and "surprise of level 1" not in written(screen)
    assert "level 0 1.75/1.00" in written(plain) and "inf" not in written(plain)
