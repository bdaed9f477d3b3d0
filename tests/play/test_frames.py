"""Images of play stay on the disk, and are what was written wherever they are asked for."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from raw_worlds import Canvas

from hplan.config import TaskConfig
from hplan.play import record
from hplan.play.frames import Frames
from hplan.play.play import load_play
from hplan.play.record import play
from hplan.play.store import SHARD_BYTES
from hplan.registry import task_of
from hplan.types import UsageError

SIZES = st.lists(st.integers(1, 5), min_size=1, max_size=4)


@given(SIZES, st.data())
def test_rows_of_several_shards_are_those_of_all_of_them_together(sizes: list[int], data: st.DataObject) -> None:
    whole = torch.arange(sum(sizes), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 2, 3, 1)
    frames = Frames(whole.split(sizes))
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=len(whole), max_size=len(whole))))
    kept = whole[mask]
    some = frames.select(mask)
    assert len(some) == len(kept) and some.shape == kept.shape and some.dtype == torch.uint8
    assert torch.equal(torch.cat([kept[:0], *some.split(2)]), kept)
    if len(kept):
        rows = torch.tensor(data.draw(st.lists(st.integers(0, len(kept) - 1), min_size=2, max_size=2)))
        assert torch.equal(some[rows], kept[rows]) and some[rows[None]].shape == (1, 2, 2, 3, 1)


def task() -> TaskConfig:
    return task_of(Canvas)


def test_play_of_images_is_mapped_in_shards_and_split_without_being_read(tmp_path: Path) -> None:
    store = play(task(), tmp_path / "play", steps=300, seed=1, shard_steps=100)
    assert len(store.shards) == 3
    data = load_play(tmp_path / "play")
    assert isinstance(data.observations, Frames)
    every = torch.cat([torch.from_numpy(episode.observations) for episode in store])
    assert torch.equal(torch.cat(list(data.observations.split(64))), every)
    parts = data.split(0.2, 0)
    assert all(isinstance(part.observations, Frames) for part in parts)
    assert sum(len(part) for part in parts) == len(data)
    held = data.held_out(0.2, 0)[data.episode]
    for part, rows in zip(parts, (~held, held), strict=True):
        assert torch.equal(part.observations[torch.arange(len(part))], every[rows])


def test_a_shard_of_images_is_no_larger_than_memory_likes(tmp_path: Path) -> None:
    store = play(task(), tmp_path, steps=20, seed=1)
    assert store.manifest.settings["shard_steps"] == 20_000  # 24 x 24 bytes each
    bytes_of = store.manifest.settings["shard_steps"] * 24 * 24
    assert bytes_of <= SHARD_BYTES


def test_a_shard_holds_an_episode_however_large_its_frames_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "SHARD_BYTES", 3 * 24 * 24)
    store = play(task(), tmp_path, steps=60, seed=1)
    assert store.manifest.settings["shard_steps"] == task().play.episode_steps


def test_more_frames_than_the_disk_holds_are_refused_before_they_are_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100 * 24 * 24))
    with pytest.raises(UsageError, match=r"frames of \(24, 24, 1\) take .* GiB, and the disk of .* GiB left"):
        play(task(), tmp_path / "play", steps=101, seed=1)
    assert play(task(), tmp_path / "play", steps=99, seed=1).steps == 99
