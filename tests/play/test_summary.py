from __future__ import annotations

from pathlib import Path

import pytest
from toy_world import Corridor, Plane

from hplan.config import PlayConfig, TaskConfig
from hplan.play.record import play
from hplan.play.summary import summarize

TASK = TaskConfig(name="toy", environment="toy", play=PlayConfig(episode_steps=30))


def test_figures_are_those_of_the_episodes(tmp_path: Path) -> None:
    episodes = list(play(TASK, tmp_path, steps=300, seed=0, make=Corridor, shard_steps=100))
    report = summarize(tmp_path)
    assert (report.episodes, report.steps) == (len(episodes), 300)
    assert report.lengths == (min(map(len, episodes)), 300 / len(episodes), max(map(len, episodes)))
    assert report.successes == report.terminated == sum(e.terminated for e in episodes)
    assert report.violations == sum(int(e.violation.sum()) for e in episodes)
    assert report.layouts == len({e.seed for e in episodes})
    played = [int(action) for episode in episodes for action in episode.actions]
    assert report.actions == {name: played.count(i) / 300 for i, name in enumerate(("left", "right", "take"))}
    assert not report.damaged


def test_damage_is_told_and_not_counted(tmp_path: Path) -> None:
    play(TASK, tmp_path, steps=200, seed=0, make=Plane, shard_steps=100)
    (tmp_path / "shard-00001.safetensors").unlink()
    report = summarize(tmp_path)
    assert (report.steps, report.damaged) == (100, {"shard-00001.safetensors": "missing"})
    text = "\n".join(report.lines())
    assert "DAMAGED shard-00001.safetensors: missing" in text
    assert "100 of 200 steps" in text
    assert report.actions == pytest.approx({"0 above the middle": 0.5, "1 above the middle": 0.5}, abs=0.4)


def test_nothing_left(tmp_path: Path) -> None:
    play(TASK, tmp_path, steps=50, seed=0, make=Corridor)
    (tmp_path / "shard-00000.safetensors").unlink()
    report = summarize(tmp_path)
    assert (report.episodes, report.steps, report.actions) == (0, 0, {})
    assert report.lines()
