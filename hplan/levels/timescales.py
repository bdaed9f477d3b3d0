"""Levels from time scales: a network that tells apart what changes slowly, and forgets what changes fast.

Its outputs maximise VAMP-2 (`hplan.objectives.vamp2`) over pairs (z_t, z_t+lag) of latents of the level below. The
singular values s are a spectrum of time scales, -lag / ln s (Mardt et al., 2018, equation 16); its gaps are the levels.
Cut at a gap, the m slow coordinates are an encoder that has dropped all that is faster. Where latents are symbols, m
slow functions tell m metastable sets apart, as the corners of a simplex (Deuflhard and Weber, 2005); the functions are
of variance one where every kind of state counts alike, so the corners are orthogonal. Each is one symbol of the level,
and a step of it lasts until a cell goes from one to another (an *event*).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.mlp import mlp

SMALLEST_GAP = 4.0  # a ratio of neighbouring time scales below this is no separation of them
FUNCTIONS = 64  # most slow functions that are looked for
HIDDEN = 64
LONGEST = 1e9  # lags; a process as slow as this, or slower, never happened


@dataclass(frozen=True)
class Gap:
    """Between the time scales of slow function number `functions` and the next: `ratio` apart, `time` steps between."""

    functions: int
    time: float
    ratio: float


class SlowEncoder(nn.Module):
    """Latents (..., D) to m slow coordinates: a network, and the linear map of its outputs that `settle` is given.

    On a spatial latent it speaks for each cell alone: context, which hardly ever changes, would fill the spectrum.
    """

    mix: Tensor
    times: Tensor

    def __init__(self, inputs: int, functions: int, kept: int | None = None, hidden: int = HIDDEN) -> None:
        """`functions` that are looked for, 2 or more, the constant one included; `kept`: m, by default all of them."""
        super().__init__()
        self.network = mlp(inputs, hidden, functions - 1)
        self.register_buffer("mix", torch.eye(functions)[:, :kept])
        self.register_buffer("times", torch.zeros(functions))

    def features(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., functions): what VAMP-2 is maximised over."""
        return F.pad(self.network(z), (0, 1), value=1.0)

    def coordinates(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., m): values of the slow functions, the slowest first, which is the constant one."""
        return self.features(z) @ self.mix

    def forward(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., m): the direction of the coordinates; metastable sets have orthogonal ones."""
        return F.normalize(self.coordinates(z), dim=-1)

    def settle(self, mix: Tensor, singular: Tensor, lag: float) -> None:
        """Take the slow functions that `vamp2.slow_functions` found of the features, and their times."""
        self.mix.copy_(mix[:, : self.mix.shape[1]])
        self.times.copy_(time_scales(singular, lag))

    def cut(self, functions: int) -> SlowEncoder:
        """The same encoder with its `functions` slowest coordinates alone."""
        hidden, inputs = self.network[0].get_parameter("weight").shape
        kept = SlowEncoder(inputs, len(self.mix), functions, hidden)
        kept.load_state_dict(self.state_dict() | {"mix": self.mix[:, :functions]})
        return kept.requires_grad_(False).eval()


def functions_of(latents: int) -> int:
    """How many slow functions are looked for among so many latents: no more than can differ."""
    return min(max(latents, 2), FUNCTIONS)


def time_scales(singular: Tensor, lag: float) -> Tensor:
    """Implied time scales (D,) in steps, of singular values (D,). What is over within the lag is as fast as the lag."""
    return -lag / singular.clamp(math.exp(-1), math.exp(-1 / LONGEST)).log()


def gaps(times: Tensor, smallest: float = SMALLEST_GAP) -> list[Gap]:
    """Where neighbouring time scales, (D,) slowest first, are `smallest` times apart or more; the fastest gap first."""
    ratios, middle = times[:-1] / times[1:], (times[:-1] * times[1:]).sqrt()
    wide = torch.nonzero(ratios >= smallest)[:, 0].flip(0).tolist()
    return [Gap(k + 1, float(middle[k]), float(ratios[k])) for k in wide]


def cuts(times: Tensor, ratio: int) -> list[Gap]:
    """By hand instead of at gaps, for ablation: what is over within `ratio` steps is dropped first, then what is within
    `ratio`², and so on. Cuts between which nothing lies are one."""
    found: list[Gap] = []
    time = float(ratio)
    while time < LONGEST:
        functions = int((times >= time).sum())
        if functions > 1 and (not found or functions < found[-1].functions):
            found.append(Gap(functions, time, float(ratio)))
        time *= ratio
    return found


def corners(units: Tensor) -> Tensor:
    """The m metastable sets among unit vectors (V, m), as unit vectors (m, m).

    The inner simplex algorithm (Weber and Kube, 2005) takes, one after another, what is furthest from the span of those
    taken before. Each then moves to the mean direction of all that are nearest to it.
    """
    rest, found = units, [0]
    for _ in range(units.shape[1] - 1):
        last = F.normalize(rest[found[-1]], dim=0)
        rest = rest - rest @ last[:, None] * last
        found.append(int(rest.square().sum(1).argmax()))
    own = F.one_hot((units @ units[found].T).argmax(1), units.shape[1]).to(units)
    return F.normalize(own.T @ units, dim=1)
