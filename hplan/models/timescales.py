"""Levels from time scales: a network that tells apart what changes slowly, and forgets what changes fast.

Its outputs maximise VAMP-2 (`hplan.losses.vamp2`) over pairs (z_t, z_t+lag) of latents of the level below. The singular
values s are a spectrum of time scales, -lag / ln s; its gaps are the levels. Cut at a gap, the network's m slow
coordinates are an encoder that has dropped all that is faster. Where latents are symbols, m slow functions tell m
metastable sets apart (Deuflhard and Weber, 2005): the corners of a simplex, orthogonal to one another, since the
functions are of variance one where every kind of state counts alike. A set is one symbol of the level, and a step of
the level lasts until a cell leaves its set (an *event*).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.models.mlp import mlp

SMALLEST_GAP = 4.0  # a ratio of neighbouring time scales below this is no separation of them
FUNCTIONS = 64  # most slow functions that are looked for
LAYERS = 2


@dataclass(frozen=True)
class Gap:
    """Between the time scales of function `functions` and the next: `ratio` apart, `time` steps in their middle."""

    functions: int
    time: float
    ratio: float


class SlowEncoder(nn.Module):
    """Latents (..., D) to slow coordinates (..., m): a network, and a fixed linear map of its outputs that `settle`
    finds. On a spatial latent it speaks for each cell alone, as context that never changes would fill the spectrum."""

    mix: Tensor
    times: Tensor

    def __init__(self, inputs: int, hidden: int, outputs: int, kept: int | None = None) -> None:
        """`outputs`: of the network, to which a constant is added; `kept`: m, by default all outputs + 1 of them."""
        super().__init__()
        self.network = mlp(inputs, hidden, outputs, layers=LAYERS)
        self.register_buffer("mix", torch.eye(outputs + 1)[:, :kept])
        self.register_buffer("times", torch.zeros(outputs + 1))  # in steps of the environment, slowest first

    def features(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., outputs + 1): what the network is trained by."""
        return F.pad(self.network(z), (0, 1), value=1.0)

    def coordinates(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., m): values of the slow functions, the slowest first."""
        return self.features(z) @ self.mix

    def forward(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., m): the direction of the coordinates, which is what tells metastable sets apart."""
        return F.normalize(self.coordinates(z), dim=-1)

    def settle(self, mix: Tensor, singular: Tensor, lag: float) -> None:
        """Take over the slow functions that `hplan.losses.vamp2.slow_functions` found, and their time scales."""
        self.mix.copy_(mix[:, : self.mix.shape[1]])
        self.times.copy_(time_scales(singular, lag))


def time_scales(singular: Tensor, lag: float) -> Tensor:
    """Implied time scales -lag / ln s, (D,) -> (D,) in steps; what is over within the lag counts as lasting as long."""
    return -lag / singular.clamp(float(torch.exp(torch.tensor(-1.0))), 1 - 1e-9).log()


def gaps(times: Tensor, smallest: float = SMALLEST_GAP) -> list[Gap]:
    """Every separation of time scales (D,), slowest first, that is `smallest` or wider; the fastest first."""
    ratios = times[:-1] / times[1:]
    middle = (times[:-1] * times[1:]).sqrt()
    wide = torch.nonzero(ratios >= smallest)[:, 0].flip(0).tolist()
    return [Gap(k + 1, float(middle[k]), float(ratios[k])) for k in wide]


def corners(units: Tensor) -> Tensor:
    """(V, m) unit vectors, (m, m): those of m metastable sets among them.

    The inner simplex algorithm (Weber and Kube, 2005): take what is furthest from the span of those taken before, then
    the mean direction of all that is nearest to each.
    """
    rest, found = units.clone(), [0]
    for _ in range(units.shape[1] - 1):
        last = F.normalize(rest[found[-1]], dim=0)
        rest = rest - rest @ last[:, None] * last
        found.append(int(rest.square().sum(1).argmax()))
    own = F.one_hot((units @ units[found].T).argmax(1), units.shape[1]).to(units)
    return F.normalize(own.T @ units, dim=1)
