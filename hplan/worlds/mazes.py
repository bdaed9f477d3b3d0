"""OGBench's point mazes: the agent sees (x, y) and moves by at most 0.2 a step; five numbered goals for evaluation."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from hplan.codec import Codec
from hplan.types import HplanError
from hplan.worlds.layers import LIMIT, layers
from hplan.worlds.numpy_random import numpy_random

Cell = tuple[int, int]  # row, column
Place = tuple[float, float]  # x, y
MOVE = 0.2  # what an action of 1 moves by
_TELEPORT_REACH = 2.5  # a step moves by 0.3 at most and the pads take from 1.5 on: farther off, no step can teleport
RADIUS = 0.71  # of the ball, 0.7, and a little: farther from every wall, nothing pushes it


class MazeView(gymnasium.Wrapper):
    """An OGBench point maze, or wrappers of one, that shows (x, y). Nothing of `walls` is ever shown to an agent.

    evaluation: `reset(seed=)` sets OGBench's task seed % 5 + 1, so that consecutive seeds go through all of them, and
    an episode ends at its goal. Otherwise: a random start and goal in free cells, no end, and `max_steps` as given.
    `info` has the `goal`, and the `goal_name` where it is one of the five. Wrappers act, and a limit of steps does.
    """

    context: tuple[int, ...] = ()  # of the codec
    context_frame: tuple[float, ...] = ()

    def __init__(self, env: gymnasium.Env, name: str, *, evaluation: bool, max_steps: int = LIMIT) -> None:
        maze: Any = env.unwrapped
        if not hasattr(maze, "maze_map") or maze.model.nq != 2:
            raise HplanError(
                f"{name}: {type(maze).__name__} is no OGBench point maze, which the view 'position' is for"
            )
        around = layers(env)[:-1]
        limits = [layer._max_episode_steps for layer in around if type(layer) is TimeLimit]
        self._alone = len(limits) == len(around)  # then steps that touch no wall need not go through the environment
        super().__init__(maze if self._alone else env)
        self.max_steps = min([max_steps, *limits])
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        self.codec = Codec.of(
            self.observation_space,
            env.action_space,
            name,
            action_names=("x", "y"),
            context=self.context,
            context_frame=self.context_frame,
        )
        self._maze = maze
        self._data = maze.data
        maze._terminate_at_goal = evaluation
        self._evaluation = evaluation
        self._random = np.random.RandomState()  # OGBench draws from numpy's global generator
        self._seeds = np.random.default_rng()  # of episodes that nobody gives one
        self._step = 0
        with suppress(OSError):  # OGBench writes a model file for each environment and never removes it
            Path(maze.fullpath).unlink()
        self.goal_tolerance = float(maze._goal_tol)
        self._set_walls(maze.maze_map == 1)
        pads = maze._teleport_info or {"teleport_in_ijs": [], "teleport_out_ijs": []}
        self.teleports: tuple[Cell, ...] = tuple(pads["teleport_in_ijs"])
        self._exits: tuple[Cell, ...] = tuple(pads["teleport_out_ijs"])
        self._pads = np.array([self.centre(cell) for cell in self.teleports]).reshape(-1, 2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is None:
            seed = int(self._seeds.integers(2**31))
        else:
            self._seeds = np.random.default_rng(seed)
        if options:
            return self._begin(seed, options, str(options.get("task_id", "")))
        return self._reset(seed)

    def _reset(self, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        if self._evaluation:
            number = seed % len(self._maze.task_infos) + 1
            return self._begin(seed, {"task_id": number}, str(number))
        free = np.argwhere(self._maze.maze_map != 1)  # `walls` may still be those of the last episode
        start, goal = free[np.random.default_rng(seed).integers(len(free), size=2)].tolist()
        return self.begin(tuple(start), tuple(goal), seed)

    def begin(self, start: Cell, goal: Cell, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        """An episode between two cells, each position drawn within its cell."""
        return self._begin(seed, {"task_info": {"init_ij": start, "goal_ij": goal}}, "")

    def set_goal(self, xy: np.ndarray) -> None:
        """Another goal for the running episode; `info["success"]` speaks of it from now on."""
        self._maze.set_goal(goal_xy=np.asarray(xy, np.float64))

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._step += 1
        near_pad = False
        if self._alone:
            action = np.clip(np.asarray(action, np.float64), -1.0, 1.0)  # the environment itself takes any length
            target = self._data.qpos + MOVE * action
            near_pad = len(self._pads) and (np.abs(self._pads - target).max(axis=1) < _TELEPORT_REACH).any()
            if not near_pad and self.is_clear(*target.tolist()):
                return self._glide(target)
        with numpy_random(self._random) if near_pad or not self._alone else nullcontext():
            observation, reward, terminated, truncated, info = self.env.step(action)
        over = bool(truncated) or self._step >= self.max_steps
        return np.asarray(observation, np.float32), float(reward), terminated, over, info

    def is_clear(self, x: float, y: float) -> bool:
        """Whether no wall is within reach of the ball at (x, y), nor within the square around it."""
        wall, cell = self._wall, self._maze.xy_to_ij
        (low, left), (high, right) = cell((x - RADIUS, y - RADIUS)), cell((x + RADIUS, y + RADIUS))
        return not (wall[low][left] or wall[low][right] or wall[high][left] or wall[high][right])

    def _glide(self, target: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A step that touches no wall. The environment moves the ball itself and stops it, and MuJoCo then returns such
        a position as it is, to the last bit (a test compares): so its solver, most of a step's time, is not asked."""
        self._data.qpos[:] = target
        self._data.qvel[:] = 0.0
        self._data.qacc_warmstart[:] = 0.0
        over, success = self._step >= self.max_steps, bool(self._maze.compute_success())
        info = {"success": success}
        return target.astype(np.float32), float(success), success and self._evaluation, over, info

    @property
    def position(self) -> np.ndarray:
        """(2,) float32: x and y of the ball. Not for agents, which see what the view shows of it."""
        return self._data.qpos.astype(np.float32)

    def seen_from(self, places: np.ndarray) -> np.ndarray:
        """Positions (N, 2) float32 -> what the view shows there, (N, *observation)."""
        return places

    @property
    def goal_position(self) -> np.ndarray:
        """(2,) float32, likewise."""
        return np.asarray(self._maze.cur_goal_xy, np.float32)

    def cell(self, xy: Any) -> Cell:
        """The cell that a position lies in."""
        return self._maze.xy_to_ij(xy)

    def centre(self, cell: Cell) -> Place:
        """The middle of a cell."""
        x, y = self._maze.ij_to_xy(cell)
        return float(x), float(y)

    def place(self, cell: Cell, rng: np.random.Generator) -> Place:
        """A position within a cell, drawn as OGBench draws starts and goals."""
        x, y = np.array(self.centre(cell)) + rng.uniform(-1, 1, 2) * self._maze._noise * self._maze._maze_unit / 4
        return float(x), float(y)

    def draw(self) -> str:
        """The map: walls #, the agent @, the goal G, teleporters O with exits o."""
        rows = [["#" if wall else " " for wall in row] for row in self.walls]
        marks = [("O", cell) for cell in self.teleports] + [("o", cell) for cell in self._exits]
        for mark, (i, j) in [*marks, ("G", self.cell(self._maze.cur_goal_xy)), ("@", self.cell(self._maze.get_xy()))]:
            rows[i][j] = mark
        return "\n".join("".join(2 * char if char == "#" else f"{char} " for char in row) for row in rows)

    def _set_walls(self, walls: np.ndarray) -> None:
        """`walls` (rows, columns) bool is never written into: whoever holds it sees by its identity that it changed."""
        self.walls = walls
        self._wall: list[list[bool]] = walls.tolist()

    def _begin(self, seed: int, options: dict[str, Any], name: str) -> tuple[np.ndarray, dict[str, Any]]:
        self._step = 0
        self._random.seed(seed)
        self.env.action_space.seed(seed)  # OGBench takes five random steps while it resets
        self._maze.action_space.seed(seed)
        with numpy_random(self._random):
            observation, info = self.env.reset(seed=seed, options=options)
        given = {"goal": np.asarray(info["goal"], np.float32)} | ({"goal_name": name} if name else {})
        return np.asarray(observation, np.float32), {**info, **given}
