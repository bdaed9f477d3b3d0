"""Two environments of a few lines that the tests of play share: cheap, deterministic, and able to fail on demand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hplan.codec import Codec

CELLS = spaces.Box(np.uint8(0), np.broadcast_to(np.array([1, 2], np.uint8), (1, 8, 2)), dtype=np.uint8)
POINT = spaces.Box(-np.inf, np.inf, (2,), np.float32)
PUSH = spaces.Box(np.array([-1.0, -2.0], np.float32), np.array([1.0, 2.0], np.float32))
ROW = Codec.of(CELLS, spaces.Discrete(3), "Corridor-v0", action_names=("left", "right", "take"))
PLANE = Codec.of(POINT, PUSH, "Plane-v0")


@dataclass
class Corridor(gymnasium.Env):
    """A row of 8 cells; somewhere lies a key. Actions: left, right, take; succeeds and ends at the right end with it.

    Symbols (1, 8, 2): key here (0, 1), agent here (0 no, 1 empty-handed, 2 with the key).
    """

    pause: float = 0.0  # seconds that a step lasts
    name: str = "Corridor-v0"
    codec: Codec = ROW
    max_steps: int = 1000
    state: list[int] = field(default_factory=lambda: [0, 0, 0])  # position, key's place, has it

    def observe(self) -> np.ndarray:
        cells = np.zeros((1, 8, 2), np.uint8)
        position, key, has = self.state
        if not has:
            cells[0, key, 0] = 1
        cells[0, position, 1] = 1 + has
        return cells

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.state = [0, int(np.random.default_rng(seed).integers(2, 7)), 0]
        return self.observe(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        time.sleep(self.pause) if self.pause else None
        position, key, has = self.state
        has = has or int(action == 2 and position == key)
        position = min(max(position + (-1, 1, 0)[action], 0), 7)
        self.state = [position, key, has]
        done = bool(has and position == 7)
        return self.observe(), float(done), done, False, {"success": done, "violation": position == 0}

    def snapshot(self) -> list[int]:
        return list(self.state)

    def restore(self, snapshot: list[int]) -> None:
        self.state = list(snapshot)


@dataclass
class Plane(gymnasium.Env):
    """A point that goes where the action says. `trouble(total steps so far)` may raise, or return what to observe."""

    trouble: Callable[[int], float] = lambda step: 0.0
    limit: int = 10**9  # steps until it is truncated
    name: str = "Plane-v0"
    codec: Codec = PLANE
    max_steps: int = 1000
    total: int = 0
    since_reset: int = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.position = np.random.default_rng(seed).random(2).astype(np.float32)
        self.since_reset = 0
        return self.position, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.total += 1
        self.since_reset += 1
        self.position = self.position + action + np.float32(self.trouble(self.total))
        over = self.since_reset >= self.limit
        return self.position, 0.0, False, over, {"success": False, "violation": False}

    def render(self) -> str:
        return str(self.position)
