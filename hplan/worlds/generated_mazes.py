"""Mazes that nobody has seen: 25 generated layouts to play in, 20 others to be tested in, with the layout in sight.

The agent sees its position and an image of the walls, one value a cell; no graph, no way, nothing else of the layout.
Starts and goals of an evaluation episode are 5 to 8, 9 to 12 or 13 to 16 cells apart on the shortest way, in turn, as
in the Diverse Maze of HWM. The physics is OGBench's, to the last bit: one MuJoCo model has a block in every cell, and
those of free cells are switched off (closing.py), so that another layout costs no new model.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import gymnasium
import numpy as np

from hplan.worlds.closing import put_blocks, switch
from hplan.worlds.experts import Paths
from hplan.worlds.mazes import Cell, MazeView

TRAINING, EVALUATION = 25, 20  # layouts
SIZES = (11, 13, 15, 17, 19, 21)  # cells across, the walls around included
LOOPS = 0.15  # of the walls between two rooms that a maze without loops has left are opened
BANDS = ((5, 8), (9, 12), (13, 16))  # cells between start and goal
STEPS = 60  # that an evaluation episode may take for each of them; a straight way takes 20
_LARGEST = (SIZES[-1], SIZES[-1])
_SIDES = np.array([(-2, 0), (0, -2), (2, 0), (0, 2)])


def generate(rng: np.random.Generator, size: int) -> np.ndarray:
    """Walls (size, size) bool of a maze in which every free cell can be reached; `size` is odd. Rooms lie at odd rows
    and columns. A random depth-first walk joins them all, and some of the walls that it leaves are opened."""
    walls = np.ones((size, size), bool)
    walls[1, 1], trail = False, [np.array([1, 1])]
    while trail:
        here = trail[-1]
        closed = [room for room in here + rng.permutation(_SIDES) if (room > 0).all() and (room < size).all()]
        closed = [room for room in closed if walls[tuple(room)]]
        if not closed:
            trail.pop()
            continue
        walls[tuple((here + closed[0]) // 2)] = walls[tuple(closed[0])] = False
        trail.append(closed[0])
    rows, columns = np.indices(walls.shape)[:, 1:-1, 1:-1]
    between = walls[1:-1, 1:-1] & ((rows + columns) % 2 == 1)
    walls[1:-1, 1:-1] &= ~(between & (rng.random(between.shape) < LOOPS))
    return walls


@cache
def mazes(count: int) -> tuple[np.ndarray, ...]:
    """The first `count` layouts, all different, each with ways of every length; (21, 21) bool, smaller ones with walls
    around. Never written into: they are shared."""
    found: dict[bytes, np.ndarray] = {}
    seed = 0
    while len(found) < count:
        rng = np.random.default_rng(seed)
        inside = generate(rng, int(rng.choice(SIZES)))
        walls = np.ones(_LARGEST, bool)
        walls[: len(inside), : len(inside)] = inside
        if max(Paths(walls).distances((1, 1)).values()) >= BANDS[-1][1]:
            found.setdefault(walls.tobytes(), walls)
        seed += 1
    return tuple(found.values())


def layouts(*, held_out: bool) -> tuple[np.ndarray, ...]:
    """Those of evaluation, or those of training: no layout is both."""
    found = mazes(TRAINING + EVALUATION)
    return found[TRAINING:] if held_out else found[:TRAINING]


class DiverseMaze(MazeView):
    """A generated maze, another one of `layouts` for each episode. evaluation: an episode's goal is as far away as its
    band says, `goal_name` names the band, and seeds go through the bands in turn; it ends at its goal, or after 60
    steps a cell. Otherwise: a random start and goal in free cells, no end, and `max_steps` as given."""

    context = _LARGEST
    context_frame = (-4.0, -4.0, 4.0)
    goals = len(BANDS)

    def __init__(self, env: gymnasium.Env, name: str, *, layouts: tuple[np.ndarray, ...], **options: Any) -> None:
        env.unwrapped.maze_map = np.zeros(_LARGEST, int)  # type: ignore[attr-defined]
        put_blocks(env.unwrapped)
        super().__init__(env, name, **options)
        self._layouts = layouts

    def _reset(self, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        rng = np.random.default_rng(seed)
        self._enter(self._layouts[int(rng.integers(len(self._layouts)))])
        free: list[Cell] = [(i, j) for i, j in rng.permutation(np.argwhere(~self.walls)).tolist()]
        if not self._evaluation:
            return self.begin(free[0], free[1], seed)
        least, most = BANDS[seed % len(BANDS)]
        paths = Paths(self.walls)
        ways = (paths.distances(start) for start in free)
        start, way = next((start, way) for start, way in zip(free, ways, strict=True) if max(way.values()) >= most)
        goals = [(cell, steps) for cell, steps in way.items() if least <= steps <= most]
        goal, cells = goals[int(rng.integers(len(goals)))]
        self.max_steps = STEPS * cells
        return self._begin(seed, {"task_info": {"init_ij": start, "goal_ij": goal}}, f"{least}-{most}")

    def _enter(self, walls: np.ndarray) -> None:
        for cell in np.argwhere(walls != self.walls).tolist():
            switch(self._maze, cell, on=bool(walls[tuple(cell)]))
        self._set_walls(walls)

    def _begin(self, seed: int, options: dict[str, Any], name: str) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = super()._begin(seed, options, name)
        return observation, {**info, "context": self.walls.astype(np.uint8)}
