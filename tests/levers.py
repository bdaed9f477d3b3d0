"""Levers in a room: success is of two things at once, in an order or not, or of nothing being left."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

FLOOR, WALL, LEVER, OTHER = range(4)
SIDE, STEPS = 7, 80
WAYS = ((-1, 0), (0, 1), (1, 0), (0, -1))


class Levers(gym.Env):
    """Two levers somewhere in a room, thrown by walking into them: success once both are. `in_order`: the first of them
    first, or the episode ends without success. `more`: as many others of the first kind. Seen as (7, 7, 2): what a cell
    is, thrown levers 4 and 5, and whether the mover is there."""

    action_space = gym.spaces.Discrete(4)

    def __init__(self, *, in_order: bool = False, more: int = 0) -> None:
        highest = np.broadcast_to(np.array([OTHER + 2, 1], np.uint8), (SIDE, SIDE, 2))
        self.observation_space = gym.spaces.Box(np.uint8(0), highest, (SIDE, SIDE, 2), np.uint8)
        self.in_order, self.more = in_order, more

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        self._place()
        while not self._can_be_solved():
            self._place()
        return self.seen(), {}

    def _place(self) -> None:
        self.cells = np.full((SIDE, SIDE), WALL, np.uint8)
        self.cells[1:-1, 1:-1] = FLOOR
        inside = [(row, column) for row in range(1, SIDE - 1) for column in range(1, SIDE - 1)]
        self.at, *levers = (inside[i] for i in self.np_random.permutation(len(inside))[: 3 + self.more])
        for kind, place in zip((OTHER, *[LEVER] * (1 + self.more)), levers, strict=True):
            self.cells[place] = kind

    def _can_be_solved(self) -> bool:
        """Levers stand in the way, thrown or not."""
        seen, front = {self.at}, [self.at]
        while front:
            row, column = front.pop()
            for down, right in WAYS:
                to = row + down, column + right
                if to not in seen and self.cells[to] != WALL:
                    seen.add(to)
                    front += [to] if self.cells[to] == FLOOR else []
        return all(tuple(place) in seen for place in np.argwhere(self.cells >= LEVER))

    def seen(self) -> np.ndarray:
        mover = np.zeros_like(self.cells)
        mover[self.at] = 1
        return np.stack([self.cells, mover], -1)

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        to = self.at[0] + WAYS[action][0], self.at[1] + WAYS[action][1]
        there, failed = self.cells[to], False
        if there in (LEVER, OTHER):
            failed = self.in_order and there == OTHER and bool((self.cells == LEVER).any())
            self.cells[to] += 2
        elif there == FLOOR:
            self.at = to
        self.steps += 1
        success = not failed and not np.isin(self.cells, (LEVER, OTHER)).any()
        return self.seen(), float(success), success or failed, self.steps >= STEPS, {"success": success}
