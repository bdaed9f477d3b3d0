"""Planning for reward: what is paid on the way, and what can still be had at the end.

return of a plan  =  sum over its steps of  discount^t P(not ended before) r_t   +   discount^H P(not ended) value(z_H)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hplan.planning.energy import Return
from hplan.planning.rollout import bounds, shape_of
from hplan.types import Budget, Energy, Planner, PlanResult, StepCost, WorldModel

NEVER = -100.0  # log-probability of a macro-action that play never showed to be possible
SMALLEST = 0.05  # of the half range: the deviation of what is tried never shrinks below this


class Lookahead:
    """Beam search over discrete macro-actions; over continuous ones the cross-entropy method, which begins with what
    the level's policy proposes (as TD-MPC: Hansen et al., 2022, arXiv 2203.04955). Any goal but a return is planned for
    by `usual`."""

    def __init__(
        self,
        usual: Planner,
        *,
        beam: int = 16,
        horizon: int = 8,
        candidates: int = 64,
        rounds: int = 3,
        elites: int = 8,
    ) -> None:
        """beam: plans kept at every step; horizon: steps of the level; candidates, rounds, elites: as `CrossEntropy`
        has them."""
        self.usual, self.beam, self.horizon = usual, beam, horizon
        self.candidates, self.rounds, self.elites = candidates, rounds, elites

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
        if not isinstance(goal, Return):
            return self.usual.plan(level, start, goal, budget=budget, step_cost=step_cost, generator=generator)
        if level.macro.kind == "discrete":
            return self._search(level, start, goal, budget, step_cost)
        return self._sample(level, start, goal, budget, step_cost, generator)

    def _search(
        self, level: WorldModel, start: Tensor, goal: Return, budget: Budget, step_cost: StepCost | None
    ) -> PlanResult:
        plans = _Plans.at(start[None])
        evaluations, stopped = 0, [plans]
        for _ in range(min(self.horizon, budget.horizon)):
            rows, macros = _possible(level, plans.latents[-1])
            if not len(rows) or (evaluations and evaluations + len(rows) > budget.evaluations):
                break
            evaluations += len(rows)
            plans = plans.of(rows).after(level, goal, macros, step_cost)
            plans = plans.of(_best_of_each(level.keys(plans.latents[-1]), plans.worth(goal), self.beam))
            stopped.append(plans)
        if level.capabilities.events:  # beside doing nothing: a plan ends where no more is paid
            plans = max(stopped, key=lambda each: float(each.worth(goal).max()))
        return plans.result(goal, evaluations)

    def _sample(
        self,
        level: WorldModel,
        start: Tensor,
        goal: Return,
        budget: Budget,
        step_cost: StepCost | None,
        generator: torch.Generator | None,
    ) -> PlanResult:
        rounds, candidates, horizon = shape_of(budget, self.rounds, self.candidates, self.horizon)
        low, high = bounds(level, start)
        half, mean = (high - low) / 2, ((low + high) / 2).expand(horizon, -1)
        deviation, best = half.expand(horizon, -1), None
        for turn in range(rounds):
            noise = torch.randn(candidates, horizon, len(low), generator=generator).to(start)
            noise[0] = 0.0
            plans = _Plans.at(start.expand(candidates, *start.shape))
            for step in range(horizon):
                middle = None if turn else goal.returns.propose(plans.latents[-1])
                middle = mean[step] if middle is None else middle
                macros = torch.clamp(middle + deviation[step] * noise[:, step], low, high)
                plans = plans.after(level, goal, macros, step_cost)
            worth = plans.worth(goal)
            top = plans.of(worth.topk(min(self.elites, candidates)).indices)
            if best is None or bool(top.worth(goal)[0] > best.worth(goal)[0]):
                best = top.of(torch.zeros(1, dtype=torch.long))
            macros = torch.stack(top.macros, 1)
            mean, deviation = macros.mean(0), torch.maximum(macros.std(0, correction=0), SMALLEST * half)
        assert best is not None
        return best.result(goal, rounds * candidates * horizon)


@dataclass(frozen=True)
class _Plans:
    """B plans so far: latents, one (B, *z) more than macros (B, ...); of each what it was paid, and the discount of
    what comes next, with the chance of it (B,)."""

    latents: list[Tensor]
    macros: list[Tensor]
    paid: Tensor
    left: Tensor

    @staticmethod
    def at(z: Tensor) -> _Plans:
        return _Plans([z], [], torch.zeros(len(z)), torch.ones(len(z)))

    def of(self, rows: Tensor) -> _Plans:
        latents, macros = ([each[rows] for each in some] for some in (self.latents, self.macros))
        return _Plans(latents, macros, self.paid[rows], self.left[rows])

    def after(self, level: WorldModel, goal: Return, macros: Tensor, step_cost: StepCost | None) -> _Plans:
        """One more step of each; what costs infinitely much is worth less than anything."""
        z = self.latents[-1]
        following = level.predict(z, macros)
        reward, ends = goal.returns.step(z, macros, following)
        doubt = goal.returns.doubt(z, macros, following)
        cost = None if step_cost is None else step_cost(z, following)
        if level.capabilities.events and cost is not None:  # what failed before takes as many tries
            tries = 1 + cost
            reward, ends = torch.where(reward > 0, reward / tries, reward), 1 - (1 - ends) / tries
        left = self.left * goal.returns.discount**level.stride * (1 - ends)
        paid = self.paid + self.left * (reward - doubt)
        if cost is not None:
            paid = torch.where(cost.isinf(), -torch.inf, paid)
        return _Plans([*self.latents, following], [*self.macros, macros], paid, left)

    def worth(self, goal: Return) -> Tensor:
        """(B,)"""
        return self.paid + self.left * goal.returns.value(self.latents[-1])

    def result(self, goal: Return, evaluations: int) -> PlanResult:
        worth = self.worth(goal)
        best = int(worth.argmax())
        steps = len(self.macros) if bool(worth[best].isfinite()) else 0  # else all is forbidden
        latents = torch.stack([each[best] for each in self.latents[: steps + 1]])
        return PlanResult(
            macros=torch.stack([each[best] for each in self.macros])[:steps] if self.macros else torch.zeros(0).long(),
            latents=latents,
            energies=goal(latents),
            costs=torch.ones(steps),
            reached=False,
            evaluations=evaluations,
        )


def _possible(level: WorldModel, z: Tensor) -> tuple[Tensor, Tensor]:
    """(B, *z) -> (N,) each: rows, and the macro-actions that are possible there. Where a level of actions knows of
    none, all are."""
    if level.possible is not None:
        rows, macros, _ = level.possible(z)
        return rows, macros
    possible = level.prior(z) > NEVER
    possible |= ~possible.any(1, keepdim=True)
    rows, macros = torch.nonzero(possible, as_tuple=True)
    return rows, macros


def _best_of_each(keys: Tensor, worth: Tensor, count: int) -> Tensor:
    """Rows of the best plans, at most one of those that came to the same latent."""
    order = worth.argsort(descending=True, stable=True)
    _, which = torch.unique(keys[order], dim=0, return_inverse=True)
    first = torch.full((int(which.max()) + 1,), len(order)).scatter_reduce(0, which, torch.arange(len(order)), "amin")
    return order[first.sort().values[:count]]
