"""What planners that sample share: candidates rolled out in one batch, scored, the best one cut at its best step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hplan.planning.energy import Guide
from hplan.types import Budget, Energy, PlanResult, StepCost, UsageError, WorldModel

PLAN_STEPS = 8  # of a sampled plan, where nothing says how far its goal is
UNREAL = 0.2  # energy that a step is worse by for each unit by which it is unlike real ones
STEP_WEIGHT = 0.5  # energy that a step has to save for each unit that it costs beyond one: failures near it, and chance
STEP_COST = 0.01  # energy that one more step has to save; breaks ties in favour of arriving early


def check_continuous(level: WorldModel, planner: object) -> None:
    if level.macro.kind != "continuous":
        raise UsageError(
            f"{type(planner).__name__} samples continuous macro-actions, and level {level.index} has "
            f"{level.macro.size} discrete ones: use BestFirstSearch there"
        )


def bounds(level: WorldModel, like: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest macro-action, (A,) each."""
    return torch.tensor(level.macro.low).to(like), torch.tensor(level.macro.high).to(like)


def shape_of(budget: Budget, rounds: int, candidates: int, horizon: int) -> tuple[int, int, int]:
    """(rounds, candidates, horizon) that the budget allows: fewer candidates first, then rounds, then steps.

    Raises UsageError for a budget of less than one evaluation or step.
    """
    if budget.evaluations < 1 or budget.horizon < 1:
        raise UsageError(f"a plan takes 1 evaluation and 1 step or more, not {budget}")
    horizon = min(horizon, budget.horizon, budget.evaluations)
    rounds = max(min(rounds, budget.evaluations // (2 * horizon)), 1)
    return rounds, max(min(candidates, budget.evaluations // (rounds * horizon)), 1), horizon


@dataclass(frozen=True)
class Candidate:
    """One plan, cut at its best step: value (), macros (L, A), latents (L+1, D), energies (L+1,), costs (L,)."""

    value: Tensor
    macros: Tensor
    latents: Tensor
    energies: Tensor
    costs: Tensor

    def better_of(self, other: Candidate) -> Candidate:
        return self if bool(self.value < other.value) else other


@dataclass(frozen=True)
class Scored:
    """N candidates of H steps: macros (N, H, A), latents (N, H+1, D), energies (N, H+1), costs (N, H), values (N,).

    The value of a candidate is that of its best step: `cuts` (N,) of its steps are worth doing, 1 at least. Infinite:
    it begins with a forbidden step.
    """

    macros: Tensor
    latents: Tensor
    energies: Tensor
    costs: Tensor
    values: Tensor
    cuts: Tensor

    def best(self) -> Candidate:
        row = self.values.argmin()
        cut = int(self.cuts[row]) if bool(self.values[row].isfinite()) else 0  # a forbidden step is none
        return Candidate(
            self.values[row],
            self.macros[row, :cut],
            self.latents[row, : cut + 1],
            self.energies[row, : cut + 1],
            self.costs[row, :cut],
        )


class Rollout:
    """Imagines candidates from one start and counts what it costs."""

    def __init__(self, level: WorldModel, start: Tensor, goal: Energy, step_cost: StepCost | None) -> None:
        self.level, self.start, self.goal, self.step_cost = level, start, goal, step_cost
        self.evaluations = 0

    def score(self, macros: Tensor) -> Scored:
        """(N, H, A) -> all of them rolled out: N * H predictor evaluations, H calls of the predictor."""
        path = [self.start.expand(len(macros), *self.start.shape)]
        for macro in macros.unbind(1):
            path.append(self.level.predict(path[-1], macro))
        return self._judge(macros, torch.stack(path, 1))

    def follow(self, guide: Guide, noise: Tensor) -> Scored:
        """noise (N, H, A) -> as many candidates that do at every step what `guide` says there, off by as many of its
        deviations: N * H predictor evaluations."""
        low, high = bounds(self.level, self.start)
        path, macros = [self.start.expand(len(noise), *self.start.shape)], []
        for off in noise.unbind(1):
            mean, deviation = guide(path[-1])
            macros.append(torch.clamp((low + high + (high - low) * (mean + deviation * off)) / 2, low, high))
            path.append(self.level.predict(path[-1], macros[-1]))
        return self._judge(torch.stack(macros, 1), torch.stack(path, 1))

    def _judge(self, macros: Tensor, latents: Tensor) -> Scored:
        """(N, H, A), (N, H+1, D): what candidates cost, where they lead."""
        count, horizon = macros.shape[:2]
        self.evaluations += count * horizon
        energies = self.goal(latents.flatten(0, 1)).view(count, horizon + 1)
        start, following = latents[:, :-1].flatten(0, 1), latents[:, 1:].flatten(0, 1)
        extra = self._extra(start, following, macros.flatten(0, 1)).view(count, horizon)
        paid = STEP_COST * torch.arange(1, horizon + 1, device=extra.device) + STEP_WEIGHT * extra.cumsum(1)
        values, cuts = (energies[:, 1:] + paid + UNREAL * self._unreal(start, following, count)).min(1)
        return Scored(macros, latents, energies, 1 + extra, values, cuts + 1)

    def _extra(self, start: Tensor, following: Tensor, macros: Tensor) -> Tensor:
        """(B, D), (B, D), (B, A) -> (B,): what steps cost beyond one each, as in a search: the steps by which their
        ends may be off, beyond the first, and what `step_cost` says."""
        extra = (self.level.uncertainty(start, macros) - 1).clamp(min=0)
        return extra if self.step_cost is None else extra + self.step_cost(start, following)

    def _unreal(self, start: Tensor, following: Tensor, count: int) -> Tensor:
        """Steps of `count` candidates, (N * H, D) twice -> (N, H): by how much the least real step so far is less real
        than play's, and than the first step of any candidate can help: a start that play never saw must not keep plans
        from leaving it."""
        if self.level.compatibility is None:
            return start.new_zeros(count, len(start) // count)
        energy = self.level.compatibility(start, following).view(count, -1)
        return (energy - energy[:, 0].min().clamp(min=0)).clamp(min=0).cummax(1).values

    def result(self, best: Candidate | None) -> PlanResult:
        assert best is not None
        return PlanResult(
            macros=best.macros,
            latents=best.latents,
            energies=best.energies,
            costs=best.costs,
            reached=bool(best.energies[-1] <= self.goal.threshold),
            evaluations=self.evaluations,
        )
