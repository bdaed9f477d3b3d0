"""Rare states, found without knowing what they mean: play restarts from them and so sees more of what follows.

A state's *signature* ignores where things are. Of symbols it is the multiset of cell codes, as a difference from the
multiset at the start of the layout: a carried key, an opened door or a moved box change it, walking about hardly does.
Of a vector it is the cell of a coarse grid over the range seen so far. Rarity is how seldom play came to a signature.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

_BINS = 8  # of each dimension of a vector
_CAPACITY = 256  # signatures with a snapshot; MiniGrid play meets 20 to 100
_MIX = np.uint64(0x9E3779B97F4A7C15)


@runtime_checkable
class Restorable(Protocol):
    """An environment that can go back to where it was."""

    def snapshot(self) -> Any: ...

    def restore(self, snapshot: Any) -> None: ...


class SymbolSignature:
    """Additive hash of a multiset: the sum over cells of a mixed 64-bit code, so that differences are a subtraction."""

    def __init__(self, features: int) -> None:
        self._weights = np.random.default_rng(0).integers(1, 2**63, features, dtype=np.uint64)

    def __call__(self, observation: np.ndarray) -> int:
        codes = observation.reshape(-1, observation.shape[-1]).astype(np.uint64) @ self._weights
        codes ^= codes >> np.uint64(29)
        codes *= _MIX
        codes ^= codes >> np.uint64(32)  # without mixing, two changes could cancel in the sum
        return int((codes * _MIX).sum(dtype=np.uint64))


class VectorSignature:
    """The cell of a grid of 8 bins a dimension over the range seen so far."""

    def __init__(self) -> None:
        self._low: np.ndarray | None = None
        self._high: np.ndarray | None = None

    def __call__(self, observation: np.ndarray) -> int:
        if self._low is None or self._high is None:
            self._low, self._high = observation.copy(), observation.copy()
        np.minimum(self._low, observation, out=self._low)
        np.maximum(self._high, observation, out=self._high)
        position = (observation - self._low) / np.maximum(self._high - self._low, 1e-6)
        return zlib.crc32((position * _BINS).astype(np.int8).tobytes())  # not hash(): it differs between processes


@dataclass(frozen=True)
class Start:
    """What an episode of play begins with. `observation`: in canonical form; `seed`: of its layout."""

    observation: np.ndarray
    context: np.ndarray | None
    seed: int


def begin(env: Any, seed: int) -> Start:
    """Reset an environment for an episode of play."""
    observation, info = env.reset(seed=seed)
    return Start(env.codec.encode(observation), info.get("context"), seed)


@dataclass(frozen=True)
class Archived:
    """A state to restart from: the environment's snapshot, what an episode begins with there, and the signature of its
    layout."""

    snapshot: Any
    start: Start
    layout: int


class Archive:
    """Snapshots by signature. One archive serves one shard, so that a shard depends on nothing but its own seed."""

    def __init__(self, env: Restorable, signature: SymbolSignature | VectorSignature) -> None:
        self._env = env
        self._signature = signature
        self._counts: Counter[int] = Counter()
        self._entries: dict[int, Archived] = {}
        self._start = Start(np.empty(0), None, 0)
        self._layout = self._current = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def layout(self) -> int:
        """Signature of the layout that play is in."""
        return self._layout

    def start(self, start: Start) -> None:
        """A new layout begins."""
        self._start = start
        self._layout = self._signature(start.observation) if isinstance(self._signature, SymbolSignature) else 0
        self._current = 0

    def visit(self, observation: np.ndarray) -> None:
        """Note where play is now. Snapshots are slow, so only the 1st, 2nd, 4th, 8th ... arrival takes one."""
        signature = (self._signature(observation) - self._layout) % 2**64
        if signature == self._current:
            return
        self._current = signature
        if not signature:  # as at the start of the layout: a new one shows the same
            return
        self._counts[signature] += 1
        if (count := self._counts[signature]) & (count - 1):
            return
        self._entries.pop(signature, None)
        if len(self._entries) >= _CAPACITY:  # the commonest goes; among equals the oldest
            self._entries.pop(max(self._entries, key=self._counts.__getitem__))
        start = replace(self._start, observation=observation.copy())
        self._entries[signature] = Archived(self._env.snapshot(), start, self._layout)

    def restart(self, rng: np.random.Generator) -> Archived:
        """Go back to an archived state, drawn with probability inverse to how often play arrived there."""
        signatures = list(self._entries)
        weights = 1.0 / np.array([self._counts[s] for s in signatures])
        signature = signatures[rng.choice(len(signatures), p=weights / weights.sum())]
        entry = self._entries[signature]
        self._env.restore(entry.snapshot)
        self._start, self._layout, self._current = entry.start, entry.layout, signature
        return entry
