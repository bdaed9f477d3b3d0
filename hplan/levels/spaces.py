"""Latent spaces: what a latent is, how far two are apart, when two are the same, and which one a prediction means.

embed     (B, *z) -> what networks read: (B, D), or (B, H, W, C)
snap      what networks say, (..., D) or (..., C) -> the latent that it means
distance  (B, *z), (B, *z) -> (B,), in typical steps of the level
keys      (B, *z) -> (B, N) int64, equal rows for latents that a search may merge
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.heads.landmarks import nearest_landmark

NEAR = 0.25  # steps from a landmark within which a latent is the same place; at twice that, a step may not leave it


class VectorSpace(nn.Module):
    """Vectors (D,) under the Euclidean distance, in median steps of play that moved (`unit`).

    `points` (K, D) are landmarks of play: two latents are the same if they are closest to the same landmark, and both
    within `NEAR` steps of it or both in one cell of a lattice, `lattice` wide. Infinite: the landmark alone counts.
    Where landmarks have a hole, the one at its edge would make one place of all that lies in it.
    """

    discrete = False
    unit: Tensor
    points: Tensor
    lattice: Tensor

    def __init__(self, *, latent: int, landmarks: int = 2048) -> None:
        """`latent`: D; `landmarks`: the most places that `keys` tells apart without a lattice."""
        super().__init__()
        self.size = latent
        self.register_buffer("unit", torch.tensor(1.0))
        self.register_buffer("points", torch.zeros(landmarks, latent, dtype=torch.float16))
        self.register_buffer("lattice", torch.tensor(torch.inf))

    def embed(self, z: Tensor) -> Tensor:
        return z

    def snap(self, features: Tensor) -> Tensor:
        return features

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z - other).square().sum(-1).sqrt() / self.unit

    def keys(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, 2 + D): the landmark that a latent is closest to, and if that is far a cell of the lattice."""
        landmark = nearest_landmark(z, self.points)
        far = ((z - self.points[landmark]).norm(dim=-1) > NEAR * self.unit) & self.lattice.isfinite()
        return torch.cat([landmark[:, None], far[:, None], (z / self.lattice).round().long() * far[:, None]], -1)


class DiscreteMap(nn.Module):
    """Maps (H, W) int64 of symbols: every cell keeps its place and is one of V known symbols.

    `codes` (V + 1, C) are unit vectors, one a symbol; the last row is zero, for what lies beyond the border of a map.
    Predictions snap to the nearest code, so that equal futures are equal. `typical_change`: cells that a step changes.
    """

    discrete = True
    codes: Tensor
    typical_change: Tensor

    def __init__(self, *, vocabulary: int, channels: int) -> None:
        super().__init__()
        self.outside, self.channels = vocabulary, channels
        self.register_buffer("codes", torch.zeros(vocabulary + 1, channels))
        self.register_buffer("typical_change", torch.tensor(1.0))

    @property
    def symbols(self) -> Tensor:
        """(V, C): the codes of the symbols alone."""
        return self.codes[: self.outside]

    def set_codes(self, codes: Tensor) -> None:
        """Take codes (V, C)."""
        self.codes.copy_(F.pad(codes.detach(), (0, 0, 0, 1)))

    def embed(self, z: Tensor) -> Tensor:
        """(B, H, W) -> (B, H, W, C)."""
        return self.codes[z]

    def similarity(self, features: Tensor) -> Tensor:
        """(..., C) -> (..., V): cosine of features with every code."""
        return features @ self.symbols.T

    def snap(self, features: Tensor) -> Tensor:
        """(..., C) -> (...): the nearest symbol. What is a symbol already stays."""
        return self.similarity(features).argmax(-1) if features.is_floating_point() else features

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z != other).flatten(1).sum(1) / self.typical_change

    def keys(self, z: Tensor) -> Tensor:
        return z.flatten(1)


Space = VectorSpace | DiscreteMap


def features_of(space: Any, z: Tensor) -> Tensor:
    """(N, *z) -> (N, K): latents as a linear probe or a spectrum reads them, flattened."""
    return space.embed(z).flatten(1)
