"""A point maze in which one corridor closes while the agent is on its way. It sees its position, so it runs into it.

The wall is OGBench's own block: one lies in every free cell from the start, switched off in MuJoCo's collisions. A test
holds that the maze before the change is the undisturbed one, to the last bit.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import gymnasium
import numpy as np

from hplan.worlds.changing import STREAM
from hplan.worlds.experts import Paths
from hplan.worlds.mazes import RADIUS, Cell, MazeView

_STEP = 0.2  # units that a step moves at most


class ClosingMaze(MazeView):
    """One cell closes in each episode. When: drawn between the shares `when` of the steps that the shortest way takes.
    Which: drawn from the cells of the shortest way from where the agent is then, but none that it touches, not the
    goal's, and none without which the goal is out of reach; where that leaves none, as soon as there is one.

    changes: how many have closed in this episode, 0 or 1; for tests and reports.
    """

    def __init__(self, env: gymnasium.Env, name: str, *, when: tuple[float, ...], **options: Any) -> None:
        super().__init__(env, name, **options)
        put_blocks(self._maze)
        self._data = self._maze.data
        self._plan, self._when = self.walls, when
        self.changes = 0

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if not self.changes and self._step >= self._due:
            self._close()
        return super().step(action)

    def _begin(self, seed: int, options: dict[str, Any], name: str) -> tuple[np.ndarray, dict[str, Any]]:
        for cell in np.argwhere(self.walls & ~self._plan).tolist():
            switch(self._maze, cell, on=False)
        self._set_walls(self._plan)
        self.changes, self._touched = 0, set[Cell]()
        observation, info = super()._begin(seed, options, name)
        self._draws = np.random.default_rng((seed, STREAM))
        way = self._paths().way(self.cell(observation), self._goal())
        earliest, latest = self._when
        self._due = self._draws.uniform(earliest, latest) * len(way) * self._maze._maze_unit / _STEP
        return observation, info

    def _close(self) -> None:
        x, y = self._data.qpos.tolist()
        touched = {self.cell((x + right, y + up)) for right in (-RADIUS, RADIUS) for up in (-RADIUS, RADIUS)}
        if touched == self._touched:  # nothing has changed since there was no such cell
            return
        self._touched = touched
        here, goal = self.cell((x, y)), self._goal()
        ahead = [cell for cell in self._paths().way(here, goal)[:-1] if cell not in touched]
        cells = [cell for cell in ahead if here in self._paths(cell).distances(goal)]
        if cells:
            cell = cells[int(self._draws.integers(len(cells)))]
            switch(self._maze, cell, on=True)
            self._set_walls(self._walls_with(cell))
            self.changes = 1

    def _goal(self) -> Cell:
        return self.cell(self._maze.cur_goal_xy)

    def _paths(self, closed: Cell | None = None) -> Paths:
        walls = self.walls if closed is None else self._walls_with(closed)
        return Paths(walls, blocked=self.teleports)

    def _walls_with(self, cell: Cell) -> np.ndarray:
        walls = self._plan.copy()
        walls[cell] = True
        return walls


def put_blocks(env: Any) -> None:
    """A new model for `env`, with OGBench's block in every cell and those in free cells switched off. They have to be
    on while MuJoCo compiles, or it leaves them out of what it searches for collisions."""
    plan, tree = env.maze_map, ElementTree.parse(env.xml_file)
    env.maze_map = np.ones_like(plan)
    env.update_tree(tree)
    env.maze_map = plan
    env.model = type(env.model).from_xml_string(ElementTree.tostring(tree.getroot(), "unicode"))
    env.data = type(env.data)(env.model)
    for cell in np.argwhere(plan == 0).tolist():
        switch(env, cell, on=False)


def switch(env: Any, cell: Any, *, on: bool) -> None:
    """Whether the block of a cell is there for MuJoCo."""
    block = env.model.geom("block_{}_{}".format(*cell))
    block.contype = block.conaffinity = int(on)
