"""OGBench's Powderworld: a world of falling and flowing powders is painted until it looks like a goal image.

What is shown is the package's own image, (32, 32, 6) uint8: the world, and what of the next placement is chosen so far.
The goal is such an image. A placement takes three actions: an element, a column and a row.

Source: OGBench (Park et al., 2024, arXiv 2410.20092), `ogbench.powderworld`; play follows the process that it gives in
appendix E: half of the placements at random, the rest fills, lines and squares, 1:3:3.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

from hplan.codec import Codec
from hplan.types import HplanError, UsageError
from hplan.worlds.half_blocks import half_blocks
from hplan.worlds.layers import LIMIT
from hplan.worlds.numpy_random import numpy_random

ACTIONS = 3  # of a placement
AT_RANDOM = 0.5
SHARES = (1, 3, 3)  # of fills, lines and squares


class PowderView(gymnasium.Wrapper):
    """`env` by itself, and its goal in `info`.

    evaluation: `reset(seed=)` sets OGBench's task seed % 5 + 1, so that consecutive seeds go through all of them; else
    worlds are empty, have no goal and last `max_steps`.
    """

    def __init__(self, env: gymnasium.Env, name: str, *, evaluation: bool, max_steps: int = LIMIT) -> None:
        world: Any = env.unwrapped
        if not hasattr(world, "pw") or not hasattr(world, "semantic_action_to_action"):
            raise HplanError(f"{name}: {type(world).__name__} is no Powderworld, which the view 'powder' is for")
        super().__init__(world)
        self.max_steps = max_steps
        self.codec = Codec.of(world.observation_space, world.action_space, name)
        self.world, self._evaluation = world, evaluation
        self._random = np.random.RandomState()  # OGBench draws from numpy's global generator
        self._seeds = np.random.default_rng()  # of episodes that nobody gives one
        self._seen: Any = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is None:
            seed = int(self._seeds.integers(2**31))
        else:
            self._seeds = np.random.default_rng(seed)
        self._random.seed(seed % 2**32)
        self.world._mode = "task" if self._evaluation else "data_collection"
        number = seed % len(self.world.task_infos) + 1
        with numpy_random(self._random):
            chosen = options or ({"task_id": number} if self._evaluation else {})
            self._seen, info = self.world.reset(options=chosen)
        return self._seen, info | ({"goal_name": str(chosen["task_id"])} if "task_id" in chosen else {})

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        with numpy_random(self._random):
            self._seen, reward, terminated, _, info = self.world.step(int(action))
        return self._seen, float(reward), bool(terminated), False, info

    def draw(self) -> str:
        """The world as half blocks."""
        return half_blocks(self._seen[..., :3])


class PowderPlay:
    """Makes play by the package's own behaviours."""

    def __init__(self, env: gymnasium.Env, rng: np.random.Generator) -> None:
        from ogbench.powderworld.behaviors import FillBehavior, LineBehavior, SquareBehavior

        self._env, self._rng = env, rng
        self._view = powder_of(env)
        self._behaviours = [make(self._view) for make in (FillBehavior, LineBehavior, SquareBehavior)]
        self._shares = np.array(SHARES) / sum(SHARES)
        self._random = np.random.RandomState(int(rng.integers(2**32)))
        self._waiting: list[int] = []

    def start(self) -> tuple[np.ndarray, None, int]:
        seed = int(self._rng.integers(2**31))
        observation, _ = self._env.reset(seed=seed)
        self._waiting = []
        with numpy_random(self._random):
            self._next_behaviour()
        return observation, None, seed

    def act(self, observation: np.ndarray, step: int = 0) -> int:
        if not self._waiting:
            world = self._view.world
            with numpy_random(self._random):
                if self._rng.random() < AT_RANDOM:
                    element, *place = world.sample_semantic_action()
                else:
                    element, *place = self._behaviour.select_action(observation, {})
                    if self._behaviour.done:
                        self._next_behaviour()
            self._waiting = [world._elem_names.index(element), *map(int, place)]
        return self._waiting.pop(0)

    def _next_behaviour(self) -> None:
        self._behaviour = self._behaviours[int(self._rng.choice(len(self._shares), p=self._shares))]
        self._behaviour.reset(None, {})


class PowderOracle:
    """A ceiling: does what the goal was made by. An Actor of `evaluate`."""

    def __init__(self, view: PowderView) -> None:
        self.evaluations = 0
        self.planner_calls: dict[int, int] = {}
        self.repairs: dict[int, int] = {}
        self.last_repair = None
        self._view = view
        self._actions: list[int] = []

    def reset(self, goal: Any = None, seed: int = 0, context: Any = None, *, mission: Any = None) -> None:
        world = self._view.world
        placements = world.cur_task_info["action_seq"]
        self._actions = [a for name, x, y in placements for a in (world._elem_names.index(name), x, y)]

    def act(self, observation: np.ndarray) -> int:
        return self._actions.pop(0) if self._actions else 0


def powder_of(env: gymnasium.Env) -> PowderView:
    """The view of a Powderworld. Raises UsageError for any other environment."""
    from hplan.worlds.layers import layer_of

    view = layer_of(env, PowderView)
    if view is None:
        raise UsageError(f"{type(env.unwrapped).__name__} is no Powderworld, which recipe 'paint' is for")
    return view
