"""Soft memory of failure: a hop that did not work costs more for the rest of the episode, and is never forbidden.

A hard ban cuts off the only passage when the failure was bad luck; no memory repeats one infeasible hop for ever.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hplan.types import WorldModel


@dataclass(frozen=True)
class FailureMemory:
    """Failed hops (z, z') of one level; calling it gives the extra cost of hops near them, as `hplan.types.HopCost`."""

    level: WorldModel
    radius: float = 1.0  # steps of the level within which a hop counts as the same
    penalty: float = 2.0  # extra steps that each failure costs
    hops: tuple[tuple[Tensor, Tensor], ...] = ()

    def add(self, z: Tensor, following: Tensor) -> FailureMemory:
        return FailureMemory(self.level, self.radius, self.penalty, (*self.hops, (z, following)))

    def __len__(self) -> int:
        return len(self.hops)

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        extra = torch.zeros(len(z), device=z.device)
        for start, end in self.hops:
            same = self.level.distance(z, start.expand_as(z)) < self.radius
            same &= self.level.distance(following, end.expand_as(z)) < self.radius
            extra += self.penalty * same
        return extra
