"""Episodes out of order: what a level learns from them is of no use, which shows that it is where they are in order."""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.training.vector import Play


def out_of_order(play: Play, seed: int) -> Tensor:
    """(N,) int64: the rows of play, those of every episode among themselves in a random order."""
    last = (play.remaining == 0).long()
    episode = last.cumsum(0) - last
    within = torch.rand(len(episode), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (episode + within).argsort()
