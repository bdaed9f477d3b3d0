"""Play as flat arrays for training, and the windows in it. A window never leaves its episode."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hplan.play.shard import CONTEXTS, EPISODES, ROWS
from hplan.play.store import EpisodeStore
from hplan.types import ActionSpec, HplanError, ObservationSpec, UsageError


@dataclass(frozen=True)
class PlayData:
    """Episodes one after the other, one row per observation: N rows, of which every episode of T steps has T + 1.

    observations (N, ...); actions (N,) int64 or (N, A) float32; rewards (N,) float32; success, violation (N,) bool:
    entry i belongs to the transition i -> i + 1, and is 0 on the last row of an episode, where nothing follows.
    terminated (N,) bool: True on the last row of an episode that the environment ended.
    remaining (N,) int32: steps left in the episode after row i. A window of h steps starts at i iff remaining[i] >= h.
    episode (N,) int32: number of the episode, from 0. seeds (E,) int64: of each episode's layout.
    contexts (E, rows, columns) uint8: of each episode, in worlds that have any.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    success: np.ndarray
    violation: np.ndarray
    terminated: np.ndarray
    remaining: np.ndarray
    episode: np.ndarray
    seeds: np.ndarray
    observation_spec: ObservationSpec
    action_spec: ActionSpec
    contexts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.remaining)

    @property
    def episodes(self) -> int:
        return len(self.seeds)

    @property
    def steps(self) -> int:
        return len(self) - self.episodes

    def starts(self, horizon: int) -> np.ndarray:
        """(K,) int64, ascending: every row at which a window of `horizon` steps starts (it ends at row i + horizon)."""
        if horizon < 1:
            raise UsageError(f"a window has 1 step or more, not {horizon}")
        return np.flatnonzero(self.remaining >= horizon)

    def split(self, fraction: float, seed: int) -> tuple[PlayData, PlayData]:
        """(training, held out): about `fraction` of the layouts are held out, with all of their episodes.

        Whole layouts, because episodes that restart from a rare state share theirs with an earlier one.
        """
        if not 0 < fraction < 1:
            raise UsageError(f"the fraction to hold out is between 0 and 1, not {fraction}")
        layouts = np.unique(self.seeds)
        if len(layouts) < 2:
            raise HplanError(f"{self.episodes} episode(s) of {len(layouts)} layout: nothing to hold out, play more")
        count = int(np.clip(round(fraction * len(layouts)), 1, len(layouts) - 1))
        held = np.random.default_rng(seed).permutation(layouts)[:count]
        mask = np.isin(self.seeds, held)
        return self.select(~mask), self.select(mask)

    def select(self, episodes: np.ndarray) -> PlayData:
        """The episodes where the mask (E,) is True, numbered anew."""
        rows = episodes[self.episode]
        per_row = {name: getattr(self, name)[rows] for name in (*ROWS, "terminated", "remaining")}
        number = (np.cumsum(episodes) - 1).astype(np.int32)[self.episode[rows]]
        contexts = None if self.contexts is None else self.contexts[episodes]
        return replace(self, **per_row, episode=number, seeds=self.seeds[episodes], contexts=contexts)


def load_play(path: Path | str, *, skip_damaged: bool = False) -> PlayData:
    """All episodes of a store in memory; every shard's hash is checked first (about 1 s for 500 MB).

    Raises HplanError naming a damaged shard; with `skip_damaged` the others are loaded.
    """
    store = EpisodeStore.open(path, skip_damaged=skip_damaged, hashes=True)
    shards = list(store.arrays())
    if not shards:
        raise HplanError(f"{store.path}: no readable episodes: run the same `hplan data make` again")
    names = (*ROWS, *EPISODES, *([CONTEXTS] if store.manifest.observation_spec.context else []))
    columns = {name: np.concatenate([shard[name] for shard in shards]) for name in names}
    lengths, ended = columns.pop("lengths"), columns.pop("terminated")
    ends = np.cumsum(lengths + 1) - 1  # the last row of each episode
    episode = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths + 1)
    terminated = np.zeros(len(episode), bool)
    terminated[ends[ended]] = True
    return PlayData(
        **columns,
        terminated=terminated,
        remaining=(ends[episode] - np.arange(len(episode))).astype(np.int32),
        episode=episode,
        observation_spec=store.manifest.observation_spec,
        action_spec=store.manifest.action_spec,
    )
