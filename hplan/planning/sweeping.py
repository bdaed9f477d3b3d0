"""Planning towards a map where one pass tells of all macro-actions how near they bring it (`SweptLevel.sweep`).

Sweeping    a few words ahead: the best few of all are each followed by a greedy rollout, and the best of these is taken
Ordering    which part of a goal first: orders of its symbols are each imagined as a whole greedy episode

Greedy is half of it: what burns, flows or falls has to come last, or it undoes the rest. An order is found part by
part: of all orders as long, the `kept` best go on, each judged by how near its imagined episode ever came.

A part is the cells of one symbol; or these with scaffolding: the symbol also where the goal has what no macro-action
makes, next to it or where something else is now. For something may take it away later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from scipy.ndimage import binary_dilation, label
from torch import Tensor

from hplan.levels.cellular import missed
from hplan.types import Budget, Energy, PlanResult, StepCost, SweptLevel, WorldModel, is_swept
from hplan.validation import Count, check_arguments

PROGRESS, DONE = 0.05, 0.2  # distance to a part: what counts as nearer, and as there
BETTER = 0.5  # by how much nearer a longer order has to come: less is chance


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


@dataclass(frozen=True)
class _Order:
    """Parts in turn, and what came of them in each of S imagined episodes: the maps (S, H, W) at the end of each part;
    the words (S,) of each part, and of the rest; how near the target it came (S,) in the parts, and in all."""

    parts: tuple[int, ...]
    ends: tuple[Tensor, ...]
    words: tuple[Tensor, ...]
    near: Tensor
    nearest: Tensor


class Ordering:
    """Plans parts of a goal, for the level `below`, which carries them out by words: of V symbols, macro-action k is
    symbol k, V + k the same with scaffolding, and 2 V all of the goal. horizon: words of an imagined episode. patience:
    words without progress after which a part is over. kept: orders that go on, as long as one that is longer is better.
    samples: episodes of each order. least: cells that are wrong, or scaffolding, for them to be a part."""

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
        parts = self._parts(start, target)
        order, spent = self._search(start, target, parts, budget, generator)
        best = int(order.nearest.argmin())
        ends = [(end[best], parts[k]) for k, end in zip(order.parts, order.ends, strict=True)]
        achieved = [torch.where(missed(end, wanted), -1, wanted) for end, wanted in ends]
        latents = torch.stack([start, *achieved, target])
        words = torch.stack([each[best] for each in order.words]).clamp(min=1)
        costs = words * (self.below.stride / level.stride)
        return PlanResult(torch.tensor([*order.parts, every]), latents, goal(latents), costs, True, spent)

    def _parts(self, start: Tensor, target: Tensor) -> dict[int, Tensor]:
        """The map (H, W) of which each part that is worth it has some cells."""
        wrong, found, symbols = missed(start, target), {}, len(self.below.makes)
        for k in range(symbols):
            if int((wrong & (target == k)).sum()) >= self.least:
                found[k] = target
            raised = scaffolding(self.below, target, k, wrong)
            if int((raised != target).sum()) >= self.least:
                found[symbols + k] = raised
        return found

    def _search(
        self,
        start: Tensor,
        target: Tensor,
        parts: Mapping[int, Tensor],
        budget: Budget,
        generator: torch.Generator | None,
    ) -> tuple[_Order, int]:
        """The best order, and what was spent."""
        many = start.expand(self.samples, *start.shape)
        _, words, near, spent = self._toward(many, target.expand_as(many), target, self.horizon, generator)
        best = _Order((), (), (words,), torch.full_like(near, torch.inf), near)
        front = [best]
        while spent < budget.evaluations:
            front, more = self._longer(front, parts, start, target, generator)
            spent += more
            if not front or front[0].nearest.mean() > best.nearest.mean() - BETTER:
                break
            best, front = front[0], front[: self.kept]
        return best, spent

    def _longer(
        self,
        orders: Sequence[_Order],
        parts: Mapping[int, Tensor],
        start: Tensor,
        target: Tensor,
        generator: torch.Generator | None,
    ) -> tuple[list[_Order], int]:
        """Each order with one part more, the best first. Its episodes go on from where its last part was over."""
        pairs = [(order, k) for order in orders for k in parts if k not in order.parts]
        if not pairs:
            return [], 0
        many, symbols = start.expand(self.samples, *start.shape), len(self.below.makes)
        begins = torch.cat([order.ends[-1] if order.ends else many for order, _ in pairs])
        each = [(parts[k], [p % symbols for p in (*order.parts, k)]) for order, k in pairs for _ in range(self.samples)]
        goals = torch.stack([part_of(z, wanted, own) for z, (wanted, own) in zip(begins, each, strict=True)])
        left = self.horizon - torch.cat([sum(order.words[:-1], torch.zeros_like(order.words[0])) for order, _ in pairs])
        end, part, near, spent = self._toward(begins, goals, target, left, generator, self.patience)
        near = torch.minimum(near, torch.cat([order.near for order, _ in pairs]))
        _, rest, nearest, more = self._toward(end, target.expand_as(end), target, left - part, generator)
        nearest = torch.minimum(near, nearest)
        found = [
            _Order((*order.parts, k), (*order.ends, e), (*order.words[:-1], p, r), n, m)
            for (order, k), e, p, r, n, m in zip(
                pairs, *(each.split(self.samples) for each in (end, part, rest, near, nearest)), strict=True
            )
        ]
        return sorted(found, key=lambda order: float(order.nearest.mean())), spent + more

    def _toward(
        self,
        z: Tensor,
        goals: Tensor,
        target: Tensor,
        words: Tensor | int,
        generator: torch.Generator | None,
        patience: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, int]:
        """Greedily from z to goals (B, H, W), by what may come and not by what is likely: a chance of one in five comes
        in the end. Until `patience` words led no nearer (twice the planner's if None), or the words (B,) that there are
        for it are used up. Returns the maps at the end, the words that it took (B,), how near the target it came (B,),
        and what was spent."""
        level, patience = self.below, patience or 2 * self.patience
        end, own = z.clone(), torch.arange(len(z))
        allowed = torch.as_tensor(words).expand(len(z))
        used, nearest = torch.zeros(len(z), dtype=torch.long), torch.full((len(z),), torch.inf)
        least, since, spent = nearest.clone(), used.clone(), 0
        for step in range(self.horizon + 1):
            at = level.distance(z, goals[own])
            nearest[own] = nearest[own].minimum(level.distance(z, target.expand_as(z)))
            nearer = at < least[own] - PROGRESS
            least[own[nearer]], since[own[nearer]] = at[nearer], step
            going = (step - since[own] <= patience) & (at > DONE) & (step < allowed[own])
            over = own[~going]
            end[over], used[over] = z[~going], step
            z, own = z[going], own[going]
            if not len(own):
                break
            z = level.sample(z, level.sweep(z, goals[own]).argmin(1), generator)
            spent += 2 * len(z)
        return end, used, nearest, spent


def scaffolding(level: SweptLevel, target: Tensor, symbol: int, wrong: Tensor) -> Tensor:
    """A map (H, W) with the symbol also where the target has one that no macro-action makes, though all take its place:
    in regions beside the symbol; of a symbol that the target does not have, in what is wrong (H, W) now."""
    makes = level.makes
    bare = ~makes & (level.yields > 0.5)
    if not bool(makes[symbol]):
        return target
    raised, beside = target.clone(), torch.from_numpy(binary_dilation((target == symbol).numpy()))
    for other in target[target >= 0].unique().tolist():
        if bool(bare[other]):
            regions = torch.zeros_like(target)
            label((target == other).numpy(), output=regions.numpy())
            raised[torch.isin(regions, regions[beside & (regions > 0)])] = symbol
            if not bool(beside.any()):
                raised[wrong & (target == other)] = symbol
    return raised


def part_of(z: Tensor, target: Tensor, symbols: Sequence[int]) -> Tensor:
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
