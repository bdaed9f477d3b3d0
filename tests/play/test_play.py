from __future__ import annotations

import errno
import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from by_name import begin, take
from toy_world import Corridor, Plane

from hplan.config import PlayConfig, TaskConfig
from hplan.play.collect import STRETCH, random_actions
from hplan.play.record import play
from hplan.play.store import EpisodeStore
from hplan.types import ActionSpec, HplanError, UsageError

TASK = TaskConfig(
    name="toy",
    environment="Corridor-v0",
    play=PlayConfig(recipe="random", steps={"quick": 100, "full": 100}, episode_steps=30, restart_rare=0.5),
)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_observation_and_action_are_paired(tmp_path: Path) -> None:
    """Replaying each episode's actions in the world gives its observations, rewards and flags."""
    world = Corridor()
    store = play(replace(TASK, play=replace(TASK.play, restart_rare=0.0)), tmp_path, steps=500, seed=1, make=Corridor)
    assert store.steps == 500
    for episode in store:
        assert np.array_equal(begin(world, episode.seed).observation, episode.observations[0])
        assert len(episode.observations) == len(episode) + 1
        assert len(episode) <= 30
        for t, action in enumerate(episode.actions):
            transition = take(world, int(action))
            assert np.array_equal(transition.observation, episode.observations[t + 1])
            assert (transition.reward, transition.success) == (episode.rewards[t], episode.success[t])
            assert transition.violation == episode.violation[t]
        assert episode.terminated == transition.terminated
        assert episode.success.sum() == episode.terminated  # success is of the transition, and ends the episode


def test_a_shard_depends_on_seed_and_index_only(tmp_path: Path) -> None:
    long = play(TASK, tmp_path / "long", steps=500, seed=1, make=Corridor, shard_steps=100)
    short = play(TASK, tmp_path / "short", steps=250, seed=1, make=Corridor, shard_steps=100)
    other = play(TASK, tmp_path / "other", steps=250, seed=2, make=Corridor, shard_steps=100)
    assert [s.steps for s in short.manifest.shards] == [100, 100, 50]
    hashes = [[s.sha256 for s in store.manifest.shards] for store in (long, short, other)]
    assert hashes[0][:2] == hashes[1][:2]
    assert len({*hashes[0][:3], *hashes[2][:2]}) == 5
    assert play(TASK, tmp_path / "short", steps=500, seed=1, make=Corridor, shard_steps=100).steps == 500
    assert contents(tmp_path / "short") == contents(tmp_path / "long")


def test_workers_change_nothing(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    play(TASK, tmp_path / "one", steps=500, seed=1, make=Corridor, shard_steps=100)
    report = lambda done, total: calls.append((done, total))  # noqa: E731
    play(TASK, tmp_path / "two", steps=500, seed=1, make=Corridor, shard_steps=100, workers=2, progress=report)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert calls[0] == (0, 500)
    assert calls[-1] == (500, 500)
    assert calls == sorted(calls)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_killed_at_random_moments(tmp_path: Path, number: int) -> None:
    """A run that is killed again and again ends with the bytes of one that was left alone."""
    slow = partial(play, TASK, steps=400, seed=3, make=partial(Corridor, pause=0.005), shard_steps=40)
    slow(tmp_path / "calm")
    killed = 0
    for _ in range(30):
        process = multiprocessing.get_context("fork").Process(target=_quiet, args=(slow, tmp_path / "killed"))
        process.start()
        time.sleep(random.uniform(0.02, 0.12))
        os.kill(process.pid, number)
        process.join()
        killed += process.exitcode != 0
        if process.exitcode == 0:
            break
    assert killed > 1
    slow(tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "calm")


def _quiet(job: partial, out: Path) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the traceback of Ctrl-C
    job(out)


def test_only_what_is_damaged_is_played_again(tmp_path: Path) -> None:
    make = partial(play, TASK, tmp_path, steps=300, seed=1, make=Corridor, shard_steps=100)
    make()
    before = contents(tmp_path)
    cut, flipped = tmp_path / "shard-00000.safetensors", tmp_path / "shard-00001.safetensors"
    cut.write_bytes(before[cut.name][:-7])
    flipped.write_bytes(before[flipped.name].replace(b"\x01", b"\x02", 1))
    untouched = (tmp_path / "shard-00002.safetensors").stat().st_mtime_ns
    with pytest.raises(HplanError, match=r"shard-00000\.safetensors: truncated"):
        EpisodeStore.open(tmp_path)
    rest = EpisodeStore.open(tmp_path, skip_damaged=True, hashes=True)
    assert rest.damaged.keys() == {cut.name, flipped.name}
    assert (rest.steps, sum(len(e) for e in rest)) == (100, 100)
    make()
    assert contents(tmp_path) == before
    assert (tmp_path / "shard-00002.safetensors").stat().st_mtime_ns == untouched


def nan_at_70(step: int) -> float:
    return float("nan") if step == 70 else 0.0


def raise_at_70(step: int) -> float:
    return 1 / (step - 70) * 0.0


@pytest.mark.parametrize(("trouble", "cause"), [(nan_at_70, "not finite"), (raise_at_70, "ZeroDivisionError")])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_world_keeps_the_episodes_before(tmp_path: Path, trouble: object, cause: str, workers: int) -> None:
    make = partial(Plane, trouble=trouble)
    with pytest.raises(HplanError, match=rf"Plane-v0, seed \d+, step 9: .*{cause}") as caught:
        play(TASK, tmp_path, steps=200, seed=1, make=make, workers=workers)
    assert "\n" not in str(caught.value)
    store = EpisodeStore.open(tmp_path)
    assert [len(e) for e in store] == [30, 30]
    assert np.isfinite(np.concatenate([e.observations for e in store])).all()
    assert play(TASK, tmp_path, steps=200, seed=1, make=Plane).steps == 200  # the world is mended


def test_a_world_that_fails_at_once_leaves_no_shard(tmp_path: Path) -> None:
    with pytest.raises(HplanError, match="step 0"):
        play(TASK, tmp_path, steps=200, seed=1, make=partial(Plane, trouble=lambda step: float("inf")))
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_truncation_ends_an_episode_without_terminating_it(tmp_path: Path) -> None:
    store = play(TASK, tmp_path, steps=20, seed=1, make=partial(Plane, limit=7))
    assert [(len(e), e.terminated) for e in store] == [(7, False), (7, False), (6, False)]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = partial(play, TASK, tmp_path, seed=1, make=Corridor, shard_steps=100)
    make(steps=100)
    before = contents(tmp_path)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(HplanError, match=r"shard-00001\.safetensors: the disk is full .* MB free") as caught:
            make(steps=200)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before
    assert make(steps=200).steps == 200


def test_restarts_from_rare_states_show_more_of_them(tmp_path: Path) -> None:
    def with_key(restart_rare: float) -> float:
        task = replace(TASK, play=replace(TASK.play, restart_rare=restart_rare, episode_steps=15))
        store = play(task, tmp_path / str(restart_rare), steps=6000, seed=1, make=Corridor)
        return float(np.concatenate([(e.observations[..., 1] == 2).any((1, 2)) for e in store]).mean())

    assert with_key(0.7) > 1.5 * with_key(0.0) > 0


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"seed": 2}, "seed 1, not 2"), ({"steps": 50}, "100 steps, more than the 50"), ({"resume": False}, "already")],
)
def test_another_play_is_refused(tmp_path: Path, changes: dict[str, int], named: str) -> None:
    make = partial(play, TASK, tmp_path, make=Corridor)
    make(steps=100, seed=1)
    with pytest.raises(UsageError, match=named):
        make(**{"steps": 100, "seed": 1} | changes)


def test_other_versions_may_read_but_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = partial(play, TASK, tmp_path, seed=1, make=Corridor, shard_steps=50)
    make(steps=100)
    monkeypatch.setattr("hplan.play.record.versions", lambda: {"numpy": "99"})
    assert make(steps=100).steps == 100
    with pytest.raises(UsageError, match=r"made with .* here are .*99"):
        make(steps=150)


def test_a_foreign_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="not empty"):
        play(TASK, tmp_path, steps=10, seed=0, make=Corridor)


@pytest.mark.parametrize("text", ["", "{}", '{"format": 99}', "[1"])
def test_a_bad_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(HplanError, match=r"manifest\.json"):
        EpisodeStore.open(tmp_path)


def test_the_manifest_tells_what_is_there(tmp_path: Path) -> None:
    play(TASK, tmp_path, steps=100, seed=5, make=Corridor)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["task"], manifest["seed"], manifest["source"]) == ("toy", 5, "regenerated")
    assert {"numpy", "gymnasium"} <= manifest["versions"].keys()
    assert manifest["codec"]["observation"]["shape"] == [1, 8, 2]
    assert len(manifest["shards"][0]["seeds"]) == manifest["shards"][0]["episodes"]


def test_random_actions_stay_in_bounds_and_repeat() -> None:
    rng = np.random.default_rng(0)
    box = ActionSpec("continuous", 2, (-1.0, 3.0), (1.0, 5.0))
    drawn = random_actions(box, 2000, (0.75,), rng)
    assert drawn.shape == (2000, 2)
    assert ((drawn >= box.low) & (drawn <= box.high)).all()
    assert 0.7 < (drawn[1:] == drawn[:-1]).all(1).mean() < 0.8
    discrete = random_actions(ActionSpec("discrete", 5), 2000, (0.0,), rng)
    assert set(discrete) == set(range(5))
    several = np.array(random_actions(ActionSpec("discrete", 5), 200 * STRETCH, (0.0, 0.95), rng))
    held = (several[1:] == several[:-1]).reshape(-1)[: 199 * STRETCH].reshape(199, STRETCH).mean(1)
    assert ((held < 0.45) | (held > 0.75)).mean() > 0.95, "a stretch is of one kind or of the other"
    assert 0.3 < (held > 0.75).mean() < 0.7
