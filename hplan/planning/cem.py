"""Cross-entropy method: plans over continuous macro-actions by sampling, keeping the best, and sampling around them.

Source: Rubinstein and Kroese, 2004, "The Cross-Entropy Method"; for planning with learned models, PlaNet (Hafner et
al., 2019, arXiv 1811.04551, algorithm 2). Noise is correlated in time as in iCEM (Pinneri et al., 2020, arXiv
2008.06389): independent noise averages out, and never goes around a corner.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hplan.planning.energy import Guide, Guided
from hplan.planning.rollout import PLAN_STEPS, Candidate, Rollout, bounds, check_continuous, shape_of
from hplan.types import Budget, Energy, PlanResult, StepCost, UsageError, WorldModel
from hplan.validation import Count, Whole

KEPT = 0.8  # correlation of the noise of one step with that of the next
GOT_ON = 0.5  # share of the way that is left where a guide leads well enough, though not to the goal
LONGER = 2  # times as many steps have plans where shorter ones do not reach the goal
SMALLEST = 0.05  # of the half range: the deviation never shrinks below this, so that late rounds still explore


class CrossEntropy:
    """For continuous macro-actions. A round is one batch of candidates; the best one seen is cut at its best step.
    Rounds end as soon as it reaches well into the goal. Where none reaches it, plans twice as long are tried.

    Where the goal has a guide (`Guided`), the first of these rounds does what it says, more or less, and a few
    candidates do for many. Only where neither length leads half of the way it samples at large."""

    def __init__(
        self,
        *,
        candidates: Count = 64,
        rounds: Count = 3,
        elites: Count = 8,
        guided: Whole = 16,
        plan_steps: Count = PLAN_STEPS,
        enough: float = 0.5,
    ) -> None:
        """`candidates` and `rounds` shrink to the budget, `plan_steps` (steps of the level) to its horizon. `guided`:
        candidates where there is a guide, a quarter of them elites at the most; 0 to do without. `enough`: share of the
        goal's threshold at which no further round is taken; at all of it, subgoal steps end sloppily and drift. Raises
        UsageError where there would be none of the first three."""
        if min(candidates, rounds, elites) < 1 or guided < 0:
            raise UsageError(
                f"candidates {candidates}, rounds {rounds}, elites {elites}, guided {guided}: each has to be 1 at "
                "least, but guided, which may be 0"
            )
        self.candidates, self.rounds, self.elites, self.plan_steps = candidates, rounds, elites, plan_steps
        self.guided, self.enough = guided, enough

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
        guide = goal.guide if isinstance(goal, Guided) and self.guided else None
        best = self._sample(rollout, self.plan_steps, budget, None, guide, generator)
        for by, share in ((guide, 0.0), (None, GOT_ON)) if guide else ((None, 0.0),):
            first, last = (float(energy) - goal.threshold for energy in best.energies[[0, -1]])
            left = replace(budget, evaluations=budget.evaluations - rollout.evaluations)
            longest = LONGER * self.plan_steps
            if budget.horizon <= self.plan_steps or left.evaluations < longest * self.elites:
                longest = self.plan_steps if by is not guide else 0  # no longer ones, but others
            if last > share * max(first, 0.0) and longest and left.evaluations:
                best = self._sample(rollout, longest, left, best, by, generator)
        return rollout.result(best)

    def _sample(
        self,
        rollout: Rollout,
        longest: int,
        budget: Budget,
        best: Candidate | None,
        guide: Guide | None,
        generator: torch.Generator | None,
    ) -> Candidate:
        """Rounds of plans of `longest` steps; the best of them and of what was the best before."""
        start, threshold = rollout.start, rollout.goal.threshold
        rounds, candidates, horizon = shape_of(budget, self.rounds, self.guided if guide else self.candidates, longest)
        low, high = bounds(rollout.level, start)
        mean, deviation = ((low + high) / 2).expand(horizon, -1), ((high - low) / 2).expand(horizon, -1)
        apart = torch.arange(horizon)
        lasting = torch.linalg.cholesky(KEPT ** (apart[:, None] - apart).abs().float()).to(start)
        for turn in range(rounds):
            noise = lasting @ torch.randn(candidates, *mean.shape, generator=generator).to(start)
            if guide and not turn:
                noise[0] = 0.0  # just what it says
                scored = rollout.follow(guide, noise)
            else:
                scored = rollout.score(torch.clamp(mean + deviation * noise, low, high))
            best = scored.best() if best is None else scored.best().better_of(best)
            if float(best.energies[-1]) <= self.enough * threshold:
                break
            kept = min(self.elites, max(candidates // 4, 1) if guide else candidates)  # of a few, a few
            elite = scored.macros[scored.values.topk(kept, largest=False).indices]
            mean = elite.mean(0)
            deviation = torch.maximum(elite.std(0, correction=0), SMALLEST * (high - low) / 2)
        assert best is not None
        return best
