"""Levels over positions on a line whose answers are known: encoders change nothing, codes are "back" and "on"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.levels.level import Level
from hplan.levels.macros import Codes


class Known(nn.Module):
    """A part whose answer is a function of what it is asked, the level included."""

    def __init__(self, answer: Callable[..., Tensor]) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, *asked: Any) -> Tensor:
        return self.answer(*asked)


class Moves(Known):
    """By the action, or by `stride` back or on."""

    def __init__(self, *, stride: int, coded: bool) -> None:
        super().__init__(lambda level, z, macro: z + (stride * (2 * macro[:, None] - 1) if coded else macro))


class Either(Known):
    """Back and on are as likely as each other."""

    weight, floors = 0.3, (0.02, 0.005)

    def __init__(self) -> None:
        super().__init__(lambda level, z: torch.full((len(z), 2), 0.5).log())


class Near(Known):
    """What is more than a step and a quarter away cannot follow."""

    def __init__(self) -> None:
        super().__init__(lambda level, z, following: level.distance(z, following) - 1.25)


class BackAndOn(Codes):
    """Code 0 is back, code 1 is on: what happened is the sign of the way."""

    def __init__(self) -> None:
        super().__init__(size=2, width=1, latent=1, hidden=8)
        self.codes.copy_(torch.tensor([[-1.0], [1.0]]))

    def describe(self, level: Level, z: Tensor, following: Tensor, actions: Tensor | None) -> Tensor:
        return (following - z).sign()


def line_level(index: int = 1, stride: int = 4, places: tuple[float, ...] = ()) -> Level:
    """Level 0 moves by its action. A step of level 1 lasts `stride` environment steps, and is as long as that."""
    torch.manual_seed(0)
    stride = stride if index else 1
    actions = {"kind": "actions", "action": "continuous", "size": 1, "low": (-1.0,), "high": (1.0,)}
    parts: dict[str, dict[str, Any]] = {
        "encoder": {"kind": "identity"},
        "macros": {"kind": f"{__name__}:BackAndOn"} if index else actions,
        "dynamics": {"kind": f"{__name__}:Moves", "stride": stride, "coded": bool(index)},
        "prior": {"kind": f"{__name__}:Either"},
        "compatibility": {"kind": f"{__name__}:Near"},
        "space": {"kind": "vector", "latent": 1, "landmarks": max(len(places), 1)},
    }
    level = Level(index=index, stride=stride, parts=parts)
    level.space.unit.fill_(stride)
    level.space.points.copy_(torch.tensor(places or (0.0,))[:, None])
    return level.eval().requires_grad_(False)


def edges(count: int, *rows: tuple[int, int, float, int, int, int]) -> LandmarkEdges:
    """Of rows (start, end, steps, macro, crossings, failures)."""
    columns = torch.tensor(rows, dtype=torch.float64).view(-1, 6).T.numpy()
    start, end, steps, *others = columns
    return LandmarkEdges.of(count, start.astype(int), end.astype(int), steps, *(part.astype(int) for part in others))
