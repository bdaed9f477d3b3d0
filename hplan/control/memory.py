"""What subgoal steps cost beyond a step each: failures remembered, and straying from the subgoal above forbidden.

Soft memory of failure: a subgoal step that did not work costs more for the rest of the episode, and is never forbidden.

A hard ban cuts off the only passage when the failure was bad luck; no memory repeats one infeasible subgoal step for
ever. Where a complete search found no way to carry a subgoal step out, it has seen all that can be done instead, so
that this need not be tried out subgoal step by upper. And what failed in one place is likely to fail in places like it:
the next try is elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from hplan.control.plans import ControlConfig
from hplan.types import Budget, PlanResult, StepCost, WorldModel

DOUBLINGS = 6  # after which a subgoal step costs no more: it is never forbidden
ALIKE, FORGETS = 0.5, 3.0  # steps that a failed event costs elsewhere, at most; cells that differ, for e times less


@dataclass(frozen=True)
class FailureMemory:
    """Failed subgoal steps (z, z') of one level; calling it gives the extra cost of subgoal steps near them, as
    `hplan.types.StepCost`."""

    level: WorldModel
    radius: float = 1.0  # steps of the level within which a subgoal step counts as the same
    penalty: float = 2.0  # extra steps that the first failure costs; each one more twice as many as the one before
    steps: tuple[tuple[Tensor, Tensor], ...] = ()
    times: tuple[int, ...] = ()  # that each of them failed
    most: int = 256  # different subgoal steps that are remembered, the latest ones

    def add(self, z: Tensor, following: Tensor) -> Self:
        for i, (start, end) in enumerate(self.steps):
            if self._same(start, z) and self._same(end, following):
                return replace(self, times=(*self.times[:i], self.times[i] + 1, *self.times[i + 1 :]))
        latest = slice(max(len(self.steps) + 1 - self.most, 0), None)
        return replace(self, steps=(*self.steps, (z, following))[latest], times=(*self.times, 1)[latest])

    def arrived(self, z: Tensor) -> Self:
        """The level plans from z (*z) now."""
        return self

    def _same(self, z: Tensor, other: Tensor) -> bool:
        """Whether two latents (*z) are one place, as the level sees it."""
        return bool(self.level.distance(z[None], other[None])[0] == 0)

    def __len__(self) -> int:
        return len(self.steps)

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        if not self.steps:
            return torch.zeros(len(z), device=z.device)
        starts, ends = (torch.stack(points) for points in zip(*self.steps, strict=True))
        same = self._near(z, starts) & self._near(following, ends)
        return self._cost(torch.tensor(self.times, device=z.device) @ same.long(), z)

    def _near(self, z: Tensor, points: Tensor) -> Tensor:
        """(B, *z), (K, *z) -> (K, B): which latents lie within the radius of which points."""
        every = z.repeat(len(points), *(1 for _ in z.shape[1:]))
        return self.level.distance(every, points.repeat_interleave(len(z), 0)).view(len(points), len(z)) < self.radius

    def _cost(self, failed: Tensor, z: Tensor) -> Tensor:
        """Of subgoal steps that failed so often, (B,)."""
        return self.penalty * (torch.exp2(failed.clamp(max=DOUBLINGS).to(z.dtype)) - 1)


@dataclass(frozen=True)
class EventMemory(FailureMemory):
    """Of a level of events, where subgoal steps are the same or not. Two things more count against a upper.

    `alike`: each failed subgoal step that turned the same cells into the same symbols somewhere else costs up to so
    many steps, the less the more cells differ between where the two begin (an event is possible or not for what is
    around it). `ways`: latents from which the level below found only these ways on, as (z, ends (K, *z)). Any other
    subgoal step from there costs as much as one that failed again and again. Whoever comes back to such a latent
    (`here` is the last one) may be elsewhere in it, on the other side of a door, and finds out anew.
    """

    alike: float = ALIKE
    ways: tuple[tuple[Tensor, Tensor], ...] = ()
    here: Tensor | None = None

    def add(self, z: Tensor, following: Tensor) -> Self:
        """A subgoal step that is none of the known ways has failed as long as the level stays there; later only for
        `alike`."""
        ends = next((ends for start, ends in self.ways if self._same(start, z)), following[None])
        if any(self._same(end, following) for end in ends):
            return super().add(z, following)
        if any(self._same(start, z) and self._same(end, following) for start, end in self.steps):
            return self
        noted = super().add(z, following)
        return replace(noted, times=(*noted.times[:-1], 0))

    def only(self, z: Tensor, ends: Tensor) -> EventMemory:
        """From z (*z), where the level is, nothing leads on but to `ends` (K, *z), as far as is known by now."""
        return replace(self, here=z, ways=(*self._without(z), (z, ends))[-self.most :])

    def arrived(self, z: Tensor) -> EventMemory:
        if self.here is not None and self._same(self.here, z):
            return self
        return replace(self, here=z, ways=self._without(z))

    def _without(self, z: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        return tuple(way for way in self.ways if not self._same(way[0], z))

    def __len__(self) -> int:
        return len(self.steps) + len(self.ways)

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        before, after = self.level.keys(z), self.level.keys(following)
        failed, alike = torch.zeros(len(z), dtype=torch.long, device=z.device), 0.0
        if self.steps:
            starts, ends = self._failures
            apart = (before != starts[:, None]).sum(-1)  # (K, B)
            same = (_change(starts, ends)[:, None] == _change(before, after)).all(-1)
            failed = torch.tensor(self.times, device=z.device) @ (same & (apart == 0)).long()
            alike = (same * torch.exp(-apart.to(z.dtype) / FORGETS)).sum(0)
        if self.ways:
            at = (before == self._starts[:, None]).all(-1)
            for way in torch.nonzero(at.any(1))[:, 0].tolist():
                known = (after == self.level.keys(self.ways[way][1])[:, None]).all(-1).any(0)
                failed = torch.where(at[way] & ~known, DOUBLINGS, failed)
        return self._cost(failed, z) + self.alike * alike

    @cached_property
    def _failures(self) -> tuple[Tensor, Tensor]:
        """Keys of where failed subgoal steps begin and end, (K, N) each."""
        starts, ends = (self.level.keys(torch.stack(points)) for points in zip(*self.steps, strict=True))
        return starts, ends

    @cached_property
    def _starts(self) -> Tensor:
        return self.level.keys(torch.stack([start for start, _ in self.ways]))


def _change(before: Tensor, after: Tensor) -> Tensor:
    """Keys (..., N) twice -> (..., N): what became of the cells that changed, -1 for all others."""
    return torch.where(before != after, after, -1)


def memories_for(levels: tuple[WorldModel, ...], config: ControlConfig) -> list[FailureMemory]:
    """Empty ones. A step of level 0 that failed, which may be chance, says nothing of other places, as events do. Where
    latents of level 0 change by and by, it remembers the last few steps alone, and a little around them: a wall that it
    pushes against is as long as a few steps, and soon left behind."""
    found = [(EventMemory if level.capabilities.events else FailureMemory)(level) for level in levels]
    if not levels[0].capabilities.discrete:
        found[0] = FailureMemory(levels[0], radius=config.remembered_radius, most=config.remembered)
    return found


@dataclass(frozen=True)
class SubgoalRegion:
    """Keeps a level inside the subgoal step of the level above that it carries out, as `hplan.types.StepCost`.

    One step of the level above leads from `start` to one of `ends` (K, *z) there. A latent below that the level above
    sees as none of them (farther than `allowance` steps from all) has done something else on the way, and is not worth
    looking at. It is noted as a way out of `start`.
    """

    uppers: tuple[WorldModel, ...]  # the levels above, the lowest first; start and ends are of the last
    start: Tensor
    ends: Tensor
    allowance: float
    _ways: dict[bytes, Tensor] = field(init=False, default_factory=dict, compare=False)  # out of it, of what was asked

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        lifted, cost = self._lift(following), torch.zeros(len(z), device=z.device)
        left = self._off(lifted, self.start)
        if bool(left.any()):
            out, outside = lifted[left], self._off(self._lift(z[left]), self.start)
            cost[left] = torch.where(torch.stack([self._off(out, end) for end in self.ends]).all(0), torch.inf, 0.0)
            for end in out[~outside]:
                self._ways.setdefault(end.numpy(force=True).tobytes(), end)
        return cost

    def taught(self, memory: FailureMemory, result: PlanResult, budget: Budget) -> FailureMemory:
        """What the last of the levels above remembers, after a complete search inside the upper. Where it failed, and
        not for want of evaluations, it saw every way out of `start`, as far as it looks ahead and as it may try; if it
        began there: a slip may have left the upper."""
        slipped = bool(self._off(self._lift(result.latents[:1]), self.start)[0])
        nothing = slipped or result.reached or result.evaluations >= budget.evaluations
        if nothing or not isinstance(memory, EventMemory):
            return memory
        return memory.only(self.start, self.ways())

    def ways(self) -> Tensor:
        """(K, *z): where steps from `start` led that were asked about, as the last of the levels above sees it."""
        if not self._ways:
            return self.start[None][:0]
        ends = torch.stack(list(self._ways.values()))
        keys = self.uppers[-1].keys(ends).numpy(force=True)
        return ends[sorted({key.tobytes(): i for i, key in reversed(list(enumerate(keys)))}.values())]

    def _lift(self, z: Tensor) -> Tensor:
        for upper in self.uppers:
            z = upper.encode(z)
        return z

    def _off(self, z: Tensor, end: Tensor) -> Tensor:
        return self.uppers[-1].distance(z, end.expand_as(z)) > self.allowance


@dataclass(frozen=True)
class Sum:
    """Several costs of a subgoal step together."""

    costs: tuple[StepCost, ...]

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.stack([cost(z, following) for cost in self.costs]).sum(0)


def together(*costs: StepCost | None) -> StepCost | None:
    """The sum of those that there are; an empty memory is none."""
    given = tuple(cost for cost in costs if cost)
    return Sum(given) if given else None
