"""Count-based play: go where this layout has been seen least. Reward-free, one step of look-back, no model.

Uniform actions hardly ever carry a key through a door to the far corner (3 times in 200,000 steps of DoorKey-8x8);
choosing the action whose known successor was visited least does it 65 times, and sees the states between more evenly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hplan.play.rarity import Archive, Start, begin

_RANDOM = 0.1  # of actions are uniform, so that every action keeps support in every state
_LAYOUT_SEEDS = 2**31
_AHEAD = 8192  # random numbers drawn at once


class NoveltyPlay:
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
        start = begin(self._env, int(self._rng.integers(_LAYOUT_SEEDS)))
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
            action = int(self._random() * self._actions)
        else:
            action, least = 0, float("inf")
            for candidate in range(self._actions):
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
