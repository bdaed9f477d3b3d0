"""Planning towards a map where one pass tells of all macro-actions how near they bring it (`SweptLevel.sweep`).

Sweeping    a few words ahead: the best few of all are each followed by a greedy rollout, and the best of these is taken
Ordering    which part of a goal first: orders of its symbols are each imagined as a whole greedy episode

Greedy is half of it: what burns, flows or falls has to come last, or it undoes the rest. An order is found part by
part: of all orders as long, the `kept` best go on, each judged by how near its imagined episode ever came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from hplan.levels.cellular import NEARBY
from hplan.types import Budget, Energy, PlanResult, StepCost, SweptLevel, WorldModel, is_swept
from hplan.validation import Count, check_arguments


def target_of(goal: Energy) -> Tensor | None:
    """The latent (*z) that an energy measures the distance to; None where it measures something else."""
    inner: Any = goal
    while hasattr(inner, "energy"):  # lifted from the level above, or with a way there
        inner = inner.energy
    return getattr(inner, "target", None)


class Sweeping:
    """Looks `ahead` + 1 macro-actions far, and plans the first `taken` of them: farther on, it will be seen better.
    `tried`: of the first one, how many are rolled out."""

    complete = False

    def __init__(self, *, tried: Count = 8, ahead: Count = 8, taken: Count = 3) -> None:
        check_arguments(Sweeping.__init__, {"tried": tried, "ahead": ahead, "taken": taken}, "settings")
        self.tried, self.ahead, self.taken = tried, ahead, taken

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
        evaluations = 0

        def best(z: Tensor, count: int) -> Tensor:
            """(B, *z) -> (B, count): the best macro-actions of each."""
            nonlocal evaluations
            found, spent = _after(level, z, goal)
            evaluations += spent
            return found.topk(min(count, found.shape[1]), largest=False).indices

        ahead = min(self.ahead, max(budget.evaluations // (2 * self.tried) - 1, 0), budget.horizon - 1)
        macros = [best(start[None], self.tried)[0]]
        z = level.predict(start.expand(len(macros[0]), *start.shape), macros[0])
        evaluations += len(z)
        path = [z]
        for _ in range(ahead):
            macro = best(z, 1)[:, 0]
            z = level.predict(z, macro)
            evaluations += len(z)
            macros.append(macro)
            path.append(z)
        cost = goal(z)
        if step_cost is not None:
            begins = [start.expand_as(z), *path[:-1]]
            cost = cost + torch.stack([step_cost(one, other) for one, other in zip(begins, path, strict=True)]).sum(0)
        chosen = int(cost.argmin())
        latents = torch.stack([start, *(each[chosen] for each in path)])
        energies = goal(latents)
        reached = bool(energies[-1] < energies[0] or energies[-1] <= goal.threshold) and bool(cost[chosen].isfinite())
        taken = torch.stack([each[chosen] for each in macros[: self.taken]])
        count = len(taken)
        return PlanResult(taken, latents[: count + 1], energies[: count + 1], torch.ones(count), reached, evaluations)


@dataclass
class _Episodes:
    """Imagined ones, one for each order: how near each came, and the map at the end of each of its parts."""

    nearest: list[float]
    ends: list[list[Tensor]]
    words: list[list[int]]  # that each part took
    evaluations: int


class Ordering:
    """Plans parts of a goal, each by the symbol that it has, for the level `below`, which carries them out by words.
    horizon: words of an imagined episode. patience: words without progress after which a part is over. kept: orders
    that go on, as long as one that is longer is better. samples: episodes of each order. least: cells of a symbol that
    are wrong, for it to be a part."""

    complete = False

    def __init__(
        self,
        below: SweptLevel,
        *,
        horizon: Count = 160,
        patience: Count = 8,
        kept: Count = 2,
        samples: Count = 2,
        least: Count = 8,
    ) -> None:
        self.below, self.horizon, self.patience, self.kept, self.least = below, horizon, patience, kept, least
        self.samples = samples

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
        target = target_of(goal)
        every = level.macro.size - 1
        if target is None:
            latents = torch.stack([start, start])
            return PlanResult(torch.tensor([every]), latents, goal(latents), torch.ones(1), False, 0)
        order, parts, words, spent = self._order(start, target, budget, generator)
        achieved = [torch.where(missed(end, target), -1, target) for end in parts]
        latents = torch.stack([start, *achieved, target])
        costs = torch.tensor([max(each, 1) * self.below.stride / level.stride for each in words])
        return PlanResult(torch.tensor([*order, every]), latents, goal(latents), costs, True, spent)

    def _order(
        self, start: Tensor, target: Tensor, budget: Budget, generator: torch.Generator | None
    ) -> tuple[tuple[int, ...], list[Tensor], list[int], int]:
        """The best order, the map at the end of each of its parts, the words that these and the rest take, and what
        was spent."""
        wrong = missed(start, target)
        symbols = [int(s) for s in target[target >= 0].unique() if int((wrong & (target == s)).sum()) >= self.least]
        front: list[tuple[int, ...]] = [()]
        known: dict[tuple[int, ...], tuple[float, list[Tensor], list[int]]] = {}
        spent, best = 0, torch.inf
        while front and spent < budget.evaluations:
            told = self._imagine(start, target, [order for order in front for _ in range(self.samples)], generator)
            spent += told.evaluations
            for k, order in enumerate(front):
                own = range(k * self.samples, (k + 1) * self.samples)
                nearest = min(own, key=told.nearest.__getitem__)
                known[order] = fmean(told.nearest[i] for i in own), told.ends[nearest], told.words[nearest]
            if (found := min(known[order][0] for order in front)) > best:
                break
            best = found
            front = sorted(front, key=lambda order: known[order][0])[: self.kept]
            front = [(*order, s) for order in front for s in symbols if s not in order]
        order = min(known, key=lambda order: (known[order][0], len(order)))
        return order, known[order][1], known[order][2], spent

    def _imagine(
        self, start: Tensor, target: Tensor, orders: Sequence[tuple[int, ...]], generator: torch.Generator | None
    ) -> _Episodes:
        """All orders at once, by what may come and not by what is likely: a chance of one in five comes in the end."""
        level, count = self.below, len(orders)
        z, whole = start.repeat(count, 1, 1), target.expand(count, -1, -1)
        at, least, since = [0] * count, [torch.inf] * count, [0] * count
        ends: list[list[Tensor]] = [[] for _ in orders]
        words: list[list[int]] = [[0] for _ in orders]
        nearest = torch.full((count,), torch.inf)
        evaluations = 0
        goals = torch.stack([part_of(start, target, order[:1]) if order else target for order in orders])
        for step in range(self.horizon):
            own = level.distance(z, goals).tolist()
            nearest = torch.minimum(nearest, level.distance(z, whole))
            for k, order in enumerate(orders):
                if own[k] < least[k] - 0.05:
                    least[k], since[k] = own[k], step
                over = step - since[k] > self.patience or own[k] <= 0.2
                if over and at[k] < len(order):
                    ends[k].append(z[k])
                    at[k], least[k], since[k] = at[k] + 1, torch.inf, step
                    words[k].append(0)
                    goals[k] = part_of(z[k], target, order[: at[k] + 1]) if at[k] < len(order) else target
                words[k][-1] += 1
            if all(a == len(o) and step - s > 2 * self.patience for a, o, s in zip(at, orders, since, strict=True)):
                break
            macro = level.sweep(z, goals).argmin(1)
            z = level.sample(z, macro, generator)
            evaluations += 2 * count
        for k, order in enumerate(orders):  # what there was no time for is not done
            ends[k] += [z[k]] * (len(order) - len(ends[k]))
            words[k] += [0] * (len(order) + 1 - len(words[k]))
        return _Episodes(nearest.tolist(), ends, words, evaluations)


def missed(z: Tensor, target: Tensor) -> Tensor:
    """(H, W) twice -> (H, W) bool: cells of the target that z has neither there nor next to it."""
    return torch.stack([z.roll(move, (-2, -1)) != target for move in NEARBY]).all(0)


def part_of(z: Tensor, target: Tensor, symbols: tuple[int, ...]) -> Tensor:
    """The cells of a map (H, W) that have these symbols, or that z has already; -1 elsewhere."""
    return torch.where(torch.isin(target, torch.tensor(symbols)) | ~missed(z, target), target, -1)


def _after(level: WorldModel, z: Tensor, goal: Energy) -> tuple[Tensor, int]:
    """(B, *z) -> (B, M) energies expected after each macro-action, and what that took: predicted one by one where the
    goal is no latent."""
    target = target_of(goal)
    if target is not None and is_swept(level):
        return level.sweep(z, target), len(z)
    macros = torch.arange(level.macro.size)
    found = [goal(level.predict(one.expand(len(macros), *one.shape), macros)) for one in z]
    return torch.stack(found), len(z) * len(macros)
