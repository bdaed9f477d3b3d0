"""Priors p(macro | z): which macro-actions play showed to be possible at a latent, as log probabilities (B, M).

Each says how much a search may rely on it: `weight` and `floors`, as `hplan.types.Capabilities` has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.dynamics import KEPT
from hplan.levels.encoders import mlp
from hplan.levels.remembered import Remembered

if TYPE_CHECKING:
    from hplan.levels.level import Level

RISK = 100.0  # steps that it costs by a chance of failure of 1 - 1 / e
NOISE = 0.01  # chance of failure that costs nothing: no network tells it from none
IMPOSSIBLE = -1e4  # log probability of a macro-action that play never showed


class CategoricalPrior(nn.Module):
    """Of a vector: a softmax over codes, or actions. In a codebook one way has several names, so that a rare one is
    more often a mistake of the prior than a way."""

    weight, floors = 0.3, (0.02, 0.005)

    def __init__(self, *, seen: int, macros: int, hidden: int = 128) -> None:
        super().__init__()
        self.network = mlp(seen, hidden, macros)

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return F.log_softmax(self.network(level.context(z)), dim=-1)

    def loss(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        """Cross-entropy of what play took: z (B, H, D), macro (B * H,) -> ()."""
        return F.cross_entropy(self.network(level.context(z).flatten(0, 1)), macro)


class AffordancePrior(nn.Module):
    """Of a map and the environment's actions: log p(doing m here changes anything), the log-sum-exp of what each cell's
    surroundings say, as one place where an action can take hold is enough; + `RISK` log p(it does not end the episode
    in failure). `supported` (M,): what ever changed anything in play; `risky` (M,): what ever ended in failure."""

    weight, floors = 1.0, (0.005, 0.0)
    supported: Tensor
    risky: Tensor

    def __init__(self, *, channels: int, macros: int, hidden: int = 16) -> None:
        super().__init__()
        self.cell = nn.Sequential(
            nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, 2 * macros, 1)
        )
        self.bias = nn.Parameter(torch.full((2 * macros,), -3.0))
        self.register_buffer("supported", torch.ones(macros, dtype=torch.bool))
        self.register_buffer("risky", torch.zeros(macros, dtype=torch.bool))

        self._known = Remembered(KEPT)

    def train(self, mode: bool = True) -> Self:
        self._known = Remembered(KEPT)
        return super().train(mode)

    def forward(self, level: Level, z: Tensor) -> Tensor:
        """(B, H, W) -> (B, M). Once trained, it works out what is next to the mover once."""
        space, dynamics = level.space, level.dynamics
        if not dynamics.local:
            return self._log_p(space.embed(z))
        at = space.mover(z)
        if self.training:
            return self._log_p(dynamics.seen(level, space.embed, z, at))

        def missing(rows: list[int]) -> np.ndarray:
            return self._log_p(dynamics.seen(level, space.embed, z[rows], at[rows])).numpy(force=True)

        return torch.from_numpy(self._known(dynamics.asked(level, z, at), missing)).to(z.device)

    def _log_p(self, maps: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, M)."""
        able, fails = self.logits(maps).chunk(2, -1)
        log_p = F.logsigmoid(able) + RISK * self.risky * (F.logsigmoid(-fails) + NOISE).clamp(max=0)
        return torch.where(self.supported, log_p, IMPOSSIBLE)

    def logits(self, maps: Tensor) -> Tensor:
        """(B, H, W, C) -> (B, 2 * M): of each action changing anything, and of its ending in failure."""
        return self.cell(maps.movedim(-1, 1)).flatten(2).logsumexp(-1) + self.bias

    def loss(self, maps: Tensor, macro: Tensor, happened: Tensor, failed: Tensor) -> Tensor:
        """Binary cross-entropy of `happened` and `failed` (B,), whether doing `macro` (B,) changed any cell of maps
        (B, H, W, C), and ended in failure."""
        logits = torch.stack(self.logits(maps.detach()).chunk(2, -1), -1)
        taken = logits.gather(1, macro[:, None, None].expand(-1, 1, 2))[:, 0]
        return F.binary_cross_entropy_with_logits(taken, torch.stack([happened, failed], -1)) * 2


class EventPrior(nn.Module):
    """Of a map and its events: a softmax over (type, cell), only where the symbol that a type changes is there.

    One convolution applied again and again, so that what is connected can be felt at any distance: the number of rounds
    is random while training and follows the size of the grid afterwards. A search asks of it what is possible, and
    hardly what is likely: by the prior, to be at the goal at once, through shut doors, was cheaper than to open five of
    them first, as play seldom did. Of ways that are as long the likelier one is taken.
    """

    weight, floors = 0.01, (0.005, 0.0)

    def __init__(self, *, channels: int, types: int, hidden: int = 48) -> None:
        super().__init__()
        self.start = nn.Conv2d(channels, hidden, 3, padding=1)
        self.round = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.spread = nn.Linear(hidden, hidden)
        self.out = nn.Conv2d(hidden, types, 1)

    def forward(self, level: Level, z: Tensor, rounds: int | None = None) -> Tensor:
        there = (z.flatten(1)[:, None] == level.macros.edits[:, :1]).flatten(1)
        log_p = self.logits(level.space.embed(z), rounds).masked_fill(~there, IMPOSSIBLE).log_softmax(-1)
        return log_p.masked_fill(~there, IMPOSSIBLE)  # also where there is none at all, and the softmax is even

    def logits(self, maps: Tensor, rounds: int | None = None) -> Tensor:
        """(B, H, W, C) -> (B, types * H * W)."""
        z = maps.movedim(-1, 1)
        first = self.start(z)
        h = F.relu(first)
        for _ in range(rounds or sum(z.shape[-2:]) // 2):
            h = F.relu(first + self.round(h) + self.spread(h.amax((-2, -1)))[:, :, None, None]).clamp(max=10.0)
        return self.out(h).flatten(1)
