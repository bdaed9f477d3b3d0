"""What hops cost beyond a step each: failures remembered, and straying from the subgoal above forbidden.

Soft memory of failure: a hop that did not work costs more for the rest of the episode, and is never forbidden.

A hard ban cuts off the only passage when the failure was bad luck; no memory repeats one infeasible hop for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hplan.control.course import ControlConfig
from hplan.types import HopCost, WorldModel

DOUBLINGS = 6  # after which a hop costs no more: it is never forbidden


@dataclass(frozen=True)
class FailureMemory:
    """Failed hops (z, z') of one level; calling it gives the extra cost of hops near them, as `hplan.types.HopCost`."""

    level: WorldModel
    radius: float = 1.0  # steps of the level within which a hop counts as the same
    penalty: float = 2.0  # extra steps that the first failure costs; each one more twice as many as the one before
    hops: tuple[tuple[Tensor, Tensor], ...] = ()
    times: tuple[int, ...] = ()  # that each of them failed
    most: int = 256  # different hops that are remembered, the latest ones

    def add(self, z: Tensor, following: Tensor) -> FailureMemory:
        for i, (start, end) in enumerate(self.hops):
            if torch.equal(start, z) and torch.equal(end, following):
                return replace(self, times=(*self.times[:i], self.times[i] + 1, *self.times[i + 1 :]))
        latest = slice(max(len(self.hops) + 1 - self.most, 0), None)
        return replace(self, hops=(*self.hops, (z, following))[latest], times=(*self.times, 1)[latest])

    def __len__(self) -> int:
        return len(self.hops)

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        if not self.hops:
            return torch.zeros(len(z), device=z.device)
        starts, ends = (torch.stack(points) for points in zip(*self.hops, strict=True))
        same = self._near(z, starts) & self._near(following, ends)
        failed = torch.tensor(self.times, device=z.device) @ same.long()
        return self.penalty * (torch.exp2(failed.clamp(max=DOUBLINGS).to(z.dtype)) - 1)

    def _near(self, z: Tensor, points: Tensor) -> Tensor:
        """(B, *z), (K, *z) -> (K, B): which latents lie within the radius of which points."""
        every = z.repeat(len(points), *(1 for _ in z.shape[1:]))
        return self.level.distance(every, points.repeat_interleave(len(z), 0)).view(len(points), -1) < self.radius


def memories_for(levels: tuple[WorldModel, ...], config: ControlConfig) -> list[FailureMemory]:
    """Empty ones. A level 0 whose latents change by and by remembers the last few steps alone, and a little around
    them: a wall that it pushes against is as long as a few steps, and soon left behind."""
    found = [FailureMemory(level) for level in levels]
    if not levels[0].exact:
        found[0] = FailureMemory(levels[0], radius=config.refuted_radius, most=config.refuted)
    return found


@dataclass(frozen=True)
class WithinHop:
    """Keeps a level inside the hop of the level above that it carries out, as `hplan.types.HopCost`.

    One step of the level above leads from `start` to `target` there. A latent below that the level above sees as
    neither (farther than `allowance` steps from both) has done something else on the way, and is not worth looking at.
    """

    uppers: tuple[WorldModel, ...]  # the levels above, the lowest first; start and target are of the last
    start: Tensor
    target: Tensor
    allowance: float

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        for upper in self.uppers:
            following = upper.encode(following)
        level = self.uppers[-1]
        off = torch.minimum(*(level.distance(following, end.expand_as(following)) for end in (self.start, self.target)))
        return torch.where(off > self.allowance, torch.inf, 0.0)


@dataclass(frozen=True)
class Sum:
    """Several costs of a hop together."""

    costs: tuple[HopCost, ...]

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.stack([cost(z, following) for cost in self.costs]).sum(0)


def together(*costs: HopCost | None) -> HopCost | None:
    """The sum of those that there are."""
    given = tuple(cost for cost in costs if cost is not None)
    return Sum(given) if given else None
