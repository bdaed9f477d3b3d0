"""OGBench's point mazes: the agent sees (x, y) and moves by at most 0.2 a step; five numbered goals for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np

from hplan.types import ActionSpec, HplanError, ObservationSpec, Start, Transition

Cell = tuple[int, int]  # row, column
Place = tuple[float, float]  # x, y
MOVE = 0.2  # what an action of 1 moves by
_LIMIT = 1000  # OGBench's max_episode_steps for point mazes
_TELEPORT_REACH = 2.5  # a step moves by 0.3 at most and the pads take from 1.5 on: farther off, no step can teleport
RADIUS = 0.71  # of the ball, 0.7, and a little: farther from every wall, nothing pushes it


class MazeWorld:
    """An OGBench point maze as a World. Nothing of `walls` is ever shown to an agent.

    evaluation: `reset(seed)` sets OGBench's task seed % 5 + 1, so that consecutive seeds go through all of them, and an
    episode ends at its goal. Otherwise: a random start and goal in free cells, no end, and `max_steps` as given.
    """

    observation_spec = ObservationSpec("vector", (2,))
    action_spec = ActionSpec("continuous", 2, (-1.0, -1.0), (1.0, 1.0), ("x", "y"))

    def __init__(self, env: Any, name: str, *, evaluation: bool, max_steps: int = _LIMIT) -> None:
        if not hasattr(env, "maze_map") or env.model.nq != 2:
            raise HplanError(f"{name}: {type(env).__name__} is no OGBench point maze, which the view 'position' is for")
        self.name = name
        self.max_steps = max_steps
        self._env = env
        self._data = env.data
        env._terminate_at_goal = evaluation
        self._evaluation = evaluation
        self._random = np.random.RandomState()  # OGBench draws from numpy's global generator
        self._step = 0
        with suppress(OSError):  # OGBench writes a model file for each environment and never removes it
            Path(env.fullpath).unlink()
        self.goal_tolerance = float(env._goal_tol)
        self._set_walls(env.maze_map == 1)
        pads = env._teleport_info or {"teleport_in_ijs": [], "teleport_out_ijs": []}
        self.teleports: tuple[Cell, ...] = tuple(pads["teleport_in_ijs"])
        self._exits: tuple[Cell, ...] = tuple(pads["teleport_out_ijs"])
        self._pads = np.array([self.centre(cell) for cell in self.teleports]).reshape(-1, 2)

    def reset(self, *, seed: int) -> Start:
        if self._evaluation:
            number = seed % len(self._env.task_infos) + 1
            return self._reset(seed, {"task_id": number}, str(number))
        free = np.argwhere(self._env.maze_map != 1)  # `walls` may still be those of the last episode
        start, goal = free[np.random.default_rng(seed).integers(len(free), size=2)].tolist()
        return self.begin(tuple(start), tuple(goal), seed)

    def begin(self, start: Cell, goal: Cell, seed: int) -> Start:
        """An episode between two cells, each position drawn within its cell."""
        return self._reset(seed, {"task_info": {"init_ij": start, "goal_ij": goal}}, "")

    def set_goal(self, xy: np.ndarray) -> None:
        """Another goal for the running episode; `Transition.success` speaks of it from now on."""
        self._env.set_goal(goal_xy=np.asarray(xy, np.float64))

    def step(self, action: int | np.ndarray) -> Transition:
        action = np.clip(np.asarray(action, np.float64), -1.0, 1.0)  # the environment itself takes any length
        self._step += 1
        target = self._data.qpos + MOVE * action
        near_pad = len(self._pads) and (np.abs(self._pads - target).max(axis=1) < _TELEPORT_REACH).any()
        if not near_pad and self.is_clear(*target.tolist()):
            return self._glide(target)
        with self._numpy_random() if near_pad else nullcontext():
            observation, reward, terminated, _, info = self._env.step(action)
        over, success = self._step >= self.max_steps, info["success"] > 0
        return Transition(observation.astype(np.float32), float(reward), bool(terminated), over, success)

    def is_clear(self, x: float, y: float) -> bool:
        """Whether no wall is within reach of the ball at (x, y), nor within the square around it."""
        wall, cell = self._wall, self._env.xy_to_ij
        (low, left), (high, right) = cell((x - RADIUS, y - RADIUS)), cell((x + RADIUS, y + RADIUS))
        return not (wall[low][left] or wall[low][right] or wall[high][left] or wall[high][right])

    def _glide(self, target: np.ndarray) -> Transition:
        """A step that touches no wall. The environment moves the ball itself and stops it, and MuJoCo then returns such
        a position as it is, to the last bit (a test compares): so its solver, most of a step's time, is not asked."""
        self._data.qpos[:] = target
        self._data.qvel[:] = 0.0
        self._data.qacc_warmstart[:] = 0.0
        over, success = self._step >= self.max_steps, bool(self._env.compute_success())
        return Transition(target.astype(np.float32), float(success), success and self._evaluation, over, success)

    def cell(self, xy: Any) -> Cell:
        """The cell that a position lies in."""
        return self._env.xy_to_ij(xy)

    def centre(self, cell: Cell) -> Place:
        """The middle of a cell."""
        x, y = self._env.ij_to_xy(cell)
        return float(x), float(y)

    def place(self, cell: Cell, rng: np.random.Generator) -> Place:
        """A position within a cell, drawn as OGBench draws starts and goals."""
        x, y = np.array(self.centre(cell)) + rng.uniform(-1, 1, 2) * self._env._noise * self._env._maze_unit / 4
        return float(x), float(y)

    def draw(self) -> str:
        """The map: walls #, the agent @, the goal G, teleporters O with exits o."""
        rows = [["#" if wall else " " for wall in row] for row in self.walls]
        marks = [("O", cell) for cell in self.teleports] + [("o", cell) for cell in self._exits]
        for mark, (i, j) in [*marks, ("G", self.cell(self._env.cur_goal_xy)), ("@", self.cell(self._env.get_xy()))]:
            rows[i][j] = mark
        return "\n".join("".join(2 * char if char == "#" else f"{char} " for char in row) for row in rows)

    def close(self) -> None:
        self._env.close()

    def _set_walls(self, walls: np.ndarray) -> None:
        """`walls` (rows, columns) bool is never written into: whoever holds it sees by its identity that it changed."""
        self.walls = walls
        self._wall: list[list[bool]] = walls.tolist()

    def _reset(self, seed: int, options: dict[str, Any], name: str) -> Start:
        self._step = 0
        self._random.seed(seed)
        self._env.action_space.seed(seed)  # OGBench takes five random steps while it resets
        with self._numpy_random():
            observation, info = self._env.reset(seed=seed, options=options)
        goal = np.asarray(info["goal"], np.float32)
        return Start(observation.astype(np.float32), goal, name, self.goal_tolerance)

    @contextmanager
    def _numpy_random(self) -> Iterator[None]:
        """numpy's global generator is this world's own meanwhile, and as it was before afterwards."""
        outside = np.random.get_state()  # noqa: NPY002
        np.random.set_state(self._random.get_state())  # noqa: NPY002
        try:
            yield
        finally:
            self._random.set_state(np.random.get_state())  # noqa: NPY002
            np.random.set_state(outside)  # noqa: NPY002
