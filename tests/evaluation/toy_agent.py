"""A corridor and agents for it, at the top level of a module, so that worker processes find them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hplan.config import TaskConfig
from hplan.control.plan_tree import PlanTree
from hplan.types import PlanNode, Repair

LENGTH = 6


class Corridor(gymnasium.Env):
    """Cells 0..LENGTH; one starts at 0 to 2, right (1) leads to the end, which pays 1; left of 0 breaks a rule."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it

    def __init__(self, limit: int = 12, fails_at: int | None = None) -> None:
        self.observation_space, self.action_space = spaces.Discrete(LENGTH + 1), spaces.Discrete(2)
        self.max_steps, self.fails_at = limit, fails_at

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.cell, self.steps = int(self.np_random.integers(3)), 0
        return self.cell, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        if self.steps == self.fails_at:
            raise RuntimeError("the floor gave way")
        self.steps += 1
        info = {"cost": float(self.cell == 0 and action == 0)}
        self.cell = max(0, self.cell + (1 if action else -1))
        return self.cell, float(self.cell == LENGTH), self.cell == LENGTH, self.steps >= self.max_steps, info


def broken_corridor() -> Corridor:
    return Corridor(fails_at=2)


CORRIDOR = TaskConfig(name="toy/Corridor", environment="Corridor", layouts="fixed", factory=Corridor)
BROKEN = TaskConfig(name="toy/Broken", environment="Corridor", layouts="fixed", factory=broken_corridor)


class ToyAgent:
    """Goes right with probability `care`, as its seed has it. Every act is one planner call of ten evaluations."""

    task, name, replan = "toy/Corridor", "toy", "surprise"
    stack = SimpleNamespace(success_rule="auto", ordinary_reward=None, offset=())
    thresholds = {0: 0.5}  # noqa: RUF012
    subgoals = {}  # noqa: RUF012

    def __init__(self, care: float = 0.7, levels: int = 2) -> None:
        self.care = care
        self.levels_info = [
            {"level": k, "stride": 4.0**k, "latent_shape": (3,), "macro": "2 codes"} for k in range(levels)
        ]
        self.train_info = {"env_steps": 7, "gradient_steps": 8, "wall_s": 1.5, "device": "cpu", "seed": 0, "curves": {}}
        self.evaluations = 0  # a running total, never set back: what an episode cost is a difference
        self.planner_calls = {0: 0}
        self.repairs = {0: 0}
        self.last_repair: Repair | None = None
        self.surprise: dict[int, float] = {}

    def reset(self, goal: Any = None, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)
        self.tree = PlanTree.empty("the end").add(0, [PlanNode(1, 0, "right", 1.0)] * LENGTH)
        self.last_repair = None
        self.step = -1

    def act(self, observation: int) -> int:
        assert observation in range(LENGTH + 1)
        self.evaluations += 10
        self.step += 1
        self.planner_calls[0] += 1
        careless = self._generator.random() > self.care
        self.repairs[0] += int(careless)
        self.last_repair = Repair(self.step, 0, "surprise", 1.0, 0.5, 0, 1) if careless else None
        self.surprise = {0: 1.0 if careless else 0.0}
        return int(not careless)


class UnsendableAgent(ToyAgent):
    """Holds what no process can be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.secret = lambda: None
