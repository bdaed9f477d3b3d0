"""An agent, driven in its task's own world."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hplan.types import Repair

if TYPE_CHECKING:
    from hplan.agent import Agent


def check_agent(agent: Agent, task: str | None = None, *, seed: int = 0, steps: int = 5) -> None:
    """An agent acts within its task's action space, plans without changing itself, repeats itself after reset(seed),
    speaks Stable-Baselines3's `predict`, and is the same after save and load. `task`: the agent's own if None."""
    from hplan.agent import load
    from hplan.registry import make

    env = make(task or agent.task)
    actions = _drive(agent, env, seed, steps)
    assert actions == _drive(agent, env, seed, steps, plan=True), "plan() changed what act() does; it must be pure"
    with tempfile.TemporaryDirectory() as folder:
        agent.save(Path(folder, "agent"))
        kept = load(Path(folder, "agent"))
        assert actions == _drive(kept, env, seed, steps), "the agent acts differently after save() and load()"
    observation, _ = env.reset(seed=seed)
    action, _ = agent.predict(observation, deterministic=True)
    assert env.action_space.contains(action), f"predict() gave {action!r}, which is not in {env.action_space}"
    env.close()


def _drive(agent: Agent, env: Any, seed: int, steps: int, plan: bool = False) -> list[list[float]]:
    (observation, info), actions = env.reset(seed=seed), []
    agent.reset(goal=copy.deepcopy(info.get("goal")), seed=seed, context=info.get("context"))
    for _ in range(steps):
        if plan:
            agent.plan(observation, info.get("goal"))
        action = agent.act(observation)
        assert env.action_space.contains(action), f"act() gave {action!r}, which is not in {env.action_space}"
        assert agent.last_repair is None or isinstance(agent.last_repair, Repair), (
            "last_repair must be None or a Repair"
        )
        actions.append(np.ravel(action).tolist())
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    return actions
