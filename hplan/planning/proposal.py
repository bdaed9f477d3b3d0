"""Which macro-actions a search tries at a latent, and which it keeps for when those fail."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = -100.0  # log probability of what play never showed: not tried whatever happens
APART = 1e3  # more than log probabilities above NEVER differ by


@dataclass(frozen=True)
class PriorProposal:
    """Macro-actions by the level's prior p(m | z), in rounds that widen, one for every floor.

    A round tries what is at least as probable as its floor, `widest` macro-actions of those at the most; the last round
    tries all of them. Of pointed macro-actions the most probable place of every type comes before the second of any:
    the larger the grid, the more places share the chance of what can happen anywhere (putting a thing down), and ranked
    by chance alone they crowd out what can happen in one place only (unlocking the door).
    """

    floors: tuple[float, ...]
    widest: int

    @property
    def rounds(self) -> int:
        return len(self.floors)

    def __call__(self, log_p: Tensor, types: int) -> Tensor:
        """(B, types * places) -> the same, int64: the first round in which each is tried, -1 for never."""
        rounds = torch.full_like(log_p, -1, dtype=torch.long)
        for turn in reversed(range(len(self.floors))):
            floor = self.floors[turn]
            tried = log_p >= (max(math.log(floor), NEVER) if floor > 0 else NEVER)
            if turn < len(self.floors) - 1 and log_p.shape[-1] > self.widest:
                tried &= self._first_in_line(log_p.masked_fill(~tried, -math.inf), types)
            rounds[tried] = turn
        return rounds

    def _first_in_line(self, log_p: Tensor, types: int) -> Tensor:
        places = log_p.shape[-1] // types
        best, place = log_p.unflatten(-1, (types, places)).topk(min(self.widest, places), dim=-1)
        macro = place + places * torch.arange(types, device=log_p.device)[:, None]
        line = (best.double() - APART * torch.arange(best.shape[-1], device=log_p.device)).flatten(1)
        first = line.topk(min(self.widest, line.shape[-1]), dim=-1).indices
        return torch.zeros_like(log_p, dtype=torch.bool).scatter(-1, macro.flatten(1).gather(-1, first), True)
