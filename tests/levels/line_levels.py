"""Levels over positions on a line whose answers are known: encoders change nothing, codes are "back" and "on"."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.levels.level import Level
from hplan.levels.macros import Codes
from hplan.training.vectors import base_level
from hplan.types import MacroSpec


class _Known(nn.Module):
    """A part whose answer is a function of what it is asked, the level included."""

    def __init__(self, answer: Any, **also: Any) -> None:
        super().__init__()
        self.answer = answer
        for name, value in also.items():
            setattr(self, name, value)

    def forward(self, *asked: Any) -> Tensor:
        return self.answer(*asked)


class _BackAndOn(Codes):
    """Code 0 is back, code 1 is on: what happened is the sign of the way."""

    def describe(self, level: Level, z: Tensor, following: Tensor, actions: Tensor | None) -> Tensor:
        return (following - z).sign()


def line_level(index: int = 1, stride: int = 4, places: tuple[float, ...] = ()) -> Level:
    """Level 0 moves by its action. A step of level 1 lasts `stride` environment steps, and is as long as that."""
    torch.manual_seed(0)
    stride = stride if index else 1
    base = base_level((1,), MacroSpec("continuous", 1, low=(-1.0,), high=(1.0,)), latent=1, hidden=8)
    level = Level(
        index=index, stride=stride, parts={**base.parts, "prior": {"kind": "categorical", "seen": 1, "macros": 2}}
    )
    level.space.unit.fill_(stride)
    level.space.points = torch.tensor(places or (0.0,), dtype=torch.float16)[:, None]
    if index:
        level.macros = _BackAndOn(size=2, width=1, latent=1, hidden=8)
        level.macros.codes.copy_(torch.tensor([[-1.0], [1.0]]))
    level.encoder = nn.Identity()
    level.dynamics = _Known(lambda one, z, macro: z + (stride * (2 * macro[:, None] - 1) if index else macro))
    level.prior_head = _Known(lambda one, z: torch.full((len(z), 2), 0.5).log(), weight=0.3, floors=(0.02, 0.005))
    level.compatibility_head = _Known(lambda one, z, following: one.distance(z, following) - 1.25)
    level.uncertainty_head = _Known(lambda one, z, macro: torch.zeros(len(z)))
    return level.eval().requires_grad_(False)


def edges(count: int, *rows: tuple[int, int, float, int, int, int]) -> LandmarkEdges:
    """Of rows (start, end, steps, macro, crossings, failures)."""
    columns = torch.tensor(rows, dtype=torch.float64).view(-1, 6).T.numpy()
    start, end, steps, *others = columns
    return LandmarkEdges.of(count, start.astype(int), end.astype(int), steps, *(part.astype(int) for part in others))
