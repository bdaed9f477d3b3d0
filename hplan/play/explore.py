"""Exploration without reward: count-based, with an archive of rare states to go back to.

`CountBasedPlay` takes the action whose known successor was visited least in this layout. Uniform actions hardly ever
carry a key through a door to the far corner (3 times in 200,000 steps of DoorKey-8x8); this does it 65 times, and sees
the states between more evenly. `Archive` keeps snapshots of rare states, found without knowing what they mean, from
which episodes begin again (Go-Explore; Ecoffet et al., 2021, arXiv 2004.12919).

A state's *signature* ignores where things are. Of symbols it is the multiset of cell codes, as a difference from the
multiset at the start of the layout: a carried key, an opened door or a moved box change it, walking about hardly does.
Of a vector it is the cell of a coarse grid over the range seen so far. Rarity is how seldom play came to a signature.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hplan.reading import mission_of
from hplan.types import HplanError, Mission, UsageError

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
    """What an episode of play begins with. `observation`: in canonical form; `seed`: of its layout; `mission`: what it
    asks for, empty where the world says nothing; `goal`: what it hands out as one, if anything."""

    observation: np.ndarray
    context: np.ndarray | None
    seed: int
    mission: Mission = ""
    goal: Any = None


LAYOUT_SEEDS = 2**31


def permitted(env: Any, action: Any, rng: np.random.Generator) -> Any:
    """The action; or any other one, where `env.allowed` (`SplitEnv`) says that this one is not allowed now."""
    allowed = getattr(env, "allowed", None)
    return action if allowed is None or allowed[action] else int(rng.choice(np.flatnonzero(allowed)))


def begin(env: Any, seed: int) -> Start:
    """Reset an environment for an episode of play."""
    observation, info = env.reset(seed=seed)
    try:
        seen, mission = env.codec.encode(observation), mission_of(info.get("mission"))
    except UsageError as error:
        raise HplanError(f"{env.name}, seed {seed}, step 0: {str(error).removeprefix(f'{env.name}: ')}") from error
    return Start(seen, info.get("context"), seed, mission, info.get("goal"))


def begin_anywhere(env: Any, rng: np.random.Generator) -> Start:
    """The same in any layout."""
    return begin(env, int(rng.integers(LAYOUT_SEEDS)))


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

    def restart(self, rng: np.random.Generator, worth: Callable[[np.ndarray], float] | None = None) -> Archived:
        """Go back to an archived state, drawn with probability inverse to how often play arrived there, or in
        proportion to the `worth` of its observation."""
        signatures = list(self._entries)
        if worth is None:
            weights = 1.0 / np.array([self._counts[s] for s in signatures])
        else:
            weights = np.array([worth(self._entries[s].start.observation) for s in signatures])
        signature = signatures[rng.choice(len(signatures), p=weights / weights.sum())]
        entry = self._entries[signature]
        self._env.restore(entry.snapshot)
        self._start, self._layout, self._current = entry.start, entry.layout, signature
        return entry


_RANDOM = 0.1  # of actions are uniform, so that every action keeps support in every state
_AHEAD = 8192  # random numbers drawn at once


class CountBasedPlay:
    """A driver of `hplan.play.collect` for environments of symbols and discrete actions.

    A state is the whole observation; `visits` counts them, `following` remembers what an action last led to. Both begin
    anew with every layout, that is, whenever the first observation is another one.
    """

    def __init__(
        self, env: Any, rng: np.random.Generator, *, archive: Archive | None = None, restart_rare: float = 0.0
    ) -> None:
        """`env`: as `hplan.registry.make_world` makes them. `archive`, `restart_rare`: where rare states
        are kept, and the share of episodes that begin in one."""
        self._env, self._rng, self._actions = env, rng, env.codec.action_spec.size
        self._archive, self._restart_rare = archive, restart_rare
        self._visits: dict[bytes, int] = {}
        self._following: dict[tuple[bytes, int], bytes] = {}
        self._last: tuple[bytes, int] | None = None
        self._layout: bytes | int = b""
        self._noise: list[float] = []

    def start(self) -> Start:
        self._last = None
        archive = self._archive
        if archive is not None and len(archive) and self._rng.random() < self._restart_rare:
            entry = archive.restart(self._rng)
            self._in_layout(entry.layout)
            return entry.start
        start = begin_anywhere(self._env, self._rng)
        if archive is None:
            self._in_layout(start.observation.tobytes())
        else:
            archive.start(start)
            self._in_layout(archive.layout)
        return start

    def _in_layout(self, layout: bytes | int) -> None:
        if layout != self._layout:
            self._visits, self._following, self._layout = {}, {}, layout

    def act(self, observation: np.ndarray, step: int) -> int:
        if self._archive is not None:
            self._archive.visit(observation)
        state = observation.tobytes()
        visits, following = self._visits, self._following
        visits[state] = visits.get(state, 0) + 1
        if self._last is not None:
            following[self._last] = state
        if self._random() < _RANDOM:
            action = permitted(self._env, int(self._random() * self._actions), self._rng)
        else:
            action, least, allowed = 0, float("inf"), getattr(self._env, "allowed", None)
            for candidate in range(self._actions) if allowed is None else np.flatnonzero(allowed).tolist():
                # An action never tried here counts as leading to a state never visited; noise below 1 breaks ties.
                successor = following.get((state, candidate))
                count = (visits.get(successor, 0) if successor else 0) + self._random() * 0.5
                if count < least:
                    action, least = candidate, count
        self._last = (state, action)
        return action

    def _random(self) -> float:
        if not self._noise:
            self._noise = self._rng.random(_AHEAD).tolist()
        return self._noise.pop()
