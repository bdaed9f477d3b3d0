"""Model predictive path integral control: the plan is the mean of sampled ones, weighted by how good each is.

Source: Williams et al., 2017, "Information theoretic MPC for model-based reinforcement learning", algorithm 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.planning.rollout import PLAN_STEPS, Rollout, bounds, check_continuous, shape_of
from hplan.types import Budget, Energy, PlanResult, StepCost, WorldModel
from hplan.validation import Count, Positive


class PathIntegral:
    """For continuous macro-actions. The mean of a round is a candidate of the next; the best candidate is the plan."""

    def __init__(
        self,
        *,
        candidates: Count = 64,
        rounds: Count = 3,
        plan_steps: Count = PLAN_STEPS,
        noise: Positive = 0.5,
        temperature: Positive = 0.1,
    ) -> None:
        """`noise`: deviation of the samples, in half ranges; `temperature`: relative to the spread of the values."""
        self.candidates, self.rounds, self.plan_steps = candidates, rounds, plan_steps
        self.noise, self.temperature = noise, temperature

    @torch.inference_mode()
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
        rollout = Rollout(level, start, goal, step_cost)
        rounds, candidates, horizon = shape_of(budget, self.rounds, self.candidates, self.plan_steps)
        low, high = bounds(level, start)
        mean, best = ((low + high) / 2).expand(horizon, -1), None
        for _ in range(rounds):
            noise = self.noise * (high - low) / 2 * torch.randn(candidates, *mean.shape, generator=generator).to(start)
            noise[0] = 0.0  # the mean of the last round is a candidate of this one
            macros = torch.clamp(mean + noise, low, high)
            scored = rollout.score(macros)
            best = scored.best() if best is None else scored.best().better_of(best)
            allowed = scored.values[scored.values.isfinite()]
            if not len(allowed):
                continue
            spread = allowed.std(correction=0).clamp(min=1e-6)
            weights = torch.softmax(-scored.values / (self.temperature * spread), 0)
            mean = (weights[:, None, None] * macros).sum(0)
        return rollout.result(best)
