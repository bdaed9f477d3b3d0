"""How play went about a step of a level: what it did at a latent, on its way to one of the level above.

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

from hplan.levels.encoders import mlp
from hplan.levels.heads.conditioning import level_at
from hplan.levels.sampling import EvenDraws
from hplan.levels.stage import Stage, Stages

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

NARROWEST, WIDEST = 0.05, 2.0  # deviations that it may give, in half ranges
STEPS, BATCH = 2000, 512
RARE = 4.0  # times that a row counts at the most: what play did in rare places is as good as elsewhere, and less sure


class SubgoalPolicy(nn.Module):
    """Of a level right above continuous actions."""

    def __init__(self, *, below: int, seen: int, latent: int, actions: int, hidden: int = 128) -> None:
        """`below`: D of the level below; `seen`: numbers of `Level.context`; `actions`: dimensions of an action."""
        super().__init__()
        self.network = mlp(below + seen + latent, hidden, 2 * actions)

    def forward(self, level: Level, below: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Latents of the level below (B, D below) and of its own (B, D) -> mean and deviation (B, A) of the next action
        on the way, in half ranges from the middle."""
        here = level.encode(below)
        way = (target - here) / level.dynamics.rate
        mean, log = self.network(torch.cat([below, level.context(here), way], -1)).chunk(2, -1)
        return mean, log.clamp(math.log(NARROWEST), math.log(WIDEST)).exp()


def policy_stages(level: Level, below: Level, play: Play, steps: int = STEPS) -> Stages:
    """Train the level's policy on frozen latents: the likelihood of what play did at a row, given where it was up to a
    step of the level later. `play` as `level` sees it; it learns no longer than `steps`. Nothing for a level that has
    none."""
    policy, stride = level.policy_head, round(level.stride)
    if policy is None:
        return
    rows, latents = play.starts(stride), play.below
    even = EvenDraws(rows, latents[rows], RARE)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at = even(BATCH, generator)
        end = at + torch.randint(1, stride + 1, (BATCH,), generator=generator)
        taken = below.macros.embed(play.actions[at])[..., : below.macro.size]
        mean, deviation = policy(level_at(level, play, at), latents[at], level.encode(latents[end]))
        off = (taken - mean).square()
        value = (off / deviation.square() / 2 + deviation.log()).mean()
        return value, {"action": off.detach().mean()}

    policy.requires_grad_(True)
    yield Stage(f"level{level.index}-policy", policy, loss, min(steps, STEPS), lr=2e-3)
    policy.requires_grad_(False)
