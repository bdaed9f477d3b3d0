"""Gymnasium environments of a few lines, for tests of what turns them into worlds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Corridor(gymnasium.Env):
    """Walk right from 0 to 3. `trouble`: what happens at step 2 ("raise", "exit", "nan", "outside", "reward")."""

    action_space = spaces.Discrete(2)

    def __init__(self, trouble: str = "", info: dict[str, Any] | None = None, reward: float = 1.0) -> None:
        self.observation_space = spaces.Box(-10.0, 10.0, (1,)) if trouble == "nan" else spaces.Discrete(4)
        self.trouble, self.info, self.reward = trouble, info or {}, reward
        self.render_mode = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = self.steps = 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.trouble == "raise" and self.steps == 2:
            raise RuntimeError("the motor is stuck")
        if self.trouble == "exit" and self.steps == 2:
            raise SystemExit("the motor is gone")
        self.at = min(max(self.at + (1 if action else -1), 0), 3)
        if self.trouble == "reward" and self.steps == 2:
            return self._observe(), float("inf"), False, False, {}
        done = self.at == 3
        return self._observe(), self.reward if done else 0.0, done, False, dict(self.info)

    def _observe(self) -> Any:
        if self.trouble == "nan":
            return np.array([np.nan if self.steps == 2 else self.at], np.float32)
        return 7 if self.trouble == "outside" and self.steps == 2 else self.at


class Reach(gymnasium.Env):
    """A GoalEnv: a point with a velocity; only its position is asked for."""

    action_space = spaces.Box(-1.0, 1.0, (2,))
    observation_space = spaces.Dict(
        observation=spaces.Box(-9.0, 9.0, (4,)),
        achieved_goal=spaces.Box(-9.0, 9.0, (2,)),
        desired_goal=spaces.Box(-9.0, 9.0, (2,)),
    )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        return self._observe(np.zeros(2, np.float32)), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position = self.position + np.float32(0.1) * action
        near = bool(np.linalg.norm(self.position - self.goal) < 0.1)
        return self._observe(action), float(near), False, False, {"is_success": near}

    def _observe(self, velocity: np.ndarray) -> dict[str, np.ndarray]:
        whole = np.concatenate([self.position, velocity]).astype(np.float32)
        return {"observation": whole, "achieved_goal": self.position.copy(), "desired_goal": self.goal.copy()}


class Board(gymnasium.Env):
    """A board that is another one for each seed (or of few, with `kinds`); nothing moves."""

    observation_space = spaces.Box(0, 3, (4, 5), np.int64)
    action_space = spaces.Discrete(1)

    def __init__(self, kinds: int = 10**6) -> None:
        self.kinds = kinds

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.board = np.random.default_rng((seed or 0) % self.kinds).integers(0, 4, (4, 5))
        return self.board, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.board, 0.0, False, False, {}
