"""Success of several things at once: what has to be somewhere in a map, and what must be nowhere, as play counts it.

    logit(z)  =  1/2 - (things missing) - (cells of z with what must be nowhere)

A classifier that adds up what cells say is content with one of them (`hplan.levels.heads.success.MapSuccess`): two
doors that must both be open, or coins of which none may be left, it cannot tell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hplan.levels.heads.missions import CHANCE, looked_at

if TYPE_CHECKING:
    from hplan.levels.level import Level

MOST = 4  # conditions
FEWEST = 10  # rewarded maps that they are read off


class Conjunction(nn.Module):
    """Of a map. kinds (C, V + 1) bool: the symbols that each condition is about, that of what lies outside last;
    somewhere (C,) bool: whether one of them has to be in the map, or none may be."""

    kinds: Tensor
    somewhere: Tensor

    def __init__(self, *, conditions: int, symbols: int) -> None:
        """`symbols`: V + 1."""
        super().__init__()
        self.register_buffer("kinds", torch.zeros(conditions, symbols, dtype=torch.bool))
        self.register_buffer("somewhere", torch.ones(conditions, dtype=torch.bool))

    def forward(self, level: Level, z: Tensor) -> Tensor:
        cells = self.kinds[:, z.flatten(1)].sum(-1)  # (C, B)
        return 0.5 - torch.where(self.somewhere[:, None], (cells == 0).long(), cells).sum(0).float()


def present(maps: Tensor, kinds: int) -> Tensor:
    """(K, H, W) of numbers -> (K, kinds) bool: which of them are anywhere in each map."""
    flat = maps.flatten(1)
    return torch.zeros(len(flat), kinds, dtype=torch.bool).scatter_(1, flat, True)


def conjunction(
    space: Any, latents: Callable[[Tensor], Tensor], positive: Tensor, negative: Tensor
) -> tuple[Tensor, Tensor] | None:
    """`kinds` and `somewhere` of a `Conjunction` that tells rows of play that were rewarded (K,) from those that were
    not; None where a few conditions on kinds of ground or tokens do not.

    What holds in all rewarded maps is a condition; first the one by which most others drop out, then the one by which
    most of those left do. Every second row is read, and the rest must agree.
    """
    if len(positive) < FEWEST or not len(negative):
        return None
    ground, tokens = space.outside // space.tokens + 1, space.tokens
    rewarded, others = (
        torch.cat(
            [
                torch.cat([present(z // tokens, ground), present(z % tokens, tokens)], 1)
                for z in (latents(part) for part in looked_at(rows).split(512))
            ]
        )
        for rows in (positive, negative)
    )
    kinds = ground + tokens
    rewarded, others = (torch.cat([there, ~there], 1) for there in (rewarded, others))
    always, few = rewarded[::2].float().mean(0) >= 1 - CHANCE, CHANCE / kinds
    left, chosen = others[::2], list[int]()
    while len(left) > few * len(others[::2]):
        stay = torch.where(always, left.float().mean(0), 1.0)
        best = int(stay.argmin())
        if len(chosen) == MOST or stay[best] == 1:
            return None
        chosen.append(best)
        left = left[left[:, best]]
    agreed, denied = (rows[1::2][:, chosen].all(1).float().mean() for rows in (rewarded, others))
    if not chosen or agreed < 1 - CHANCE or denied > few:
        return None
    symbols = torch.arange(space.outside + 1)
    about = [
        symbols // tokens == kind if kind < ground else symbols % tokens == kind - ground
        for kind in (each % kinds for each in chosen)
    ]
    return torch.stack(about), torch.tensor([each < kinds for each in chosen])
