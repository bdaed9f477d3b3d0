"""Search over a few of a level's continuous macro-actions, each held for several steps, as if they were discrete.

Source: search on state lattices (Pivtoraiko and Kelly, 2005, "Generating near minimal spanning control sets"); here
latents that are close are merged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any, cast

import torch
from torch import Tensor

from hplan.planning.cem import CrossEntropy
from hplan.planning.energy import Informed, NearLatent
from hplan.planning.rollout import check_continuous
from hplan.planning.search import BestFirstSearch, _Tree
from hplan.types import Budget, Energy, MacroSpec, PlanResult, StepCost, WorldModel
from hplan.validation import Count, Positive

FEW = 3  # dimensions of macro-actions that are combined; of more, one at a time is moved along
END = 512  # evaluations that are left for the last steps to the goal, and for telling the way to there step by step


class LatticeSearch(BestFirstSearch):
    """Best-first search that holds one of a few extreme macro-actions for `held` steps, and the cross-entropy method
    for the last of them: a lattice seldom meets the goal itself. A* where the goal is a latent: no step is taken to
    lead farther than the farthest one from the start.

    No level is needed above, and `held` is a stride by hand: this is what a flat agent can do at its best."""

    def __init__(self, *, held: Count = 8, apart: Positive = 0.5, batch: Count = 64) -> None:
        """`apart`: latents closer than this share of the way that a macro-action leads are merged."""
        super().__init__(prior_weight=0.0, floors=(0.0,), batch=batch)
        self.held, self.apart = held, apart

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
        last, actions = CrossEntropy(), extremes(level.macro).to(start)
        held = min(self.held, budget.horizon)
        if budget.evaluations < END + 2 * held * len(actions):  # nothing that is worth being called a search
            return last.plan(level, start, goal, budget=budget, step_cost=step_cost, generator=generator)
        lattice = _Held(level, actions, held, self.apart, start)
        near = _Near(goal, max(goal.threshold, lattice.farthest / 2))
        wanted = (
            near if not isinstance(goal, NearLatent) else Informed(near, lambda z: near.beyond(z) / lattice.farthest)
        )
        tree = _Tree(cast(WorldModel, lattice), start, wanted, budget.horizon // held)
        tree.evaluations = len(lattice.actions)
        tree.widen(0)
        self._grow(tree, (budget.evaluations - END) // held, step_cost)
        path = self._unfolded(lattice, tree.path(), goal)
        spent = held * tree.evaluations + len(path)
        left = Budget(budget.evaluations - spent, budget.horizon - len(path))
        if not tree.reached or path.reached or min(left.evaluations, left.horizon) < 1:
            return replace(path, evaluations=spent)
        rest = last.plan(level, path.latents[-1], goal, budget=left, step_cost=step_cost, generator=generator)
        return replace(_joined(path, rest), evaluations=spent + rest.evaluations)

    def _unfolded(self, lattice: _Held, found: PlanResult, goal: Energy) -> PlanResult:
        """The same in steps of the level itself, up to the first that meets the goal."""
        macros = lattice.actions[found.macros.to(lattice.actions.device)].repeat_interleave(lattice.steps, 0)
        latents = [found.latents[0]]
        for macro in macros:
            latents.append(lattice.level.predict(latents[-1][None], macro[None])[0])
        path, costs = torch.stack(latents), (found.costs / lattice.steps).repeat_interleave(lattice.steps)
        energies = goal(path)
        met = torch.nonzero(energies <= goal.threshold)[:1, 0].tolist()
        end = met[0] if met else len(macros)
        return PlanResult(macros[:end], path[: end + 1], energies[: end + 1], costs[:end], bool(met), 0)

    def _extra(
        self, level: Any, z: Tensor, macro: Tensor, following: Tensor, step_cost: StepCost | None
    ) -> list[float]:
        """What the steps cost beyond one each, on average."""
        total, action = torch.zeros(len(z), device=z.device), level.actions[macro]
        for before, after in zip(level.way[:-1], level.way[1:], strict=True):
            total += torch.tensor(super()._extra(level.level, before, action, after, step_cost), device=z.device)
        return (total / level.steps).tolist()


def extremes(spec: MacroSpec) -> Tensor:
    """(K, A): the ends of the ranges, in all combinations with their middles, or one at a time."""
    low, high = torch.tensor(spec.low), torch.tensor(spec.high)
    combined = [list(signs) for signs in product((-1.0, 0.0, 1.0), repeat=min(spec.size, FEW)) if any(signs)]
    ways = torch.tensor(combined) if spec.size <= FEW else torch.cat([torch.eye(spec.size), -torch.eye(spec.size)])
    return (low + high + (high - low) * ways) / 2


class _Near:
    """A goal, met from farther away."""

    def __init__(self, goal: Energy, threshold: float) -> None:
        self.goal, self.threshold = goal, threshold

    def __call__(self, z: Tensor) -> Tensor:
        return self.goal(z)

    def beyond(self, z: Tensor) -> Tensor:
        return (self.goal(z) - self.threshold).clamp(min=0)


class _Held:
    """A level of which these macro-actions (K, A) are held for `steps`, as `hplan.types.WorldModel`. `way`: what was
    predicted last, by step. Latents closer than `apart` times the farthest that one leads from the start are merged."""

    def __init__(self, level: WorldModel, actions: Tensor, steps: int, apart: float, start: Tensor) -> None:
        self.level, self.actions, self.steps = level, actions, steps
        self.macro = MacroSpec("discrete", len(actions))
        self.way: Sequence[Tensor] = ()
        here = start.expand(len(actions), *start.shape)
        every = self.predict(here, torch.arange(len(actions), device=start.device))
        self.farthest = float(level.distance(here, every).max().clamp(min=1e-6))
        self.radius, self.known = apart * self.farthest, start[None]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.level, name)

    def prior(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), len(self.actions), device=z.device)

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        self.way = [z]
        for _ in range(self.steps):
            self.way.append(self.level.predict(self.way[-1], self.actions[macro]))
        return self.way[-1]

    def keys(self, z: Tensor) -> Tensor:
        """(B, 1): the number of the latent that it is merged with."""
        before = len(self.known)
        every = z.repeat_interleave(before, 0), self.known.repeat(len(z), *(1,) * (z.ndim - 1))
        away, nearest = self.level.distance(*every).view(len(z), before).min(1)
        for row in torch.nonzero(away >= self.radius)[:, 0].tolist():
            nearest[row] = before + self._among(z[row], self.known[before:])
        return nearest[:, None]

    def _among(self, z: Tensor, latest: Tensor) -> int:
        """Which of the latest ones a latent (*z) is merged with; the next one, if none."""
        away = self.level.distance(z.expand_as(latest), latest)
        if len(away) and float(away.min()) < self.radius:
            return int(away.argmin())
        self.known = torch.cat([self.known, z[None]])
        return len(latest)


def _joined(one: PlanResult, other: PlanResult) -> PlanResult:
    """One plan after another, which begins where it ends."""
    return PlanResult(
        torch.cat([one.macros, other.macros]),
        torch.cat([one.latents, other.latents[1:]]),
        torch.cat([one.energies, other.energies[1:]]),
        torch.cat([one.costs, other.costs]),
        other.reached,
        one.evaluations + other.evaluations,
    )
