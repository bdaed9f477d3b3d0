"""A toy stack with known optima: a corridor of cells, and levels that see it in blocks of 4, 16, 64 cells."""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.types import Capabilities, MacroSpec

BLOCK = 4


class Corridor:
    """Level k of a corridor of `length` cells: z_k (1,) numbers the block of 4^k cells. Moves: back, stay, on."""

    gradual = False  # whether latents change by and by
    success, words = None, ()
    compatibility = obstruction = outcomes = process = policy = returns = None
    landmarks = possible = approach = relaxation = None

    def __init__(self, index: int, length: int = 256) -> None:
        self.index, self.length = index, length
        self.stride = float(BLOCK**index)
        self.macro = MacroSpec("discrete", 3, names=("back", "stay", "on"))
        self.capabilities = Capabilities(discrete=not self.gradual, events=index > 0 and not self.gradual)

    def encode(self, below: Tensor) -> Tensor:
        return below.float() if self.index == 0 else torch.div(below, BLOCK, rounding_mode="floor")

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return (z + macro[:, None] - 1).clamp(0, self.length // BLOCK**self.index - 1)

    def prior(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), 3)

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z - other).abs().sum(-1)

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def keys(self, z: Tensor) -> Tensor:
        return z.long()


class Gradual(Corridor):
    """Its latents change by and by."""

    gradual = True


def stack(levels: int, length: int = 256) -> tuple[Corridor, ...]:
    return tuple(Corridor(k, length) for k in range(levels))


def latents(levels: tuple[Corridor, ...], position: int) -> tuple[Tensor, ...]:
    z, found = torch.tensor([[float(position)]]), []
    for level in levels:
        z = level.encode(z)
        found.append(z[0])
    return tuple(found)
