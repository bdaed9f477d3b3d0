"""Uncertainty: how far off a prediction is expected to be, (B,) in steps of the level; small where one thing follows,
wide where several may.

A level of codes says in hindsight which macro-action led from one latent to another, so it can always name the way that
luck took: in its own errors luck does not show. So errors are carried up. A step of a level is as uncertain as what it
predicts itself and as everything that the levels below could not predict on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.dynamics import RADIUS, crop
from hplan.levels.encoders import mlp
from hplan.levels.heads.conditioning import level_at
from hplan.levels.stage import Stage, Stages
from hplan.objectives.infonce import TEMPERATURE

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

STEPS, BATCH = 1000, 512
GAMBLES = 32  # of a batch are steps that chance decided, where there are any: one in a thousand is not learned
CERTAIN = 0.9  # a level of which fewer steps end as they mostly do is modelled and planned for as a stochastic one


class ExpectedError(nn.Module):
    """Of a vector: a network that learned log(1 + error in steps of the level)."""

    def __init__(self, *, seen: int, macro: int, hidden: int = 64) -> None:
        super().__init__()
        self.network = nn.Sequential(mlp(seen + macro, hidden, 1), nn.Flatten(0))

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        return self.log(level, z, macro).clamp(min=0).expm1()

    def log(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        """(B,): log(1 + expected error), as it is trained."""
        return self.network(torch.cat([level.context(z), level.macros.embed(macro)], -1))


class OutcomeChances(nn.Module):
    """Of a map: cells that are expected to turn out otherwise than predicted, in steps of the level: what the likeliest
    symbol of each lacks to certainty. Chances are what a stochastic world taught the dynamics; in a certain one there
    are none. `certainty`: share of steps of play that ended as the same action in the same place mostly does."""

    certainty: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("certainty", torch.tensor(1.0))

    @property
    def certain(self) -> bool:
        return float(self.certainty) >= CERTAIN

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        if self.certain:
            return torch.zeros(len(z), device=z.device)
        space, dynamics = level.space, level.dynamics
        if dynamics.local:
            at = dynamics.centre(level, z, macro)
            features = dynamics.near(level, space.embed, z, at, macro)
            inside = dynamics.view(crop(z, at, RADIUS, outside=space.outside), z, at) < space.outside
        else:
            features, inside = dynamics.features(space, space.embed(z), macro), torch.ones_like(z)
        chance = torch.ones(())
        for cosines in space.similarity(features):
            chance = chance * (cosines / TEMPERATURE).softmax(-1).amax(-1)
        return ((1 - chance) * inside).flatten(1).sum(1) / space.typical_change

    def outcomes(self, level: Level, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H, W), (B,) -> maps (B, 1, H, W) and probabilities (B, 1): the likeliest alone, since which cells change
        together is not modelled. What is a few variables is counted instead (`hplan.levels.tables`)."""
        return level.predict(z, macro)[:, None], torch.ones(len(z), 1)


@torch.no_grad()
def carried_errors(level: Level, play: Play, below: Tensor | None, stride_below: int) -> Tensor:
    """(N,) in environment steps: how far off one step of the level is that begins at each row of play, with all that is
    off on the way by `below` (N,), the same of the level below. NaN where play is too short for a step."""
    stride = round(level.stride)
    errors = torch.full((len(play),), torch.nan)
    for rows in play.starts(stride).split(8192):
        z, end, macro = level.step_of_play(play, rows)
        errors[rows] = level.distance(level_at(level, play, rows).predict(z, macro), end) * stride
        if below is not None:
            errors[rows] += below[rows[:, None] + torch.arange(0, stride, stride_below)].sum(1)
    return errors


def uncertainty_stages(level: Level, play: Play, errors: Tensor, certain: Tensor, steps: int = STEPS) -> Stages:
    """Fit `ExpectedError` to log(1 + error in steps of the level), on frozen latents: of what is off by chance the
    middle counts, not the rare extreme. certain (N,): steps of play left at each row before chance decides. The head
    learns no longer than `steps`."""
    stride, head = round(level.stride), level.uncertainty_head
    rows = play.starts(stride)
    gambles = rows[certain[rows] < stride]

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at = rows[torch.randint(len(rows), (BATCH,), generator=generator)]
        if len(gambles):
            at[:GAMBLES] = gambles[torch.randint(len(gambles), (GAMBLES,), generator=generator)]
        with torch.no_grad():
            z, _, macro = level.step_of_play(play, at)
        value = F.smooth_l1_loss(head.log(level_at(level, play, at), z, macro), torch.log1p(errors[at] / stride))
        return value, {"off": (errors[at] / stride).mean()}

    head.requires_grad_(True)
    yield Stage(f"level{level.index}-uncertainty", head, loss, min(steps, STEPS), lr=3e-3)
    head.requires_grad_(False)
