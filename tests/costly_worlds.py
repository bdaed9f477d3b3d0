"""Worlds with places that must not be entered, of which `info["cost"]` alone tells: entering them ends nothing."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SIZE = 5
START, GOAL, FORD = (2, 0), (2, 4), (0, 2)  # rows and columns
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


class Ford(gymnasium.Env):
    """A river of lava from top to bottom of a square of 5 x 5 cells, with a ford in its first row. It is 4 steps to the
    goal through lava, and 8 by the ford. What is seen is the number of a cell."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it
    observation_space: spaces.Space = spaces.Discrete(SIZE * SIZE)
    action_space = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = START
        return self._observe(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        row, column = (min(max(at + by, 0), SIZE - 1) for at, by in zip(self.at, MOVES[action], strict=True))
        self.at = (row, column)
        cost = float(column == FORD[1] and self.at != FORD)
        return self._observe(), float(self.at == GOAL), self.at == GOAL, False, {"cost": cost}

    def _observe(self) -> Any:
        return self.at[0] * SIZE + self.at[1]


class FordOfTwo(Ford):
    """The same, by row and column."""

    observation_space = spaces.MultiDiscrete([SIZE, SIZE])

    def _observe(self) -> Any:
        return np.array(self.at)


class Disc(gymnasium.Env):
    """A point in the unit square that goes where it is pushed, and a disc in the middle that costs. It never ends."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it
    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    radius = 0.2

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """options: `at`, where it begins."""
        super().reset(seed=seed)
        self.at = np.asarray((options or {}).get("at", self.np_random.random(2)), np.float32)
        return self.at, {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.at = np.clip(self.at + 0.05 * np.clip(action, -1, 1), 0, 1).astype(np.float32)
        return self.at, 0.0, False, False, {"cost": float(np.linalg.norm(self.at - 0.5) < self.radius)}


gymnasium.register("Ford-v0", Ford, max_episode_steps=40)
gymnasium.register("FordOfTwo-v0", FordOfTwo, max_episode_steps=40)
gymnasium.register("Disc-v0", Disc, max_episode_steps=60)
