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

from hplan.levels.encoders import mlp
from hplan.levels.stage import Stage, Stages
from hplan.objectives.vamp2 import slow_functions, vamp2

SMALLEST_GAP = 4.0  # a ratio of neighbouring time scales below this is no separation of them
FUNCTIONS = 64  # most slow functions that are looked for
HIDDEN = 64
LONGEST = 1e9  # lags; a process as slow as this, or slower, never happened
STEPS, BATCH, RATE = 600, 4096, 1e-2


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


@dataclass(frozen=True)
class Pairs:
    """Latents (K, D), and which of them follow which: rows before, after (N,) are `lag` steps apart and count by weight
    (N,). Let every kind of state count alike, or what is frequent fills the spectrum with what happens to it alone."""

    latents: Tensor
    before: Tensor
    after: Tensor
    weight: Tensor
    lag: float = 1.0


def cell_pairs(codes: Tensor, symbols: Tensor, starts: Tensor) -> Pairs:
    """Every symbol that play showed to follow another in one cell, with its chance per step.

    codes (V, C) are the latents of symbols (N, H, W); `starts`: rows t whose successor is of the same episode. A symbol
    counts by its chances and not by its frequency, so that one that was seen ten times is as good as the floor; a
    change that happens once in two thousand steps still is what sets the time scale of its symbol.

    Nothing follows some symbols: the goal once it was reached, whatever ends an episode. They have the past of those
    that came from the same symbols, and no future that tells them apart: each is followed by any of them, by its
    chance. They are one set, which is never left.
    """
    size = len(codes)
    counts = torch.zeros(size * size, dtype=torch.float64)
    for part in starts.split(8192):
        counts += torch.bincount((symbols[part] * size + symbols[part + 1]).flatten(), minlength=size * size)
    counts = counts.view(size, size)
    chances = counts / counts.sum(1, keepdim=True).clamp(min=1)
    ends = torch.nonzero((counts.sum(1) == 0) & (counts.sum(0) > 0))[:, 0]
    origin = counts[:, ends] / counts[:, ends].sum(0)
    ending = counts[:, ends] / counts[:, ends].sum(1, keepdim=True).clamp(min=1)
    chances[ends[:, None], ends] = origin.T @ ending
    before, after = torch.nonzero(chances, as_tuple=True)
    return Pairs(codes, before, after, chances[before, after])


def slow_stages(slow: SlowEncoder, pairs: Pairs, name: str) -> Stages:
    """The slow functions of these latents, all that the network can tell; `times` is their spectrum afterwards.

    Where there are no more than `BATCH` pairs, as there are of symbols, every step sees them all.
    """

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = torch.arange(len(pairs.before))
        if len(rows) > BATCH:
            rows = torch.randint(len(rows), (BATCH,), generator=generator)
        used, row = torch.unique(torch.stack([pairs.before[rows], pairs.after[rows]]), return_inverse=True)
        features = slow.features(pairs.latents[used])
        value = vamp2(features[row[0]], features[row[1]], pairs.weight[rows])
        return -value, {"score": value.detach()}

    yield Stage(name, slow.network, loss, STEPS, lr=RATE)
    with torch.inference_mode():
        features = torch.cat([slow.features(part) for part in pairs.latents.split(16384)])
        slow.settle(*slow_functions(features[pairs.before], features[pairs.after], pairs.weight), pairs.lag)
    slow.requires_grad_(False).eval()


@dataclass(frozen=True)
class Symbols:
    """What is left of latents once a level has dropped what is fast. sets (m, m): the metastable sets that m slow
    functions tell apart, the level's symbols; table (K,): which of them each latent is in.

    Where nothing is dropped, for ablation, every latent is a symbol of its own."""

    sets: Tensor
    table: Tensor


def slow_symbols(slow: SlowEncoder, pairs: Pairs, functions: int) -> Symbols:
    """Cut after the slowest `functions`. A latent that no pair has a part in joins the set that it looks like most."""
    encoder = slow.cut(functions)
    units, shown = encoder(pairs.latents), torch.unique(torch.stack([pairs.before, pairs.after]))
    sets = corners(units[shown])
    return Symbols(sets, (units @ sets.T).argmax(-1))
