from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_world import Corridor, Plane

from hplan.config import PlayConfig, TaskConfig
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.types import HplanError, UsageError

TASK = TaskConfig(name="toy", environment="toy", play=PlayConfig(episode_steps=20, restart_rare=0.5))


@st.composite
def plays(draw: st.DrawFn) -> tuple[Play, list]:
    """Played data of either kind, with its episodes."""
    make = draw(st.sampled_from([Corridor, Plane]))
    task = replace(TASK, play=replace(TASK.play, episode_steps=draw(st.integers(1, 30))))
    steps, shard_steps = draw(st.integers(1, 120)), draw(st.integers(7, 60))
    with TemporaryDirectory() as folder:
        store = play(task, Path(folder), steps=steps, seed=draw(st.integers(0, 99)), make=make, shard_steps=shard_steps)
        data = load_play(folder)
        return data, list(store)


@settings(max_examples=20, deadline=None)
@given(plays(), st.integers(1, 12))
def test_windows_are_those_of_the_episodes(played: tuple[Play, list], horizon: int) -> None:
    """No window crosses an episode, none is missing, and action t of a window belongs to its observation t."""
    data, episodes = played
    expected = [
        (number, e.observations[t : t + horizon + 1], e.actions[t : t + horizon], e.rewards[t : t + horizon])
        for number, e in enumerate(episodes)
        for t in range(len(e) - horizon + 1)
    ]
    starts = data.starts(horizon)
    assert starts.dtype == np.int64
    assert len(starts) == len(expected) == sum(max(0, len(e) - horizon + 1) for e in episodes)
    for i, (number, observations, actions, rewards) in zip(starts, expected, strict=True):
        assert (data.episode[i : i + horizon + 1] == number).all()
        assert np.array_equal(data.observations[i : i + horizon + 1], observations)
        assert np.array_equal(data.actions[i : i + horizon], actions)
        assert np.array_equal(data.rewards[i : i + horizon], rewards)


@settings(max_examples=20, deadline=None)
@given(plays())
def test_lengths_add_up(played: tuple[Play, list]) -> None:
    data, episodes = played
    assert len(data) == sum(len(e) + 1 for e in episodes) == data.steps + data.episodes
    assert {len(column) for column in (data.observations, data.actions, data.success, data.terminated)} == {len(data)}
    last = data.remaining == 0
    assert last.sum() == data.episodes == len(episodes)
    assert data.terminated[last].tolist() == [e.terminated for e in episodes]
    assert not data.terminated[~last].any()
    for column in (data.actions, data.rewards, data.success, data.violation):
        assert not column[last].any()  # nothing follows the last observation
    assert data.seeds.tolist() == [e.seed for e in episodes]


@settings(max_examples=20, deadline=None)
@given(plays(), st.floats(0.05, 0.95), st.integers(0, 9))
def test_a_split_shares_no_layout(played: tuple[Play, list], fraction: float, seed: int) -> None:
    data, _ = played
    if len(set(data.seeds.tolist())) < 2:
        with pytest.raises(HplanError, match="nothing to hold out"):
            data.split(fraction, seed)
        return
    train, held = data.split(fraction, seed)
    assert len(train) + len(held) == len(data)
    assert min(train.episodes, held.episodes) > 0
    assert not set(train.seeds.tolist()) & set(held.seeds.tolist())
    assert np.array_equal(held.starts(2), data.split(fraction, seed)[1].starts(2))
    for part in (train, held):
        assert np.array_equal(np.unique(part.episode), np.arange(part.episodes))
        assert len(part.starts(1)) == part.steps


def test_loading_refuses_what_is_damaged_and_keeps_the_rest(tmp_path: Path) -> None:
    play(TASK, tmp_path, steps=90, seed=0, make=Corridor, shard_steps=30)
    whole = load_play(tmp_path)
    shard = tmp_path / "shard-00001.npz"
    shard.write_bytes(shard.read_bytes()[::-1])  # same size: only the hash tells
    with pytest.raises(HplanError, match=r"shard-00001\.npz: altered"):
        load_play(tmp_path)
    rest = load_play(tmp_path, skip_damaged=True)
    assert (whole.steps, rest.steps) == (90, 60)
    for path in tmp_path.glob("*.npz"):
        path.unlink()
    with pytest.raises(HplanError, match="no readable episodes"):
        load_play(tmp_path, skip_damaged=True)


def test_wrong_calls_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no episodes here"):
        load_play(tmp_path)
    play(TASK, tmp_path, steps=90, seed=0, make=Corridor)
    data = load_play(tmp_path)
    with pytest.raises(UsageError, match="1 step or more"):
        data.starts(0)
    with pytest.raises(UsageError, match="between 0 and 1"):
        data.split(1.5, 0)
