"""Several MiniGrid environments as one, for an agent that is to solve them all: every episode is one of them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hplan.codec import Codec
from hplan.gym_spaces import line
from hplan.types import UsageError
from hplan.worlds.minigrid import AGENT, TYPE, MiniGridView


class Mixture(gymnasium.Env):
    """Episodes of several environments; the seed decides which, each as likely. `info["goal_name"]` names it, so that
    figures are told apart by environment (`Result.per_goal`).

    Smaller grids are padded at the bottom and on the right with cells that MiniGrid calls unseen (zeros), which no
    whole grid has. Limits of steps are those of the environment under way.

    Actions have to be the same in all. Where an environment has only the first of them (Dynamic-Obstacles: left, right,
    forward), any other is what MiniGrid's own makes of it: the first. Raises UsageError for other spaces.
    """

    def __init__(self, views: Sequence[MiniGridView], names: Sequence[str], name: str) -> None:
        """views and names of the environments, one or more, in the same order; `name` of them all."""
        self.views, self.names = tuple(views), tuple(names)
        self._index = 0
        widest = _widest(views, names, name)
        self.action_space = widest.action_space
        self._fewer = [view.action_space != self.action_space for view in views]
        size = np.max([view.codec.observation_spec.shape for view in views], 0)
        high = np.max([np.max(view.observation_space.high, (0, 1)) for view in views], 0)  # type: ignore[attr-defined]
        self.observation_space = spaces.Box(np.uint8(0), np.broadcast_to(high, size), tuple(size.tolist()), np.uint8)
        named = widest.codec.action_names
        self.codec = Codec.of(self.observation_space, self.action_space, name, action_names=named)
        if all(hasattr(view, "snapshot") for view in views):
            self.snapshot, self.restore = self._snapshot, self._restore

    @property
    def view(self) -> MiniGridView:
        """Of the environment under way."""
        return self.views[self._index]

    @property
    def max_steps(self) -> int:
        return self.view.max_steps

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(2**31)) if seed is None else seed
        # Hashed, for environments are seeded by the same number: which one it is and how it looks have to be apart.
        digest = blake2b(f"mixture:{drawn}".encode(), digest_size=8).digest()
        self._index = int.from_bytes(digest, "little") % len(self.views)
        observation, info = self.view.reset(seed=seed, options=options)
        return self._padded(observation), {"goal_name": self.names[self._index], **info}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        view = self.view
        if self._fewer[self._index] and not view.action_space.contains(action):
            action = view.action_space.start  # type: ignore[attr-defined]  # fewer than others are Discrete
        observation, reward, terminated, truncated, info = view.step(action)
        return self._padded(observation), reward, terminated, truncated, info

    def draw(self) -> str:
        return self.view.draw()

    def close(self) -> None:
        for view in self.views:
            view.close()

    def _padded(self, observation: np.ndarray) -> np.ndarray:
        whole = np.zeros(self.codec.observation_spec.shape, np.uint8)
        height, width, _ = observation.shape
        whole[:height, :width] = observation
        return whole

    def _snapshot(self) -> tuple[int, Any]:
        """The state as it is now."""
        return self._index, self.view.snapshot()

    def _restore(self, snapshot: tuple[int, Any]) -> None:
        """A new episode that starts in that state: limits on its length count from here."""
        self._index, inner = snapshot
        self.view.restore(inner)


def layout_of(observation: np.ndarray) -> bytes:
    """Of a first observation, what makes its layout, without the padding: the same bytes as where the environment is
    alone, so that what one task holds back for evaluation the other holds back too."""
    there = observation[..., TYPE] > 0
    height, width = (int(np.flatnonzero(there.any(axis)).max(initial=-1)) + 1 for axis in (1, 0))
    return observation[:height, :width, :AGENT].tobytes()


def _widest(views: Sequence[MiniGridView], names: Sequence[str], name: str) -> MiniGridView:
    """The one that has most actions, and all others' among them."""
    widest = max(views, key=lambda view: view.codec.action_spec.size)
    named = widest.codec.action_spec.names
    for view, one in zip(views, names, strict=True):
        own = view.codec.action_spec.names
        if view.action_space != widest.action_space and not (own and own == named[: len(own)]):
            raise UsageError(
                f"{name}: {one} takes {line(view.action_space)}, and another of its environments "
                f"{line(widest.action_space)}; expected the same actions in all"
            )
    return widest
