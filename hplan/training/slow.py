"""How the slow functions of a latent are learned, whatever its kind, and which of their gaps are levels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hplan.levels.timescales import Gap, SlowEncoder, corners, cuts, functions_of, gaps
from hplan.objectives.vamp2 import slow_functions, vamp2
from hplan.training.fit import Progress, fit
from hplan.training.maps import Maps, count_events
from hplan.training.trained import Curves

STEPS, BATCH, RATE = 600, 4096, 1e-2
EVENTS, LONGER = 2, 2  # of a level: least events in the busiest tenth of episodes, least steps of the one below in each


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


def train_slow(
    pairs: Pairs, *, name: str, steps: int = STEPS, seed: int, out: Path, device: str, progress: Progress | None
) -> tuple[SlowEncoder, Curves]:
    """The slow functions of these latents, all that the network can tell; `times` of the answer is their spectrum.

    Where there are no more than `BATCH` pairs, as there are of symbols, every step sees them all.
    """
    torch.manual_seed(seed)
    slow = SlowEncoder(pairs.latents.shape[1], functions_of(len(pairs.latents)))

    def score(rows: Tensor) -> Tensor:
        used, row = torch.unique(torch.stack([pairs.before[rows], pairs.after[rows]]), return_inverse=True)
        features = slow.features(pairs.latents[used])
        return vamp2(features[row[0]], features[row[1]], pairs.weight[rows])

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = torch.arange(len(pairs.before))
        if len(rows) > BATCH:
            rows = torch.randint(len(rows), (BATCH,), generator=generator)
        value = score(rows)
        return -value, {"score": value.detach()}

    curve = fit(
        slow.network, loss, name=name, steps=steps, seed=seed, out=out, lr=RATE, device=device, progress=progress
    )
    with torch.inference_mode():
        features = torch.cat([slow.features(part) for part in pairs.latents.split(16384)])
        slow.settle(*slow_functions(features[pairs.before], features[pairs.after], pairs.weight), pairs.lag)
    return slow.requires_grad_(False).eval(), {name: curve}


@dataclass(frozen=True)
class Symbols:
    """What is left of latents once a level has dropped what is fast. `encoder`: their m slow coordinates; sets (m, m):
    the metastable sets that these tell apart, the level's symbols; table (K,): which of them each latent is in.

    Where nothing is dropped, for ablation, `encoder` is the identity and every latent is a symbol of its own."""

    encoder: nn.Module
    sets: Tensor
    table: Tensor


def slow_symbols(slow: SlowEncoder, pairs: Pairs, functions: int) -> Symbols:
    """Cut after the slowest `functions`. A latent that no pair has a part in joins the set that it looks like most."""
    encoder = slow.cut(functions)
    units, shown = encoder(pairs.latents), torch.unique(torch.stack([pairs.before, pairs.after]))
    sets = corners(units[shown])
    return Symbols(encoder, sets, (units @ sets.T).argmax(-1))


def separations(slow: SlowEncoder, pairs: Pairs, maps: Maps, episode: np.ndarray, ratio: int = 0) -> list[Gap]:
    """The gaps of a spectrum that are levels of their own, the fastest first: `maps` are of the latents of `pairs`.

    There are gaps, too, between what never happens and what hardly ever does, and between a slow world and what was
    seen in it once. So something has to happen on a level, or there is nothing to plan: two events an episode, in one
    episode of ten. And something has to be dropped from it: its steps take two of the level below, or more.

    `ratio`: the cuts of `hplan.levels.timescales.cuts` instead, all at which anything is dropped and anything happens.
    """
    found, below = [], count_events(maps.maps, maps, episode).sum()
    for gap in cuts(slow.times, ratio) if ratio else gaps(slow.times):
        count = count_events(slow_symbols(slow, pairs, gap.functions).table[maps.maps], maps, episode)
        total = count.sum()
        if 0 < total < below if ratio else np.quantile(count, 0.9) >= EVENTS and total * LONGER <= below:
            found.append(gap)
            below = total
    return found
