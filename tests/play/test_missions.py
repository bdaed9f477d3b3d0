"""What an episode asks for is kept in words, once for each, and goes wherever the episode goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from toy_world import Corridor

from hplan.config import PlayConfig, TaskConfig
from hplan.play.explore import begin
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.play.store import EpisodeStore, map_shard, unpack_missions, write_episodes, write_shard
from hplan.registry import load_task, make_world

COLOURS = ("blue", "green", "purpurrot \u2713")


@dataclass
class Asking(Corridor):
    """A corridor whose seed decides which key it asks for, and shows it."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        observation, _ = super().reset(seed=seed)
        return observation, {"mission": f"take the {COLOURS[self.state[1] % 3]} key"}


def stored(folder: Path, make: Any = Asking) -> EpisodeStore:
    task = TaskConfig("toy/Asking", "Asking-v0", play=PlayConfig(episode_steps=20, restart_rare=0.5))
    return play(task, folder, steps=600, seed=0, make=make, shard_steps=200)


def test_missions_are_those_that_reset_showed_also_of_restarts(tmp_path: Path) -> None:
    store = stored(tmp_path)
    data = load_play(tmp_path)
    assert len(data.missions) == data.episodes == len(store) and len(set(data.missions)) == 3
    assert data.episodes > len(set(data.seeds.tolist())), "some episodes begin where others have been"
    for mission, episode in zip(data.missions, store, strict=True):
        assert mission == episode.mission == begin(Asking(), episode.seed).mission


def test_missions_go_with_their_episodes(tmp_path: Path) -> None:
    store = stored(tmp_path / "first")
    data = load_play(tmp_path / "first")
    odd = torch.arange(data.episodes) % 2 == 1
    assert data.select(odd).missions == data.missions[1::2]
    parts = data.split(0.3, 0)
    assert sorted(parts[0].missions + parts[1].missions) == sorted(data.missions)
    assert Play.of(store, data.observation_spec, data.action_spec).missions == data.missions
    copied = write_episodes(tmp_path / "copy", replace(store.manifest, shards=(), steps=0), store)
    assert load_play(copied.path).missions == data.missions


def test_worlds_without_any_store_none_and_older_stores_are_read(tmp_path: Path) -> None:
    stored(tmp_path / "none", Corridor)
    assert load_play(tmp_path / "none").missions == ()
    arrays = next(EpisodeStore.open(tmp_path / "none").arrays())
    assert "missions" not in arrays and set(unpack_missions(arrays)) == {""}

    store = stored(tmp_path / "part")
    file = store.path / store.shards[1].file
    older = {name: array.copy() for name, array in map_shard(file).items() if name != "missions"}
    sha256, size = write_shard(file, older)
    replace(store.manifest, shards=(store.shards[0], replace(store.shards[1], sha256=sha256, size=size))).save(
        store.path
    )
    missions = load_play(store.path).missions
    first = store.shards[0].episodes
    assert all(missions[:first]) and not any(missions[first:]) and len(missions) == first + store.shards[1].episodes


def test_minigrid_asks_for_what_its_mission_says() -> None:
    env = make_world(load_task("minigrid/UnlockPickup"))
    starts = [begin(env, seed) for seed in range(4)]
    assert len({start.mission for start in starts}) > 1
    assert all(start.mission.startswith("pick up the") for start in starts)
    _, info = env.reset(seed=0)
    assert info["goal"] == info["mission"] == starts[0].mission
    unasked = make_world(replace(load_task("minigrid/UnlockPickup"), goal="observation"))
    assert "goal" not in unasked.reset(seed=0)[1]
