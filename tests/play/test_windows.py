from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_play import made_up
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
    if not expected:
        with pytest.raises(HplanError, match=f"no episode of play has {horizon} steps"):
            data.starts(horizon)
        return
    starts = data.starts(horizon)
    assert starts.dtype == torch.int64
    assert len(starts) == len(expected) == sum(max(0, len(e) - horizon + 1) for e in episodes)
    for i, (number, observations, actions, rewards) in zip(starts.tolist(), expected, strict=True):
        assert bool((data.episode[i : i + horizon + 1] == number).all())
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
    assert data.lengths.tolist() == [len(e) for e in episodes]
    again = Play.of(episodes, data.observation_spec, data.action_spec)
    for name in ("observations", "actions", "success", "terminated", "remaining", "episode", "seeds"):
        assert torch.equal(getattr(again, name), getattr(data, name)), name


@settings(max_examples=20, deadline=None)
@given(plays(), st.data())
def test_outcomes_are_where_successful_steps_end(played: tuple[Play, list], data: st.DataObject) -> None:
    play, episodes = played
    kept = torch.tensor(data.draw(st.lists(st.booleans(), min_size=play.episodes, max_size=play.episodes)))
    expected: dict[bool, list[int]] = {True: [], False: []}
    row = 0
    for number, episode in enumerate(episodes):
        for reached in [False, *episode.success.tolist()]:
            if kept[number]:
                expected[reached].append(row)
            row += 1
    assert [rows.tolist() for rows in play.outcomes(kept)] == [expected[True], expected[False]]
    assert len(torch.cat(play.outcomes())) == len(play)
    chosen = play.select(kept).outcomes()
    assert [len(rows) for rows in chosen] == [len(expected[True]), len(expected[False])], "none is lost on the way"


def test_levels_see_latents_where_there_are_any() -> None:
    play = made_up([(3, 0), (2, 1)])
    assert play.below is play.observations
    latents = torch.arange(7.0)[:, None]
    above = play.with_latents(latents)
    assert above.below is latents and above.observations is play.observations
    assert above.select(torch.tensor([False, True])).below.flatten().tolist() == [4, 5, 6]
    with pytest.raises(UsageError, match="6 latents for 7 rows"):
        play.with_latents(latents[1:])


def test_windows_can_be_cut_without_losing_episodes() -> None:
    """As where chance decides: `remaining` ends there, and the episode goes on."""
    play = made_up([(4, 0), (4, 1)])
    cut = replace(play, remaining=torch.tensor([1, 0, 2, 1, 0, 4, 3, 2, 1, 0]))
    assert cut.starts(2).tolist() == [2, 5, 6, 7]
    assert cut.select(torch.tensor([True, False])).starts(1).tolist() == [0, 2, 3]
    assert cut.lengths.tolist() == [4, 4]


def test_loading_refuses_what_is_damaged_and_keeps_the_rest(tmp_path: Path) -> None:
    play(TASK, tmp_path, steps=90, seed=0, make=Corridor, shard_steps=30)
    whole = load_play(tmp_path)
    shard = tmp_path / "shard-00001.safetensors"
    shard.write_bytes(shard.read_bytes()[::-1])  # same size: only the hash tells
    with pytest.raises(HplanError, match=r"shard-00001\.safetensors: altered"):
        load_play(tmp_path)
    rest = load_play(tmp_path, skip_damaged=True)
    assert (whole.steps, rest.steps) == (90, 60)
    for path in tmp_path.glob("*.safetensors"):
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


def test_play_of_one_shard_is_mapped_and_of_bytes(tmp_path: Path) -> None:
    play(TASK, tmp_path, steps=90, seed=0, make=Corridor)
    before = (tmp_path / "shard-00000.safetensors").read_bytes()
    data = load_play(tmp_path)
    assert data.observations.dtype == torch.uint8
    data.observations.fill_(7)
    assert (tmp_path / "shard-00000.safetensors").read_bytes() == before, "nothing gets to the disk"
