"""Play as one level sees it: which of its steps were taken, by which macro-actions, and what they led to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.data.windows import PlayData
from hplan.models.spatial import event_of

MOST = 2_000  # chains of steps that errors are measured on


@dataclass(frozen=True)
class Steps:
    """level; z (N, *z) of every row of play. Step i of E begins at row `begin[i]`, ends at row `end[i]` and took
    `macros[i]`; `follows[i]`: how many known steps follow one another from there, itself included.
    types (E,): of discrete macro-actions, without their place; None for continuous ones."""

    level: Any
    z: Tensor
    begin: Tensor
    end: Tensor
    macros: Tensor
    successor: Tensor
    follows: Tensor
    types: Tensor | None

    def holds(self, horizon: int) -> bool:
        return bool((self.follows >= horizon).any())

    def errors(self, horizon: int) -> tuple[int, float, float]:
        """(horizon, open-loop error, error of predicting no change) after so many steps, in steps of the level."""
        at = torch.nonzero(self.follows >= horizon)[:, 0]
        at = at[:: max(len(at) // MOST, 1)]
        start = z = true = self.z[self.begin[at]]
        for _ in range(horizon):
            z, true, at = self.level.predict(z, self.macros[at]), self.z[self.end[at]], self.successor[at]
        return horizon, float(self.level.distance(z, true).mean()), float(self.level.distance(start, true).mean())

    def difference(self, rows: Tensor, others: Tensor) -> float:
        """Mean squared difference of latents; of symbols, the share of cells that differ."""
        if self.level.exact:
            return float((self.level.keys(self.z[rows]) != self.level.keys(self.z[others])).float().mean())
        return float((self.z[rows] - self.z[others]).square().sum(-1).mean())

    def cells(self) -> Tensor:
        """(V, C): the different cells of symbolic latents, each once."""
        return self.level.codes


def steps_of(level: Any, below: Tensor, z: Tensor, data: PlayData) -> Steps:
    """below (N, ...): what the level encodes into z (N, *z)."""
    remaining = torch.from_numpy(data.remaining.astype(np.int64))
    actions = torch.from_numpy(np.asarray(data.actions))
    if level.exact and level.index:
        return _events(level, z, remaining)
    stride = round(level.stride) if not level.exact else 1
    begin = torch.nonzero(remaining >= stride)[:, 0]
    if level.index == 0:
        macros = actions[begin]
    else:
        taken = actions[begin[:, None] + torch.arange(stride)]
        macros = level.codebook.nearest(level.describe(z[begin], z[begin + stride], taken))
    number = torch.full((len(z),), -1)
    number[begin] = torch.arange(len(begin))
    successor = number[(begin + stride).clamp(max=len(z) - 1)]
    return Steps(
        level,
        z,
        begin,
        begin + stride,
        macros,
        successor.clamp(min=0),
        remaining[begin] // stride,
        macros if level.macro.kind == "discrete" else None,
    )


def _events(level: Any, z: Tensor, remaining: Tensor) -> Steps:
    symbols = torch.cat([level.symbols(part) for part in z.split(1024)])
    starts = torch.nonzero(remaining > 0)[:, 0]
    at = starts[(symbols[starts] != symbols[starts + 1]).flatten(1).any(1)]
    macros, known = event_of(symbols[at], symbols[at + 1], level.edits)
    follows = torch.zeros(len(at), dtype=torch.long)
    same = torch.zeros(len(at), dtype=torch.bool)
    if len(at) > 1:
        same[:-1] = remaining[at[:-1]] - remaining[at[1:]] == at[1:] - at[:-1]
    for i in reversed(range(len(at))):
        if known[i]:
            follows[i] = 1 + (follows[i + 1] if same[i] else 0)
    successor = (torch.arange(len(at)) + 1).clamp(max=max(len(at) - 1, 0))
    kinds = (macros // symbols[0].numel())[known]
    return Steps(level, z, at, at + 1, macros, successor, follows, kinds)
