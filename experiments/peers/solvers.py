"""Solvers of stable-worldmodel as planners of hplan: its search over actions, our level 0 as its model.

    hplan eval AGENT --method flat --planner experiments.peers.solvers:cem

The model that a solver sees answers as its own world models do: (environments, samples, steps, actions) -> costs. A
plan costs what it comes to at its best step, as with our own planners; it is cut there.
"""

from __future__ import annotations

import contextlib
import io
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_worldmodel.solver import CEMSolver, GradientSolver, MPPISolver
from torch import Tensor

from hplan.planning.rollout import Rollout, bounds, check_continuous
from hplan.types import Budget, Energy, PlanResult, StepCost, WorldModel

STEPS = 16  # that a plan looks ahead
KINDS: dict[str, tuple[Any, dict[str, Any]]] = {  # samples and rounds: 2,000 to 3,000 predictions a plan
    "cem": (CEMSolver, {"num_samples": 64, "n_steps": 3, "topk": 8}),
    "mppi": (MPPISolver, {"num_samples": 64, "n_steps": 3}),
    "gradient": (GradientSolver, {"num_samples": 4, "n_steps": 30}),
}


class Model(torch.nn.Module):
    """Level 0 towards one goal, as a world model of stable-worldmodel; actions in half ranges."""

    def __init__(self, rollout: Rollout) -> None:
        super().__init__()
        self.rollout = rollout
        self.low, self.high = bounds(rollout.level, rollout.start)

    def actions(self, candidates: Tensor) -> Tensor:
        return torch.clamp((self.low + self.high + (self.high - self.low) * candidates) / 2, self.low, self.high)

    def get_cost(self, info: dict[str, Any], candidates: Tensor) -> Tensor:
        """(1, N, H, A) -> (1, N)."""
        return self.rollout.score(self.actions(candidates[0])).values[None]

    criterion = get_cost


class Solved:
    """A planner for continuous macro-actions, by one of `KINDS`."""

    def __init__(self, kind: str) -> None:
        self.solver, self.settings = KINDS[kind]

    def plan(
        self,
        level: WorldModel,
        start: Tensor,
        goal: Energy,
        *,
        budget: Budget,
        step_cost: StepCost | None = None,
        generator: torch.Generator | None = None,
    ) -> PlanResult:
        """Raises UsageError where the level's macro-actions are discrete."""
        check_continuous(level, self)
        with torch.inference_mode(False), torch.enable_grad():
            rollout = Rollout(level, start.clone(), goal, step_cost)
            model = Model(rollout)
            seed = int(torch.randint(2**31, (), generator=generator))
            solver = self.solver(model, seed=seed, **self.settings)
            space = gymnasium.spaces.Box(-1, 1, (1, level.macro.size), np.float32)
            steps = min(STEPS, budget.horizon)
            solver.configure(action_space=space, n_envs=1, config=SimpleNamespace(horizon=steps, action_block=1))
            with contextlib.redirect_stdout(io.StringIO()):  # it prints how long it took
                found = solver.solve({"start": start[None]})["actions"][0]
        with torch.inference_mode():
            return rollout.result(rollout.score(model.actions(found[None].to(start))).best())


cem, mppi, gradient = (lambda level, planning, kind=kind: Solved(kind) for kind in KINDS)
