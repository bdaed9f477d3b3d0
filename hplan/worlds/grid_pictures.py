"""MiniGrid as images: its own drawings, 8 pixels a cell, the whole grid, without the cone of what the agent sees.

What is carried shows in a corner of the agent's cell, or nobody could tell. Each kind of cell is drawn once, so that a
step costs no more than in `hplan.worlds.minigrid`.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT
from minigrid.core.grid import Grid
from minigrid.core.world_object import WorldObj

from hplan.codec import Codec
from hplan.worlds.half_blocks import half_blocks
from hplan.worlds.minigrid import AGENT, CARRIED_COLOUR, CARRIED_TYPE, COLOUR, STATE, TYPE, MiniGridView

PIXELS = 8  # along a side of a cell
CORNER = 3  # of it shows what is carried
NOTHING = ("unseen", "empty", "agent")  # kinds of object that nothing is drawn for


class TileView(MiniGridView):
    """A MiniGrid environment that shows (8 H, 8 W, 3) uint8."""

    def __init__(self, env: gymnasium.Env, name: str, **options: Any) -> None:
        super().__init__(env, name, **options)
        height, width = self.observation_space.shape[:2]  # type: ignore[index]
        self.observation_space = spaces.Box(0, 255, (PIXELS * height, PIXELS * width, 3), np.uint8)
        self.codec = Codec.of(self.observation_space, env.action_space, name, action_names=self._names())
        self._drawn: dict[bytes, np.ndarray] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        cells, info = super().reset(seed=seed, options=options)
        return self.picture(cells), info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        cells, reward, terminated, truncated, info = super().step(action)
        return self.picture(cells), reward, terminated, truncated, info

    def draw(self) -> str:
        """What the agent sees, as half blocks."""
        return half_blocks(self.picture(self._view))

    @property
    def layout(self) -> bytes:
        """What is where, but for the agent."""
        return self._view[..., :AGENT].tobytes()

    def picture(self, cells: np.ndarray) -> np.ndarray:
        """(H, W, 6) uint8, as `full_view` has them -> (8 H, 8 W, 3) uint8."""
        rows, columns, _ = cells.shape
        frame = np.empty((rows, PIXELS, columns, PIXELS, 3), np.uint8)
        for i, row in enumerate(cells):
            for j, cell in enumerate(row):
                key = cell.tobytes()
                if key not in self._drawn:
                    self._drawn[key] = drawing(cell)
                frame[i, :, j] = self._drawn[key]
        return frame.reshape(rows * PIXELS, columns * PIXELS, 3)


def drawing(cell: np.ndarray) -> np.ndarray:
    """(6,) -> (8, 8, 3) uint8: the object, the agent on it, and in a corner what it carries."""
    way = int(cell[AGENT])
    drawn = _tile(cell[[TYPE, COLOUR, STATE]], way - 1 if way else None)
    if not cell[CARRIED_TYPE]:
        return drawn
    carried = _tile(np.array([cell[CARRIED_TYPE], cell[CARRIED_COLOUR], 0]), None)
    part = (np.arange(CORNER) + 0.5) * PIXELS / CORNER
    drawn = drawn.copy()
    drawn[:CORNER, :CORNER] = carried[part.astype(int)][:, part.astype(int)]
    return drawn


def _tile(thing: np.ndarray, way: int | None) -> np.ndarray:
    kind, colour, state = thing.tolist()
    there = None
    if IDX_TO_OBJECT[kind] not in NOTHING and colour in IDX_TO_COLOR:
        there = WorldObj.decode(kind, colour, state)
    return Grid.render_tile(there, way, highlight=False, tile_size=PIXELS, subdivs=3).astype(np.uint8)
