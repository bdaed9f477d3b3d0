"""Curious play of maps of symbols: it learns a model as it goes, and heads for what that has hardly seen.

In rounds: play some steps, learn from them (neighbours.py), play on. An action is chosen by a search in the model: of
all states that it can imagine surely, in order of the steps that they take, the one is sought where an action is worth

    discount^steps * max over cells of novelty / (1 + times tried this round)

most, and the way there is gone until something unforeseen happens. Episodes that restart begin in an archived state
(explore.py), drawn in proportion to that worth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hplan.codec import Codec
from hplan.play.explore import Archive, Start, begin_anywhere, permitted
from hplan.play.neighbours import NeighbourModel
from hplan.types import UsageError

_ROUND = 25  # steps: short, so that what is new in an episode is known before it is over
_DISCOUNT = 0.98  # of a step
_IMAGINED = 20_000  # cells of all maps of a search
_SURE = 0.9  # share of a pair's outcomes above which a search goes on from there
_RANDOM = 0.1  # of actions are uniform, so that every action keeps support in every state


def check_curious(codec: Codec) -> None:
    """Raises UsageError where curious play has no model of an environment."""
    observations, actions = codec.observation_spec.kind, codec.action_spec.kind
    if observations == "image" or (observations == "symbols" and actions != "discrete"):
        kind = "images" if observations == "image" else "symbols by continuous actions"
        raise UsageError(
            f"{codec.where}: recipe is 'curious', which has no model of {kind} (of vectors, and of symbols by discrete "
            "actions, it has); use 'explore'"
        )


@dataclass(frozen=True)
class _Way:
    """Actions to take, and the map (H, W) in which each of them is."""

    actions: list[int]
    maps: list[np.ndarray]


class CuriousPlay:
    """A driver of `hplan.play.collect` for environments of symbols and discrete actions."""

    def __init__(
        self, env: Any, rng: np.random.Generator, *, archive: Archive | None = None, restart_rare: float = 0.0
    ) -> None:
        """`env`: as `hplan.registry.make_world` makes them. `archive`, `restart_rare`: where rare states
        are kept, and the share of episodes that begin in one."""
        self._env, self._rng, self._actions = env, rng, env.codec.action_spec.size
        self._archive, self._restart_rare = archive, restart_rare
        self._model = NeighbourModel(self._actions, rng)
        self._hash = np.zeros(0, np.uint64)
        self._tried = np.ones((1024, self._actions), np.float32)  # of patches: 1 + times this round
        self._played: list[tuple[np.ndarray, int, np.ndarray]] = []
        self._last: tuple[np.ndarray, int] | None = None
        self._way = _Way([], [])

    def start(self) -> Start:
        self._learn()
        if self._last is not None:
            self._model.end(*self._last)
        self._last, self._way = None, _Way([], [])
        archive = self._archive
        if archive is not None and len(archive) and self._rng.random() < self._restart_rare:
            return archive.restart(self._rng, self._worth).start
        start = begin_anywhere(self._env, self._rng)
        if archive is not None:
            archive.start(start)
        return start

    def act(self, observation: np.ndarray, step: int) -> int:
        if self._archive is not None:
            self._archive.visit(observation)
        here = self._model.cells(observation)
        if self._last is not None:
            self._played.append((*self._last, here))
            if len(self._played) >= _ROUND:
                self._learn()
        action = permitted(self._env, self._choose(here), self._rng)
        patches = np.unique(self._patches(here[None]))
        self._tried[patches, action] += 1
        self._last = here, action
        return action

    def _choose(self, here: np.ndarray) -> int:
        if self._rng.random() < _RANDOM:
            self._way = _Way([], [])
            return int(self._rng.integers(self._actions))
        if not self._way.actions or not np.array_equal(self._way.maps[0], here):
            self._way = self._search(here)
        action, *actions = self._way.actions
        self._way = _Way(actions, self._way.maps[1:])
        return action

    def _learn(self) -> None:
        if self._played:
            maps, actions, after = zip(*self._played, strict=True)
            self._model.learn(np.stack(maps), np.array(actions), np.stack(after))
            self._played = []
            self._tried[:] = 1

    def _worth(self, observation: np.ndarray) -> float:
        """Of an archived state: what the best action there is worth."""
        return float(self._values(self._patches(self._model.cells(observation)[None])).max())

    def _patches(self, maps: np.ndarray) -> np.ndarray:
        patches = self._model.patches(maps)
        self._look(patches)
        return patches

    def _look(self, patches: np.ndarray) -> None:
        self._model.look(patches)
        if len(self._model.next) > len(self._tried):
            more = np.ones((len(self._model.next) - len(self._tried), self._actions), np.float32)
            self._tried = np.concatenate([self._tried, more])

    def _values(self, patches: np.ndarray) -> np.ndarray:
        """Patches (N, H, W) -> worth (N, A)."""
        rows, inverse = np.unique(patches, return_inverse=True)
        return (self._model.novelty[rows] / self._tried[rows])[inverse.reshape(len(patches), -1)].max(1)

    def _search(self, here: np.ndarray) -> _Way:
        """The way from a map (H, W) to what is worth most, breadth first."""
        model, count = self._model, self._actions
        if len(self._hash) < here.size:
            self._hash = np.random.default_rng(0).integers(1, 2**63, here.size, dtype=np.uint64)
        mix = self._hash[: here.size]
        states, parents, acted = [here], [-1], [-1]
        seen = set(_keys(here[None], mix))
        maps, index, patches = here[None], np.zeros(1, int), self._patches(here[None])
        best, where, discount = -1.0, (0, 0), 1.0
        while True:
            values = self._values(patches)
            values = discount * values * (1 + 1e-3 * self._rng.random(values.shape))
            top = int(values.argmax())
            if values.flat[top] > best:
                best, where = float(values.flat[top]), (int(index[top // count]), top % count)
            discount *= _DISCOUNT
            if discount <= best or len(states) * here.size > _IMAGINED:
                break
            parent, action = np.nonzero(model.moves(patches, _SURE))
            following = model.next[patches[parent], action[:, None, None]]
            fresh = []
            for place, key in enumerate(_keys(following, mix)):
                if key not in seen:
                    seen.add(key)
                    fresh.append(place)
            if not fresh:
                break
            parent, action, following = parent[fresh], action[fresh], following[fresh]
            patches = model.moved(following, patches[parent], following != maps[parent])
            self._look(patches)
            parents += index[parent].tolist()
            acted += action.tolist()
            index = np.arange(len(states), len(states) + len(fresh))
            states += list(following)
            maps = following
        state, action = where
        actions, along = [action], [states[state]]
        while parents[state] >= 0:
            actions.append(acted[state])
            state = parents[state]
            along.append(states[state])
        return _Way(actions[::-1], along[::-1])


def _keys(maps: np.ndarray, mix: np.ndarray) -> list[int]:
    """Maps (N, H, W) -> N hashes."""
    return (maps.reshape(len(maps), mix.size).astype(np.uint64) * mix).sum(1, dtype=np.uint64).tolist()
