"""What float32 rounds away is told, and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from toy_world import PLANE

from hplan.play.manifest import Manifest
from hplan.play.play import load_play
from hplan.play.precision import offset_of, rounded
from hplan.play.record import play
from hplan.play.store import write_episodes
from hplan.registry import make_world, task_from_factory
from hplan.types import Episode, PrecisionWarning

T = 500
RANDOM = np.random.default_rng(0)
TIME = np.arange(T + 1)
WALK = RANDOM.normal(size=T + 1).cumsum()


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (1.7e9 + TIME, True),  # seconds since 1970: neighbours are 128 apart
        (1.7e9 + 1e-6 * WALK, True),  # nothing is left
        (1e5 + 2e-3 * TIME, True),
        (1e-6 * WALK, False),  # small is no trouble by itself
        (1.7e9 * WALK, False),  # nor is large
        (1e5 + WALK, False),
        (np.ones(T + 1), False),  # never changes
        (1 + 1e-8 * RANDOM.normal(size=T + 1), False),  # trembles at rest
        (np.where(TIME % 50 < 5, WALK, 1 + 1e-7 * RANDOM.normal(size=T + 1)), False),  # mostly at rest, and moves
        (TIME % 2, False),
    ],
)
def test_steps_that_are_lost_are_told(column: np.ndarray, told: bool) -> None:
    observations = torch.from_numpy(np.stack([WALK, column], 1).astype(np.float32))
    assert set(rounded(observations, torch.arange(T, -1, -1))) == ({1} if told else set())


def test_leaps_between_episodes_are_no_steps() -> None:
    column = 1e5 + 1e-3 * TIME + 1000.0 * (TIME // 50)
    observations = torch.from_numpy(column[:, None].astype(np.float32))
    assert set(rounded(observations, torch.from_numpy(np.minimum(49 - TIME % 50, T - TIME)))) == {0}


def test_what_no_episode_changes_is_no_step() -> None:
    """The colour of a goal, say: 0 in some episodes and 1 in others."""
    observations = torch.from_numpy((TIME // 50 % 2)[:, None].astype(np.float32))
    assert not rounded(observations, torch.from_numpy(np.minimum(49 - TIME % 50, T - TIME)))


class Clock(gymnasium.Env):
    """Seconds since 1970, which nothing brings back, and a walk of tiny steps. Values of a float64 Box, or of another.

    began: the time at which the next one starts.
    """

    action_space = spaces.Discrete(2)
    began = 1.7e9

    def __init__(self, dtype: type = np.float64, steps: float = 1.0) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), dtype)
        self.now, self.steps = self.began, steps

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.x = 0.0
        return self.shown(), {}

    def shown(self) -> np.ndarray:
        return np.array([self.now, self.x]).astype(self.observation_space.dtype)

    def step(self, action: int) -> Any:
        self.now, self.x = self.now + self.steps, self.x + (2e-6 * action - 1e-6)
        return self.shown(), 0.0, False, False, {"is_success": False}


def test_large_numbers_lose_where_they_began_before_they_become_float32(tmp_path: Path) -> None:
    task = task_from_factory(Clock)
    store = play(task, tmp_path, steps=400, seed=0, shard_steps=200)
    assert store.manifest.codec.offset == (1.7e9, 0.0)
    rows = load_play(tmp_path)  # a PrecisionWarning would be an error
    inside = rows.remaining[:-1] > 0
    assert rows.observations.diff(dim=0)[inside, 0].unique().tolist() == [1.0]
    assert rows.observations[0, 0] < 400


def test_what_was_taken_stays_the_same_when_play_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_from_factory(Clock)
    play(task, tmp_path, steps=100, seed=0, shard_steps=100)
    monkeypatch.setattr(Clock, "began", 1.7e9 + 5000)
    store = play(task, tmp_path, steps=200, seed=0, shard_steps=100)
    assert store.manifest.codec.offset == (1.7e9, 0.0)
    first, second = (shard["observations"] for shard in store.arrays())
    assert second[0, 0] - first[0, 0] == 5000
    known = play(replace(task, offset=(1.0, 2.0)), tmp_path / "known", steps=100, seed=0)
    assert known.manifest.codec.offset == (1.0, 2.0)


@pytest.mark.parametrize(
    "options", [{"dtype": np.float32}, {"steps": 1e6}, {"dtype": np.int64, "steps": 1e8}], ids=["single", "wide", "int"]
)
def test_nothing_is_taken_where_nothing_is_gained(options: Any) -> None:
    assert offset_of(make_world(task_from_factory(lambda: Clock(**options)))) == ()


def test_nothing_is_taken_where_the_environment_fails_or_shows_nothing_finite() -> None:
    class Broken(Clock):
        def step(self, action: int) -> Any:
            raise RuntimeError("stuck")

    class Endless(Clock):
        began = 1e300

    assert offset_of(make_world(task_from_factory(Broken))) == (1.7e9, 0.0)  # by what it began with
    assert offset_of(make_world(task_from_factory(Endless))) == ()


def test_it_is_said_in_one_line_before_anything_is_learned(tmp_path: Path) -> None:
    flags = np.zeros(T, bool)
    observations = np.stack([1.7e9 + TIME, 1e-6 * WALK], 1).astype(np.float32)
    episode = Episode(observations, np.zeros((T, 2), np.float32), np.zeros(T, np.float32), flags, flags, False, 0)
    write_episodes(tmp_path / "a", Manifest("toy", "toy", "official", 0, 0, {}, PLANE, {}), [episode])
    with pytest.warns(PrecisionWarning, match=r"float32 cannot hold .*: 0 \(up to 1\.7e\+09\)\. Subtract") as caught:
        load_play(tmp_path / "a")
    assert "\n" not in str(caught[0].message)
