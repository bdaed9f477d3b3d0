"""Worlds in which one has to say that one is there: the last action pays, and changes nothing that can be seen."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SIDE, APPLE, PEAR = 5, 1, 2
SAY = 4  # after four ways to go
WAYS = ((-1, 0), (1, 0), (0, -1), (0, 1))


class PointOut(gymnasium.Env):
    """An apple and a pear lie in a room, and whoever is next to the apple and says so succeeds; said anywhere else, it
    ends the episode. Seen is a map of cells (thing, whether one stands there)."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it
    observation_space = spaces.Box(0, 2, (SIDE, SIDE, 2), np.uint8)
    action_space = spaces.Discrete(5)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        cells = self.np_random.choice(SIDE * SIDE, 3, replace=False)
        self.at, self.apple, self.pear = (np.array(divmod(int(cell), SIDE)) for cell in cells)
        return self.seen(), {}

    def seen(self) -> Any:
        room = np.zeros((SIDE, SIDE, 2), np.uint8)
        room[*self.apple, 0], room[*self.pear, 0], room[*self.at, 1] = APPLE, PEAR, 1
        return room

    def right(self) -> bool:
        return bool(np.abs(self.at - self.apple).max() <= 1)

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        said = action == SAY
        if not said:
            to = np.clip(self.at + WAYS[action], 0, SIDE - 1)
            if not any((to == thing).all() for thing in (self.apple, self.pear)):
                self.at = to
        success = said and self.right()
        return self.seen(), float(success), said, False, {}


class NextTo(PointOut):
    """The same where a corner of the apple's cell is not near enough."""

    def right(self) -> bool:
        return bool(np.abs(self.at - self.apple).sum() == 1)


class SayWhere(PointOut):
    """The same in a square without things, seen as two numbers: it has to be said in the upper left quarter."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def seen(self) -> Any:
        return (self.at / (SIDE - 1) * 2 - 1).astype(np.float32)

    def right(self) -> bool:
        return bool((self.at < SIDE // 2).all())

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.apple = self.pear = np.array([-1, -1])
        return super().step(action)


gymnasium.register("PointOut-v0", PointOut, max_episode_steps=40)
gymnasium.register("NextTo-v0", NextTo, max_episode_steps=40)
gymnasium.register("SayWhere-v0", SayWhere, max_episode_steps=40)
