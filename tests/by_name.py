"""What `reset` and `step` return, by name, with observations in canonical form: what tests check."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Start(NamedTuple):
    observation: np.ndarray
    goal: np.ndarray | None
    goal_name: str
    context: np.ndarray | None


class Step(NamedTuple):
    observation: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    success: bool
    violation: bool


def begin(env: Any, seed: int) -> Start:
    observation, info = env.reset(seed=seed)
    goal = None if isinstance(info.get("goal", ""), str) else env.codec.encode(info["goal"])  # a mission is words
    return Start(env.codec.encode(observation), goal, info.get("goal_name", ""), info.get("context"))


def take(env: Any, action: Any) -> Step:
    observation, reward, terminated, truncated, info = env.step(action)
    return Step(
        env.codec.encode(observation),
        reward,
        terminated,
        truncated,
        info.get("success", False),
        info.get("violation", False),
    )
