"""Grids with coins, which pay, and thorns, which cost: no success anywhere, and a limit of steps."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

FLOOR, WALL, COIN, THORN = range(4)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
COINS, THORNS, WALLS, LIMIT = 3, 2, 6, 40


class Coins(gymnasium.Env[np.ndarray, np.int64]):
    """What is walked over is gone: a coin for 1, a thorn for -1. `living`: what every step is paid."""

    def __init__(self, size: int = 7, living: float = 0.0) -> None:
        self.size, self.living = size, living
        high = np.broadcast_to(np.array([3, 1], np.uint8), (size, size, 2))
        self.observation_space = spaces.Box(np.zeros_like(high), high, dtype=np.uint8)
        self.action_space = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        cells = self.np_random.permutation(self.size**2)
        self.ground = np.zeros(self.size**2, np.uint8)
        for kind, count in ((COIN, COINS), (THORN, THORNS), (WALL, WALLS)):
            self.ground[cells[:count]], cells = kind, cells[count:]
        self.ground = self.ground.reshape(self.size, self.size)
        self.at, self.steps = divmod(int(cells[0]), self.size), 0
        return self._seen(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        row, column = self.at[0] + MOVES[action][0], self.at[1] + MOVES[action][1]
        paid, self.steps = self.living, self.steps + 1
        if 0 <= row < self.size and 0 <= column < self.size and self.ground[row, column] != WALL:
            self.at = row, column
            paid += {COIN: 1.0, THORN: -1.0}.get(int(self.ground[self.at]), 0.0)
            self.ground[self.at] = FLOOR
        return self._seen(), paid, False, self.steps >= LIMIT, {}

    def _seen(self) -> np.ndarray:
        shown = np.zeros((self.size, self.size, 2), np.uint8)
        shown[..., 0] = self.ground
        shown[self.at][1] = 1
        return shown
