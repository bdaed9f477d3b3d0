"""Compatibility of two latents: the energy of the second being one step after the first, at most 0 as real steps
are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.objectives.infonce import infonce
from hplan.objectives.whole_batch import own_rows, whole_batch

if TYPE_CHECKING:
    from hplan.levels.level import Level

WIDTH = 32  # numbers of the two projections whose product is a logit


class InDistribution(nn.Module):
    """A classifier of where play has been, against observations each of whose features is from another row.

    Every feature alone is then as in play, and what is learned is which of them go together: where there are walls.
    `between`: against what lies between two observations, where their features mean nothing alone, as what an eye makes
    of images.
    """

    threshold: Tensor

    def __init__(self, *, seen: int, hidden: int = 128, between: bool = False) -> None:
        super().__init__()
        self.between = between
        self.network = mlp(seen, hidden, 1)
        self.register_buffer("threshold", torch.tensor(0.0))  # of the energy, that real steps have

    def forward(self, level: Level, z: Tensor, following: Tensor) -> Tensor:
        return -self.network(level.context(following))[:, 0] - self.threshold

    def loss(self, level: Level, z: Tensor, observations: Tensor, generator: torch.Generator) -> Tensor:
        """Logistic; z (B, D) of observations (B, *inputs), which are mixed for the negatives."""
        every = whole_batch(observations)
        rows = torch.randint(len(every), (len(every), 1) if self.between else every.shape, generator=generator)
        other = every.gather(0, rows.to(z.device).expand_as(every))
        if self.between:
            other = every.lerp(other, torch.rand(len(every), 1, generator=generator).to(z.device))
        with torch.no_grad():
            mixed = level.encode(other[own_rows(observations)])
        real, unreal = self.network(level.context(z)), self.network(level.context(mixed))
        return F.softplus(-real).mean() + F.softplus(unreal).mean()


class Contrastive(nn.Module):
    """InfoNCE: real is what follows z, rather than any other latent of a batch."""

    threshold: Tensor

    def __init__(self, *, seen: int, latent: int, hidden: int = 128) -> None:
        super().__init__()
        self.before, self.after = mlp(seen, hidden, WIDTH), mlp(latent, hidden, WIDTH)
        self.register_buffer("threshold", torch.tensor(0.0))

    def forward(self, level: Level, z: Tensor, following: Tensor) -> Tensor:
        return -(self.before(level.context(z)) * self.after(following)).sum(-1) - self.threshold

    def loss(self, level: Level, z: Tensor, following: Tensor) -> Tensor:
        """(B, D), (B, D) -> ()."""
        after = self.after(following)
        return infonce(self.before(level.context(z)) @ whole_batch(after).T, own_rows(after))
