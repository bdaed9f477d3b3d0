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

    A symbol is ground * T + token: what a cell is, and what of the *mover* is there. Token 0 is nothing; where play
    shows no mover apart from the ground, T = 1. Both have codes of their own, so that what varies independently is
    predicted independently: a mover in a doorway is known from movers and doorways (product quantisation; Jégou, Douze
    and Schmid, 2011).

    `codes` (grounds + 1, C) are unit vectors, the last one zero, for what lies beyond the border of a map;
    `token_codes` (T, D). Predictions snap to the nearest code, so that equal futures are equal. `movers` (V,): symbols
    of which every map of play shows exactly one. `typical_change`: cells that a step changes.
    """

    discrete = True
    codes: Tensor
    token_codes: Tensor
    movers: Tensor
    typical_change: Tensor

    def __init__(self, *, vocabulary: int, channels: int, tokens: int = 1, token_channels: int = 0) -> None:
        """`vocabulary`: kinds of ground."""
        super().__init__()
        self.outside, self.tokens = vocabulary * tokens, tokens
        self.ground_channels, self.channels = channels, channels + token_channels
        self.register_buffer("codes", torch.zeros(vocabulary + 1, channels))
        self.register_buffer("token_codes", torch.zeros(tokens, token_channels))
        self.register_buffer("movers", torch.zeros(vocabulary * tokens, dtype=torch.bool))
        self.register_buffer("typical_change", torch.tensor(1.0))

    @property
    def symbols(self) -> Tensor:
        """(V, C + D): the codes of the symbols alone."""
        return self.embed(torch.arange(self.outside, device=self.codes.device))

    def set_codes(self, codes: Tensor, token_codes: Tensor | None = None) -> None:
        """Take codes (grounds, C) and (T, D)."""
        self.codes.copy_(F.pad(codes.detach(), (0, 0, 0, 1)))
        if token_codes is not None:
            self.token_codes.copy_(token_codes.detach())

    def embed(self, z: Tensor) -> Tensor:
        """(..., H, W) -> (..., H, W, C + D)."""
        return self.embedded(z, self.codes, self.token_codes)

    def kinds(self, z: Tensor) -> Tensor:
        """Maps (N, H, W) -> (K, C + D): each different cell once, as networks read it."""
        return self.embed(z.unique())

    def embedded(self, z: Tensor, codes: Tensor, token_codes: Tensor) -> Tensor:
        """The same by other codes (grounds + 1, C) and (T, D)."""
        if self.tokens == 1:
            return codes[z]
        return torch.cat([codes[z // self.tokens], token_codes[z % self.tokens]], -1)

    def factors(self, features: Tensor, codes: Tensor, token_codes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each factor of features (..., C + D) and the codes that it can be: of the ground, and of a token."""
        if self.tokens == 1:
            return [(features, codes)]
        return [(features[..., : self.ground_channels], codes), (features[..., self.ground_channels :], token_codes)]

    def labels(self, z: Tensor) -> list[Tensor]:
        """Of symbols (...), which code each factor is."""
        return [z] if self.tokens == 1 else [z // self.tokens, z % self.tokens]

    def unit(self, features: Tensor) -> Tensor:
        """Features (..., C + D), every factor at length one."""
        if self.tokens == 1:
            return F.normalize(features, dim=-1)
        parts = features.split([self.ground_channels, self.channels - self.ground_channels], -1)
        return torch.cat([F.normalize(part, dim=-1) for part in parts], -1)

    def similarity(self, features: Tensor) -> list[Tensor]:
        """(..., C + D) -> cosines of each factor with every code of it, (..., grounds) and (..., T)."""
        own = self.factors(features, self.codes[:-1], self.token_codes)
        return [part @ codes.T for part, codes in own]

    def snap(self, features: Tensor) -> Tensor:
        """(..., C + D) -> (...): the nearest symbol. What is a symbol already stays."""
        if not features.is_floating_point():
            return features
        found = [cosines.argmax(-1) for cosines in self.similarity(features)]
        return found[0] if self.tokens == 1 else found[0] * self.tokens + found[1]

    @property
    def has_mover(self) -> bool:
        return self.tokens > 1 or bool(self.movers.any())

    def mover(self, z: Tensor) -> Tensor:
        """(B, H, W) -> (B,): the flat cell of the mover. A map without one, which only a mistaken level imagines, has
        it in the corner."""
        there = self.movers[z] if self.tokens == 1 else z % self.tokens > 0
        return there.flatten(1).long().argmax(1)

    def beside(self, z: Tensor, within: int) -> Tensor:
        """(B, H, W) -> (B, H, W): what is farther from the mover is as what lies outside. `within`: a squared distance,
        1 for the four cells next to it, 2 for eight."""
        row, column = (torch.arange(size, device=z.device) for size in z.shape[1:])
        at = self.mover(z)[:, None]
        rows, columns = (row - at // z.shape[2]).square(), (column - at % z.shape[2]).square()
        return torch.where(rows[:, :, None] + columns[:, None] <= within, z, self.outside)

    def changed(self, z: Tensor, following: Tensor) -> Tensor:
        """(B, H, W) twice -> (B,) bool: whether anything happened, as far as this level sees."""
        return (z != following).flatten(1).any(1)

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z != other).flatten(1).sum(1) / self.typical_change

    def keys(self, z: Tensor) -> Tensor:
        return z.flatten(1)


Space = VectorSpace | DiscreteMap


def features_of(space: Any, z: Tensor) -> Tensor:
    """(N, *z) -> (N, K): latents as a linear probe or a spectrum reads them, flattened."""
    return space.embed(z).flatten(1)
