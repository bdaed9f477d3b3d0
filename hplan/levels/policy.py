"""How play goes about a hop: what it does at a latent, on its way to one of the level above.

A goal-conditioned policy by hindsight: whatever play came to within a step of the level above, its actions led there.
Sources: Ghosh et al., 2021, "Learning to reach goals via iterated supervised learning" (arXiv 1912.06088); relabelling
as in hindsight experience replay (Andrychowicz et al., 2017, arXiv 1707.01495). It only proposes: what it leads to is
imagined and judged as any other plan, so that it saves evaluations where it is right and misleads nobody where not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hplan.levels.mlp import mlp

if TYPE_CHECKING:
    from hplan.levels.vector import VectorLevel

NARROWEST, WIDEST = 0.05, 2.0  # deviations that it may give, in half ranges


class HopPolicy(nn.Module):
    """Of a level right above continuous actions."""

    def __init__(self, inputs: int, hidden: int, actions: int) -> None:
        super().__init__()
        self.net = mlp(inputs, hidden, 2 * actions)

    def forward(self, level: VectorLevel, below: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """`level`, whose policy this is; latents of the level below (B, D below) and of its own (B, D) -> mean and
        deviation (B, A) of the next action on the way, in half ranges from the middle."""
        here = level.encode(below)
        mean, log = self.net(torch.cat([below, level.around(here), (target - here) / level.rate], -1)).chunk(2, -1)
        return mean, log.clamp(math.log(NARROWEST), math.log(WIDEST)).exp()
