"""What came of a step, by contract.md's rule: `info["success"]` and `info["violation"]` of any environment."""

from __future__ import annotations

import math
from typing import Any

import gymnasium
import numpy as np

from hplan.types import UsageError

SUCCESS = ("success", "is_success")  # entries of `info` that say it, the first one that is there
VIOLATION = ("violation", "cost", "constraint_violation")  # entries of which each says that a rule is broken
_PLAIN = (float, bool, int)


class Outcome(gymnasium.Wrapper):
    """A view (gym.py, minigrid.py, mazes.py) whose steps say in `info` whether they succeeded or broke a rule.

    Success is `info["success"]`, `info["is_success"]`, else a terminating reward above 0 and above every reward of the
    episode's steps before, for where every step is paid, ending is no success. ending_succeeds: it is.
    ends: success ends the episode. Rewards and flags come as plain numbers, and an episode ends at `max_steps`.
    """

    def __init__(self, env: Any, *, ending_succeeds: bool = False, ends: bool = False) -> None:
        super().__init__(env)
        self.view, self.codec = env, env.codec
        self._ending_succeeds, self._ends = ending_succeeds, ends
        self._number = self.action_space.dtype.type if isinstance(self.action_space, gymnasium.spaces.Discrete) else int
        self._steps, self._paid, self._limit = 0, -math.inf, env.max_steps
        if hasattr(env, "snapshot"):  # only views that can go back offer it
            self.snapshot, self.restore = self._snapshot, self._restore

    @property
    def max_steps(self) -> int:
        """Steps that an episode may take; of some environments it depends on the layout."""
        return self.view.max_steps

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._steps, self._paid = 0, -math.inf
        start = self.env.reset(seed=seed, options=options)
        self._limit = self.view.max_steps  # once: to look it up takes longer than a step of MiniGrid
        return start

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if type(action) is int:
            action = self._number(action)  # as sample() gives them: some environments ask it for `.item()`
        observation, paid, ended, cut, info = self.env.step(action)
        reward, terminated, truncated = float(_one(paid)), bool(_one(ended)), bool(_one(cut))
        self._steps += 1
        success = self.succeeds(reward, terminated, info)
        if not terminated:
            self._paid = max(self._paid, reward)
        broken = any(key in info and _one(info[key]) > 0 for key in VIOLATION)
        info = {**info, "success": success, "violation": bool(broken)}
        return (
            observation,
            reward,
            terminated or (self._ends and success),
            truncated or self._steps >= self._limit,
            info,
        )

    def draw(self) -> str:
        return self.view.draw()

    def succeeds(self, reward: float, terminated: bool, info: dict[str, Any]) -> bool:
        """Whether a step that returned these from here is the task's success."""
        if self._ending_succeeds:
            return terminated
        for key in SUCCESS:
            if key in info:
                return bool(_one(info[key]))
        return terminated and reward > max(0.0, self._paid)

    def _snapshot(self) -> tuple[float, Any]:
        """The state as it is now."""
        return self._paid, self.view.snapshot()

    def _restore(self, snapshot: tuple[float, Any]) -> None:
        """A new episode that starts in that state: limits on its length count from here."""
        self._paid, inner = snapshot
        self._steps = 0
        self.view.restore(inner)
        self._limit = self.view.max_steps


def _one(value: Any) -> Any:
    """A number, which some environments return as an array of one. Raises UsageError for several."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, np.ndarray) or (np.ndim(value) and np.size(value) == 1):
        if np.size(value) != 1:
            raise UsageError(f"{np.size(value)} values where one is expected: hplan takes single environments")
        return np.asarray(value).item()
    return value
