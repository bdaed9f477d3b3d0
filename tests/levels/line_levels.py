"""Levels over positions on a line whose answers are known: encoders change nothing, codes are "back" and "on"."""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.levels.landmark_edges import LandmarkEdges
from hplan.levels.vector import VectorLevel


class LineLevel(VectorLevel):
    """Level 0 moves by its action. A step of level 1 lasts `stride` environment steps, and is as long as that."""

    def __init__(self, index: int = 1, stride: int = 4, places: tuple[float, ...] = ()) -> None:
        torch.manual_seed(0)
        kind = {"macro_kind": "continuous", "macro_low": (-1.0,), "macro_high": (1.0,)} if index == 0 else {}
        super().__init__(
            index=index,
            inputs=1,
            macros=2 if index else 1,
            stride=stride,
            latent=1,
            hidden=8,
            width=1,
            window=stride * index,
            landmarks=max(len(places), 1),
            **kind,
        )
        self.unit.fill_(stride)
        if index:
            self.codebook.codes.copy_(torch.tensor([[-1.0], [1.0]]))
        if places:
            self.landmarks.copy_(torch.tensor(places)[:, None])
        self.eval().requires_grad_(False)

    def encode(self, below: Tensor) -> Tensor:
        return below

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return z + (self.stride * (2 * macro[:, None] - 1) if self.index else macro)

    def prior(self, z: Tensor) -> Tensor:
        return torch.full((len(z), 2), 0.5).log()

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        return self.distance(z, following) - 1.25

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def describe(self, z: Tensor, following: Tensor, actions: Tensor | None) -> Tensor:
        return (following - z).sign()


def edges(count: int, *rows: tuple[int, int, float, int, int, int]) -> LandmarkEdges:
    """Of rows (start, end, steps, macro, crossings, failures)."""
    columns = torch.tensor(rows, dtype=torch.float64).view(-1, 6).T.numpy()
    start, end, steps, *others = columns
    return LandmarkEdges.of(count, start.astype(int), end.astype(int), steps, *(part.astype(int) for part in others))
