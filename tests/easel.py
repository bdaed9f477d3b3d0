"""A toy cellular world that is known exactly: a small canvas that is painted in blocks, on which one colour sinks.

Colours are nothing, a border that nothing sets, a solid one, and a heavy one that sinks by a cell at each brush stroke.
A stroke takes two actions: a colour, and one of four blocks of 8 x 8 cells. Beside the canvas, three channels show
which colour is chosen.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

SIDE, BLOCK = 18, 8
EMPTY, BORDER, SOLID, HEAVY = range(4)
COLOURS = np.array([[240, 240, 240], [90, 90, 90], [20, 160, 20], [200, 150, 20]], np.uint8)
PAINTS = (SOLID, HEAVY)
CORNERS = ((1, 1), (1, 9), (9, 1), (9, 9))  # row and column of each block


class Easel(gymnasium.Env):
    """`reset` hands out a goal image, which `strokes` paint."""

    def __init__(self, strokes: tuple[tuple[int, int], ...] = ((0, 2), (0, 3), (1, 0))) -> None:
        self.observation_space = spaces.Box(0, 255, (SIDE, SIDE, 6), np.uint8)
        self.action_space = spaces.Discrete(4)
        self.strokes = strokes
        self.cells, self.chosen = blank(), -1
        self.wanted = blank()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.wanted = blank()
        for paint, block in self.strokes:
            self.wanted = stroked(self.wanted, paint, block)
        self.cells, self.chosen = blank(), -1
        return self.image(), {"goal": shown(self.wanted, -1)}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        action = int(action)
        if self.chosen < 0:
            self.chosen = action % len(PAINTS)
        else:
            self.cells, self.chosen = stroked(self.cells, self.chosen, action), -1
        success = bool((self.cells == self.wanted).all())
        return self.image(), float(success), False, False, {"success": success}

    def image(self) -> np.ndarray:
        return shown(self.cells, self.chosen)


def blank() -> np.ndarray:
    cells = np.full((SIDE, SIDE), BORDER)
    cells[1:-1, 1:-1] = EMPTY
    return cells


def stroked(cells: np.ndarray, paint: int, block: int) -> np.ndarray:
    """What is heavy sinks into what is empty below it, then the block is painted."""
    after = cells.copy()
    for row in range(SIDE - 2, 0, -1):
        for column in range(1, SIDE - 1):
            if cells[row, column] == HEAVY and cells[row + 1, column] == EMPTY:
                after[row + 1, column], after[row, column] = HEAVY, EMPTY
    row, column = CORNERS[block]
    after[row : row + BLOCK, column : column + BLOCK] = PAINTS[paint]
    return after


def shown(cells: np.ndarray, chosen: int) -> np.ndarray:
    beside = (
        np.zeros((SIDE, SIDE, 3), np.uint8) if chosen < 0 else np.broadcast_to(COLOURS[PAINTS[chosen]], (SIDE, SIDE, 3))
    )
    return np.concatenate([COLOURS[cells], beside], 2)
