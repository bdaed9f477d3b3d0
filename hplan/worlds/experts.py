"""Players of OGBench's mazes that know the map: they make data and measure ceilings, and no agent ever sees them.

Play follows OGBench's published process (Park et al. 2024, data_gen_scripts/generate_locomaze.py): Gaussian noise 0.5
on the unit direction to the next cell of the shortest path, clipped to [-1, 1].
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Literal

import gymnasium
import numpy as np

from hplan.config import TaskConfig
from hplan.types import UsageError
from hplan.worlds.layers import layer_of
from hplan.worlds.mazes import MOVE, Cell, MazeView
from hplan.worlds.powder import PowderOracle, PowderView
from hplan.worlds.split import derived_seed

NOISE = 0.5
STITCH_CELLS = 4  # how far apart start and goal of an episode of *stitch* are
_SIDES = ((-1, 0), (0, -1), (1, 0), (0, 1))


class Paths:
    """Shortest paths between the free cells of `walls` (rows, columns) bool, `blocked` ones avoided where possible."""

    def __init__(self, walls: np.ndarray, blocked: tuple[Cell, ...] = ()) -> None:
        self.free: list[Cell] = [(int(i), int(j)) for i, j in np.argwhere(~walls)]
        self._open = set(self.free) - set(blocked)
        self._tables: dict[Cell, dict[Cell, int]] = {}

    def distances(self, goal: Cell) -> dict[Cell, int]:
        """Steps from each cell to `goal`; cells that cannot reach it are left out."""
        if goal not in self._tables:
            table, queue = {goal: 0}, deque([goal])
            while queue:
                here = queue.popleft()
                for cell in self._beside(here):
                    if cell in self._open and cell not in table:
                        table[cell] = table[here] + 1
                        queue.append(cell)
            self._tables[goal] = table
        return self._tables[goal]

    def following(self, cell: Cell, goal: Cell) -> Cell:
        """The next cell on the way to `goal`; `cell` itself where it is the goal or there is no way."""
        table = self.distances(goal)
        beside = [other for other in self._beside(cell) if other in table]
        best = min(beside, key=table.__getitem__, default=cell)
        return best if table.get(best, 0) < table.get(cell, len(self.free)) else cell

    def way(self, cell: Cell, goal: Cell) -> list[Cell]:
        """The cells after `cell` on the way to `goal`, it included; none where there is no way."""
        cells, here = [], cell
        while (there := self.following(here, goal)) != here:
            cells.append(there)
            here = there
        return cells

    def corners(self) -> list[Cell]:
        """Free cells that are no hallways: all but those with a straight passage and walls on both sides."""
        free = set(self.free)
        straight = ({_SIDES[0], _SIDES[2]}, {_SIDES[1], _SIDES[3]})
        return [(i, j) for i, j in self.free if {s for s in _SIDES if (i + s[0], j + s[1]) in free} not in straight]

    def _beside(self, cell: Cell) -> list[Cell]:
        return [(cell[0] + i, cell[1] + j) for i, j in _SIDES]


class OraclePlay:
    """Makes play of a maze: starts in any free cell. `navigate`: goals in corners, a new one when one is reached.
    `stitch`: a goal four cells away on shortest paths, and stays there.

    Raises UsageError where `env` is no maze.
    """

    def __init__(self, env: gymnasium.Env, rng: np.random.Generator, *, recipe: str) -> None:
        if recipe not in ("navigate", "stitch"):
            raise UsageError(f"unknown recipe {recipe!r} of an oracle; expected 'navigate' or 'stitch'")
        self._env, self._maze = env, _maze(env)
        self._rng = rng
        self._recipe: Literal["navigate", "stitch"] = recipe
        self._known: np.ndarray | None = None
        self._look()
        self._aim((0.0, 0.0))

    def start(self) -> tuple[np.ndarray, np.ndarray | None, int]:
        """Begin an episode; returns its first observation, its context and its seed."""
        seed = int(self._rng.integers(2**31))
        self._env.reset(seed=seed)  # so that an error names this seed
        self._look()
        start = self._pick(self._paths.free)
        if self._recipe == "stitch":
            near = [cell for cell, steps in self._paths.distances(start).items() if steps == STITCH_CELLS]
            goal = self._pick(near) if near else start
        else:
            goal = self._pick(self._corners)
        observation, info = self._maze.begin(start, goal, derived_seed(seed, "train"))
        self._aim(tuple(self._maze.goal_position.tolist()))
        return observation, info.get("context"), seed

    def act(self, observation: np.ndarray, step: int = 0) -> np.ndarray:
        """(2,) float32 in [-1, 1]."""
        self._look()
        x, y = self._maze.position.tolist()  # plain numbers: ten times faster than arrays of two
        if self._recipe == "navigate" and math.dist((x, y), self._goal) <= self._maze.goal_tolerance:
            self._aim(self._maze.place(self._pick(self._corners), self._rng))
            self._maze.set_goal(np.array(self._goal))
        here = self._maze.cell((x, y))
        if here not in self._ways:
            self._ways[here] = self._maze.centre(self._paths.following(here, self._goal_cell))
        to_x, to_y = self._ways[here]
        length = math.dist((x, y), (to_x, to_y)) + 1e-6
        noise_x, noise_y = self._rng.normal(0.0, NOISE, 2).tolist()
        action = (to_x - x) / length + noise_x, (to_y - y) / length + noise_y
        return np.array([min(max(a, -1.0), 1.0) for a in action], np.float32)

    def _look(self) -> None:
        """The map as it is now: it changes in mazes that close."""
        if self._known is self._maze.walls:
            return
        self._known = self._maze.walls
        self._paths = Paths(self._known)
        self._corners = self._paths.corners()
        self._ways: dict[Cell, tuple[float, float]] = {}  # where to go from each cell on the way

    def _aim(self, goal: tuple[float, float]) -> None:
        self._goal, self._goal_cell = goal, self._maze.cell(goal)
        self._ways = {}

    def _pick(self, cells: list[Cell]) -> Cell:
        return cells[int(self._rng.integers(len(cells)))]


class MazeOracle:
    """A ceiling: goes to the goal on a shortest path without noise, round teleporters, and round what closes as soon as
    it does. An Actor of `evaluate`."""

    def __init__(self, maze: MazeView) -> None:
        self.evaluations = 0
        self.planner_calls: dict[int, int] = {}
        self.repairs: dict[int, int] = {}
        self.last_repair = None
        self._maze = maze
        self._known: np.ndarray | None = None
        self._goal = np.zeros(2)

    def reset(
        self, goal: np.ndarray | None = None, seed: int = 0, context: np.ndarray | None = None, *, mission: Any = None
    ) -> None:
        self._goal = self._maze.goal_position

    def act(self, observation: np.ndarray) -> np.ndarray:
        if self._known is not self._maze.walls:  # it changes in mazes that close
            self._known = self._maze.walls
            self._paths = Paths(self._known, blocked=self._maze.teleports)
        position = self._maze.position
        here, there = self._maze.cell(position), self._maze.cell(self._goal)
        toward = self._goal if here == there else np.array(self._maze.centre(self._paths.following(here, there)))
        away = toward - position
        return (away / max(MOVE, np.abs(away).max())).astype(np.float32)


def make_oracle(env: gymnasium.Env, task: TaskConfig) -> Any:
    """Who plays `--method oracle`. Raises UsageError for tasks without an oracle."""
    powder = layer_of(env, PowderView)
    return MazeOracle(_maze(env)) if powder is None else PowderOracle(powder)


def _maze(env: gymnasium.Env) -> MazeView:
    maze = layer_of(env, MazeView)
    if maze is None:
        name = getattr(env, "name", type(env.unwrapped).__name__)
        raise UsageError(
            f"{name}: only OGBench's mazes and its Powderworld have an oracle, and this is a "
            f"{type(env.unwrapped).__name__}"
        )
    return maze
