"""An agent, driven in its task's own world."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hplan.testing.worlds import random_action
from hplan.types import ActionSpec, Repair, World

if TYPE_CHECKING:
    from hplan.agent import Agent


def check_agent(agent: Agent, task: str | None = None, *, seed: int = 0, steps: int = 5) -> None:
    """An agent acts within its task's action space, plans without changing itself, repeats itself after reset(seed),
    speaks Stable-Baselines3's `predict`, and is the same after save and load. `task`: the agent's own if None."""
    from hplan.agent import load
    from hplan.registry import load_task, make_world

    world = make_world(load_task(task or agent.task), split="eval")
    actions = _drive(agent, world, seed, steps)
    assert actions == _drive(agent, world, seed, steps, plan=True), "plan() changed what act() does; it must be pure"
    with tempfile.TemporaryDirectory() as folder:
        agent.save(Path(folder, "agent"))
        kept = load(Path(folder, "agent"))
        assert actions == _drive(kept, world, seed, steps), "the agent acts differently after save() and load()"
    start = world.reset(seed=seed)
    action, _ = agent.predict(start.observation, deterministic=True)
    assert np.shape(action) == np.shape(random_action(world.action_spec, np.random.default_rng(0))), (
        f"predict() gave an action of shape {np.shape(action)}, which is not one of {world.action_spec}"
    )
    world.close()


def _drive(agent: Agent, world: World, seed: int, steps: int, plan: bool = False) -> list[list[float]]:
    start = world.reset(seed=seed)
    observation, spec, actions = start.observation, world.action_spec, []
    agent.reset(goal=copy.deepcopy(start.goal), seed=seed, context=start.context)
    for _ in range(steps):
        if plan:
            agent.plan(observation, start.goal)
        action = agent.act(observation)
        inside = 0 <= action < spec.size if spec.kind == "discrete" else _within(action, spec)
        assert inside, f"act() gave {action!r}, which is not one of {spec}"
        assert agent.last_repair is None or isinstance(agent.last_repair, Repair), (
            "last_repair must be None or a Repair"
        )
        actions.append(np.ravel(action).tolist())
        done = world.step(action)
        observation = done.observation
        if done.terminated or done.truncated:
            break
    return actions


def _within(action: Any, spec: ActionSpec) -> bool:
    low, high = np.asarray(spec.low) - 1e-6, np.asarray(spec.high) + 1e-6
    return np.shape(action) == (spec.size,) and bool(((action >= low) & (action <= high)).all())
