"""`vicreg`, `sigreg`, `infonce`, `byol`, `dino`: an eye learns without actions, from two views of one moment.

The views are two frames a few steps apart, in either order. Crops and shifts, which are the usual views (Chen et al.,
2020, arXiv 2002.05709), ask an eye not to see where things are; here nothing else matters. What flickers is another in
the second frame, and what stays for a few steps is the same: where things are, and whatever drifts slowly, too. Frames
as views: time-contrastive networks (Sermanet et al., 2018, arXiv 1704.06888). What makes views agree, and what keeps
frames apart, is an objective of levels (`hplan.objectives`), with a predictor from one view to the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.objectives.criterion import Criterion
from hplan.play.play import Play

PAIRS = 128  # in a batch
APART = 8  # steps between two views at the most


class NearbyFrames(nn.Module):
    """`EyeObjective`; `objective`: its name among those of levels."""

    actions = False
    objective = "none"

    def __init__(self, eye: Any, play: Play, *, features: int, steps: int, hidden: int = 128) -> None:
        super().__init__()
        self.eye, self.play = eye, play
        self.predictor = mlp(features, hidden, features)
        self.criterion = Criterion(self.objective, features, eye)
        self.rows = play.starts(1)

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        first = self.rows[torch.randint(len(self.rows), (PAIRS,), generator=generator)]
        apart = torch.randint(1, APART + 1, (PAIRS,), generator=generator)
        second = first + torch.minimum(apart, self.play.remaining[first])
        swapped = torch.rand(PAIRS, generator=generator) < 0.5
        first, second = torch.where(swapped, second, first), torch.where(swapped, first, second)
        frames = self.play.observations[torch.stack([first, second])]
        copy = self.criterion.follow(self.eye)
        z, target = self.eye(frames) if copy is None else (self.eye(frames[0]), copy(frames[1]))
        unit = z.shape[-1] ** 0.5  # two numbers that vary by one are two apart, whatever their number
        predicted = z + self.predictor(z)
        agreement = self.criterion.objective.agreement(predicted / unit, target / unit, torch.arange(PAIRS)).mean()
        spread = self.criterion.objective.spread(z)
        return agreement + spread, {"agreement": agreement.detach(), "spread": spread.detach()}


class NearbyVICReg(NearbyFrames):
    objective = "vicreg"


class NearbySIGReg(NearbyFrames):
    objective = "sigreg"


class NearbyInfoNCE(NearbyFrames):
    objective = "infonce"


class NearbyBYOL(NearbyFrames):
    objective = "byol"


class NearbyDINO(NearbyFrames):
    objective = "dino"
