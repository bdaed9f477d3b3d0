"""How far off a level is, learned place by place: small where one thing follows, wide where several may.

A level above 0 says in hindsight which macro-action led from one latent to another, so it can always name the way that
luck took: in its own errors luck does not show. So errors are carried up. A step of a level is as uncertain as what it
predicts itself and as everything that the levels below could not predict on the way.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.levels.vector import VectorLevel
from hplan.training.fit import Progress, fit
from hplan.training.strides import hindsight
from hplan.training.trained import Curves
from hplan.training.vector import Play

STEPS, BATCH = 1000, 512
GAMBLES = 32  # of a batch are steps that chance decided, where there are any: one in a thousand is not learned


@torch.no_grad()
def carried_errors(level: VectorLevel, play: Play, below: Tensor | None, stride_below: int) -> Tensor:
    """(N,) in environment steps: how far off one step of the level is that begins at each row of play, with all that is
    off on the way by `below` (N,), the same of the level below. NaN where play is too short for a step."""
    stride = round(level.stride)
    errors = torch.full((len(play.below),), torch.nan)
    for rows in play.starts(stride).split(8192):
        end = level.encode(play.below[rows + stride])
        predicted = play.at(rows, level).predict(level.encode(play.below[rows]), hindsight(level, play, rows, end))
        errors[rows] = level.distance(predicted, end) * stride
        if below is not None:
            errors[rows] += below[rows[:, None] + torch.arange(0, stride, stride_below)].sum(1)
    return errors


def train_uncertainty(
    level: VectorLevel,
    play: Play,
    errors: Tensor,
    certain: Tensor,
    *,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
) -> Curves:
    """Fit `level.doubt` to log(1 + error in steps of the level), on frozen latents: of what is off by chance the middle
    counts, not the rare extreme. certain (N,): steps of play left at each row before chance decides."""
    stride = round(level.stride)
    rows = play.starts(stride)
    gambles = rows[certain[rows] < stride]
    name = f"level{level.index}-uncertainty"

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at = rows[torch.randint(len(rows), (BATCH,), generator=generator)]
        if len(gambles):
            at[:GAMBLES] = gambles[torch.randint(len(gambles), (GAMBLES,), generator=generator)]
        with torch.no_grad():
            z, end = level.encode(play.below[at]), level.encode(play.below[at + stride])
            macro = hindsight(level, play, at, end)
        value = F.smooth_l1_loss(play.at(at, level).log_uncertainty(z, macro), torch.log1p(errors[at] / stride))
        return value, {"off": (errors[at] / stride).mean()}

    level.doubt.requires_grad_(True)
    curve = fit(
        level.doubt, loss, name=name, steps=STEPS, seed=seed, out=out, lr=3e-3, device=device, progress=progress
    )
    level.doubt.requires_grad_(False)
    return {name: curve}
