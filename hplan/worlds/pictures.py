"""Point mazes as images from above, 64 x 64 pixels, drawn here: MuJoCo takes 70 ms for a frame, this 0.02.

What differs from OGBench's visual mazes: the camera stands above the whole maze, the ball is at least three pixels
across, and nothing has a shade. A goal is an image with the ball there. `flicker`: the share of pixels, among those
without the ball, that are new at random in every frame, goals too; and a few discs drift about below the ball.
Generated mazes (generated_mazes.py), another one for each episode, show their walls in the image and nowhere else.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hplan.codec import Codec
from hplan.worlds.generated_mazes import DiverseMaze
from hplan.worlds.half_blocks import half_blocks
from hplan.worlds.mazes import MazeView

PIXELS = 64
CELL = 4.0  # units across a cell of the maze
BALL, LEAST = 0.7, 1.5  # its radius in units, and in pixels at the least
FLOOR, WALL, PAD, EXIT, RED = (214, 208, 196), (74, 78, 92), (70, 120, 210), (90, 180, 110), (214, 40, 36)
DISCS, DISC = 6, 4.0  # that drift, and their radius in pixels
DRIFT = 1.0  # pixels a step, on average


class MazePicture(MazeView):
    """A point maze that shows an image. `info["goal"]` is one as well."""

    def __init__(self, env: gymnasium.Env, name: str, *, flicker: float = 0.0, **options: Any) -> None:
        super().__init__(env, name, **options)
        self.observation_space = spaces.Box(0, 255, (PIXELS, PIXELS, 3), np.uint8)
        self.codec = Codec.of(self.observation_space, env.action_space, name, action_names=("x", "y"))
        self._flicker = flicker
        self._noise = np.random.default_rng(0)
        self._scale = PIXELS / max(self.walls.shape)  # pixels a cell
        self._corner = np.array(self.centre((0, 0))) - CELL / 2
        self._empty = self._background()
        self._drifting = np.zeros((DISCS, 2))
        self._seen = self._empty

    def picture(self, xy: Any) -> np.ndarray:
        """(64, 64, 3) uint8: the maze with the ball at (x, y)."""
        frame = self._empty.copy()
        if self._flicker:
            new = self._noise.random((PIXELS, PIXELS)) < self._flicker
            frame[new] = self._noise.integers(0, 256, (int(new.sum()), 3), np.uint8)
            for i, centre in enumerate(self._drifting):
                _disc(frame, centre, DISC, (40 * i, 250 - 40 * i, 130))
        place = (np.asarray(xy, float) - self._corner) / CELL * self._scale
        _disc(frame, place, max(BALL / CELL * self._scale, LEAST), RED)
        return frame

    def seen_from(self, places: np.ndarray) -> np.ndarray:
        return np.stack([self.picture(place) for place in places])

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        if self._flicker:
            self._drifting = (self._drifting + self._noise.normal(0, DRIFT, (DISCS, 2))) % PIXELS
        self._seen = self.picture(observation)
        return self._seen, reward, terminated, truncated, info

    def draw(self) -> str:
        """What the agent sees, as half blocks."""
        return half_blocks(self._seen)

    def _begin(self, seed: int, options: dict[str, Any], name: str) -> tuple[np.ndarray, dict[str, Any]]:
        self._noise = np.random.default_rng(seed)
        observation, info = super()._begin(seed, options, name)
        drawn = {}
        for what, place in (("goal", info["goal"]), ("observation", observation)):
            self._drifting = self._noise.uniform(0, PIXELS, (DISCS, 2))
            drawn[what] = self.picture(place)
        self._seen = drawn["observation"]
        return self._seen, {**info, "goal": drawn["goal"]}

    def _background(self) -> np.ndarray:
        """(64, 64, 3) uint8, each pixel the mean of 4 x 4 points; beyond the maze there are walls."""
        rows, columns = self.walls.shape
        colours = np.full((PIXELS, PIXELS, 3), WALL, float)  # by cell, and more cells than there are
        colours[:rows, :columns][~self.walls] = FLOOR
        for cells, colour in ((self.teleports, PAD), (self._exits, EXIT)):
            for cell in cells:
                colours[cell] = colour
        points = ((np.arange(4 * PIXELS) + 0.5) / 4 / self._scale).astype(int)
        fine = colours[points[:, None], points[None]]
        return fine.reshape(PIXELS, 4, PIXELS, 4, 3).mean((1, 3)).round().astype(np.uint8)


class DiverseMazePicture(MazePicture, DiverseMaze):
    """A generated maze that shows an image."""

    context = ()
    context_frame = ()

    def _enter(self, walls: np.ndarray) -> None:
        super()._enter(walls)
        self._empty = self._background()

    def _begin(self, seed: int, options: dict[str, Any], name: str) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = super()._begin(seed, options, name)
        del info["context"]
        return observation, info


def _disc(frame: np.ndarray, centre: np.ndarray, radius: float, colour: tuple[int, int, int]) -> None:
    """Draw a disc with a soft edge, by the share of each pixel that it covers; centre (x, y) in pixels."""
    low = np.clip(np.floor(centre - radius - 1), 0, PIXELS).astype(int)
    high = np.clip(np.ceil(centre + radius + 1), 0, PIXELS).astype(int)
    x, y = (np.arange(low[axis], high[axis]) + 0.5 - centre[axis] for axis in range(2))
    covered = np.clip(radius + 0.5 - np.hypot(x[None], y[:, None]), 0, 1)[..., None]
    part = frame[low[1] : high[1], low[0] : high[0]]
    part[:] = np.round(part + covered * (np.array(colour) - part))
