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

    Success is `info["success"]`, `info["is_success"]`, else a terminating reward above 0 and above what steps that do
    not end pay, for where every step is paid, ending is no success. ordinary_reward: the best of those, as play has it;
    None: of all steps so far, and where each of them is paid, beyond it by as much as they differ. ending_succeeds:
    ending is success. ends: success ends the episode. told: whether anything but rewards said so yet.
    Rewards and flags come as plain numbers, and an episode ends at `max_steps`.
    """

    def __init__(
        self,
        env: Any,
        *,
        ending_succeeds: bool = False,
        ends: bool = False,
        ordinary_reward: float | None = None,
    ) -> None:
        super().__init__(env)
        self.view, self.codec = env, env.codec
        self._ending_succeeds, self._ends = ending_succeeds, ends
        self._number = self.action_space.dtype.type if isinstance(self.action_space, gymnasium.spaces.Discrete) else int
        self._known, self.told = ordinary_reward, ending_succeeds
        self._least, self._most = math.inf, -math.inf  # of the steps so far that did not end
        self._steps, self._limit = 0, env.max_steps
        if hasattr(env, "snapshot"):  # only views that can go back offer it
            self.snapshot, self.restore = self._snapshot, self._restore

    @property
    def max_steps(self) -> int:
        """Steps that an episode may take; of some environments it depends on the layout."""
        return self.view.max_steps

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._steps = 0
        start = self.env.reset(seed=seed, options=options)
        self._limit = self.view.max_steps  # once: to look it up takes longer than a step of MiniGrid
        return start

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if type(action) is int:
            action = self._number(action)  # as sample() gives them: some environments ask it for `.item()`
        observation, paid, ended, cut, info = self.env.step(action)
        reward = float(_one("reward", paid))
        terminated, truncated = _flag("terminated", ended), _flag("truncated", cut)
        self._steps += 1
        success = self.succeeds(reward, terminated, info)
        if not terminated:
            self._least, self._most = min(self._least, reward), max(self._most, reward)
        broken = any(key in info and _flag(f"info[{key!r}]", info[key]) for key in VIOLATION)
        info = {**info, "success": success, "violation": broken}
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
                self.told = True
                return _flag(f"info[{key!r}]", info[key])
        return terminated and _in_play(reward) > max(0.0, self._ordinary())

    def _ordinary(self) -> float:
        if self._known is not None:
            return self._known
        unseen = self._most - self._least if 0 < self._least < math.inf else 0.0
        return _in_play(self._most + unseen)

    def _snapshot(self) -> Any:
        """The state as it is now."""
        return self.view.snapshot()

    def _restore(self, snapshot: Any) -> None:
        """A new episode that starts in that state: limits on its length count from here."""
        self._steps = 0
        self.view.restore(snapshot)
        self._limit = self.view.max_steps


def _in_play(reward: float) -> float:
    """As play stores it: what differs by rounding alone is the same."""
    with np.errstate(over="ignore"):
        return float(np.float32(reward))


def _flag(name: str, value: Any) -> bool:
    """None and NaN say no."""
    return value is not None and _one(name, value) > 0


def _one(name: str, value: Any) -> Any:
    """A number, which some environments return as an array of one. Raises UsageError for several, and for others."""
    if type(value) in _PLAIN:
        return value
    array = np.asarray(value)
    if array.size != 1:
        raise UsageError(
            f"{name} has {array.size} values where one is expected: hplan takes single environments, and single rewards"
        )
    if array.dtype.kind in "biuf":
        return array.item()
    try:
        if array.dtype.kind == "O":  # a Fraction, say
            return float(array.item())
    except (TypeError, ValueError):
        pass
    raise UsageError(f"{name} is {value!r}; expected a number")
