"""Plans by gradient descent on the macro-actions, through the level's own predictions.

Source: energy-based inference as in H-JEPA (arXiv 2610.06805) and UPN (Srinivas et al., 2018, arXiv 1804.00645); the
optimiser is Adam (Kingma and Ba, 2015, arXiv 1412.6980).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hplan.planning.energy import Guided
from hplan.planning.rollout import PLAN_STEPS, Rollout, bounds, check_continuous, shape_of
from hplan.types import Budget, Energy, PlanResult, StepCost, WorldModel
from hplan.validation import Count, Positive

EDGE = 0.999  # of the half range: beyond it there is hardly a gradient any more


class GradientDescent:
    """For continuous macro-actions. A few candidates descend side by side the value that sampled ones are judged by:
    the energy of their best step, and what they cost up to it. They begin at random, or around what a guide does.

    The best candidate of all rounds is the plan. A round predicts every candidate once; its backward pass, which costs
    about as much as two predictions, is no evaluation."""

    def __init__(
        self,
        *,
        candidates: Count = 16,
        rounds: Count = 30,
        plan_steps: Count = PLAN_STEPS,
        rate: Positive = 0.1,
        enough: float = 0.5,
    ) -> None:
        """`candidates` and `rounds` shrink to the budget, `plan_steps` (steps of the level) to its horizon. `rate`: of
        the optimiser, in half ranges; `enough`: share of the goal's threshold at which no further round is taken."""
        self.candidates, self.rounds, self.plan_steps = candidates, rounds, plan_steps
        self.rate, self.enough = rate, enough

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
            return self._descend(Rollout(level, start.clone(), goal, step_cost), budget, generator)

    def _descend(self, rollout: Rollout, budget: Budget, generator: torch.Generator | None) -> PlanResult:
        rounds, candidates, length = shape_of(budget, self.rounds, self.candidates, self.plan_steps)
        low, high = bounds(rollout.level, rollout.start)
        centre, half = (low + high) / 2, (high - low) / 2
        noise = torch.randn(candidates, length, len(low), generator=generator).to(rollout.start)
        begin, rounds = self._begin(rollout, noise, rounds)
        free = torch.atanh(((begin - centre) / half).clamp(-EDGE, EDGE)).requires_grad_()
        adam, best = torch.optim.Adam([free], lr=self.rate), None
        for turn in range(rounds):
            scored = rollout.score(centre + half * free.tanh())
            found = scored.best()
            best = found if best is None else found.better_of(best)
            finite = scored.values[scored.values.isfinite()]
            done = float(best.energies[-1].detach()) <= self.enough * rollout.goal.threshold
            if done or turn == rounds - 1 or not len(finite) or not finite.requires_grad:
                break
            adam.zero_grad()
            finite.sum().backward(inputs=[free])
            adam.step()
        assert best is not None
        found = rollout.result(best)
        return replace(
            found, **{name: getattr(found, name).detach() for name in ("macros", "latents", "energies", "costs")}
        )

    def _begin(self, rollout: Rollout, noise: Tensor, rounds: int) -> tuple[Tensor, int]:
        """Candidates to begin with, (N, H, A), and how many rounds are left."""
        low, high = bounds(rollout.level, rollout.start)
        if not isinstance(rollout.goal, Guided) or rounds < 2:
            return torch.clamp((low + high + (high - low) * noise / 2) / 2, low, high), rounds
        noise[0] = 0.0  # just what the guide says
        with torch.no_grad():
            return rollout.follow(rollout.goal.guide, noise).macros, rounds - 1
