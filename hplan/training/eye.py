"""How an eye learns: by telling, of any two frames of a stretch of play, what was done between them.

    sum of the actions between i and j / sqrt(j - i)   from   z_i, z_j - z_i, log(j - i)      (all pairs, i < j)

So it keeps what actions move, wherever that is, and nothing else has a reason to be in its numbers: neither what
flickers, nor what drifts, nor what never changes. Beside it every number has to vary (VICReg's hinge), and one action
has to lead from one frame's numbers to the next one's. Inverse dynamics over one step (Pathak et al., 2017) is not
enough: a step moves a ball by a fraction of a pixel. The other two come in slowly: from the start, what drifts slowly
and may be predicted fills the numbers before actions are found in them (docs/lessons/pixels.md). What is far off counts
as chance, in both: a leap that no action explains would be explained by seeing its two ends as one place.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.pixels import AT_ONCE
from hplan.levels.stage import Stage, Stages
from hplan.objectives.welsch import trust
from hplan.play.play import Play

RATE = 3e-3  # of learning
STRETCHES, MOMENTS = 32, 4  # in a batch, and in each of them, with the frame that follows each
LOOKED = 2048  # frames that tell what never changes
SPAN = 64  # steps, at the most, of a stretch
PREDICTION, EPSILON = 0.3, 1e-4  # weight beside the inverse, and variance below which a number is none
ALONE, LEAST = 0.6, 0.05  # share of the steps in which the other two grow to their weight, and what varying begins with


class EyeLosses(nn.Module):
    """What is learned beside an eye, and thrown away: who tells the actions, and who predicts."""

    def __init__(self, eye: nn.Module, features: int, actions: int, hidden: int = 128) -> None:
        super().__init__()
        self.eye = eye
        self.inverse = mlp(2 * features + 1, hidden, actions)
        self.forward_model = mlp(features + actions, hidden, features)


def eye_stages(eye: Any, play: Play, features: int, steps: int) -> Stages:
    """Train an eye, which makes `features` numbers of a frame, on play, then freeze it. One that has nothing to learn
    stays as it is."""
    if not any(parameter.requires_grad for parameter in eye.parameters()):
        return
    taken = _taken(play)
    total = F.pad(taken.double().cumsum(0), (0, 0, 1, 0))  # of all that was done before each row
    scale = taken.std(0).clamp(min=EPSILON**0.5)
    rows = play.starts(1)
    some = torch.linspace(0, len(play) - 1, min(len(play), LOOKED)).long()
    if hasattr(eye, "measure"):
        eye.measure(play.observations[some])
    losses = EyeLosses(eye, features, taken.shape[1])
    first, second = torch.tensor([*combinations(range(2 * MOMENTS), 2)]).T

    def drawn(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(S, 2 * moments) rows, each moment with the next; (S, P, 1) gaps; (S, P, A) what was done between them."""
        begin = rows[torch.randint(len(rows), (STRETCHES, 1), generator=generator)]
        length = play.remaining[begin].clamp(max=SPAN)
        after = (torch.rand(STRETCHES, MOMENTS, generator=generator) * length).long().sort(1).values
        at = begin + torch.stack([after, after + 1], 2).flatten(1)
        gap = (at[:, second] - at[:, first])[..., None]
        done = (total[at[:, second]] - total[at[:, first]]) / gap.clamp(min=1).sqrt()
        return at, gap, done.float()

    unit = torch.cat([drawn(torch.Generator().manual_seed(i))[2].flatten(0, 1) for i in range(SPAN)]).std(0)
    unit = unit.clamp(min=EPSILON)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at, gap, done = drawn(generator)
        z = losses.eye(play.observations[at])
        here, there = z[:, first], z[:, second]
        guess = losses.inverse(torch.cat([here, there - here, gap.clamp(min=1).float().log()], -1))
        asked = (done / unit).flatten(0, 1)
        told = trust(guess.flatten(0, 1), asked, asked).view(gap.shape)
        inverse = ((guess - done / unit).square() * told * (gap > 0)).mean()
        deviation = (z.flatten(0, 1).var(0) + EPSILON).sqrt()
        spread = F.relu(1 - deviation).mean()
        now, following = z[:, ::2], z[:, 1::2]
        change = losses.forward_model(torch.cat([now, taken[at[:, ::2]] / scale], -1))
        error, moved = (((end - following) / deviation).flatten(0, 1) for end in (now + change, now))
        prediction = (error.square().mean(1) * trust(error, torch.zeros_like(error), moved)).mean()
        figures = {"inverse": inverse.detach(), "spread": spread.detach(), "prediction": prediction.detach()}
        beside = min(step / (ALONE * steps), 1.0) ** 2
        return inverse + max(beside, LEAST) * spread + beside * PREDICTION * prediction, figures

    yield Stage("eye", losses, loss, steps, lr=RATE)
    eye.requires_grad_(False)


@torch.no_grad()
def seen(eye: nn.Module, play: Play) -> Play:
    """The same play as levels see it: what the eye makes of every frame."""
    return play.with_latents(torch.cat([eye(part) for part in play.observations.split(AT_ONCE)]))


def _taken(play: Play) -> Tensor:
    """(N, A) float32: what was done at each row, one-hot where actions are discrete."""
    if play.action_spec.kind == "discrete":
        return F.one_hot(play.actions, play.action_spec.size).float()
    return play.actions.float()
