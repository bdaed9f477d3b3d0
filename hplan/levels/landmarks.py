"""Landmarks: a few real latents that lie about evenly over everything that play visited.

They give search its notion of "near enough to be the same" (`WorldModel.keys`), and the landmark graph its nodes.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Landmarked(Protocol):
    """A level that has landmarks (K, D), in the order in which they were found: the first few lie about evenly too."""

    landmarks: Tensor


def farthest_points(z: Tensor, count: int, radius: float = 0.0) -> Tensor:
    """(N, D) -> (K,) rows, K <= count, each the one farthest from those before; stops when all are within `radius`.

    Source: Gonzalez, 1985, "Clustering to minimize the maximum intercluster distance": at most twice the best radius.
    """
    chosen = [0]
    distance = (z - z[0]).square().sum(-1)
    while len(chosen) < min(count, len(z)):
        farthest = int(distance.argmax())
        if float(distance[farthest]) <= radius**2:
            break
        chosen.append(farthest)
        distance = torch.minimum(distance, (z - z[farthest]).square().sum(-1))
    return torch.tensor(chosen, device=z.device)


def nearest_landmark(z: Tensor, landmarks: Tensor) -> Tensor:
    """(B, D), (K, D) -> (B,) int64: the landmark that each latent is closest to."""
    landmarks = landmarks.to(z.dtype)
    scores = z @ landmarks.T - landmarks.square().sum(-1) / 2  # the largest score has the least distance
    return scores.argmax(-1)


def same_places(z: Tensor, landmarks: Tensor, near: Tensor, lattice: Tensor) -> Tensor:
    """(B, D), (K, D) -> (B, 2 + D) int64, equal for latents that count as the same place: closest to the same landmark,
    and both within `near` of it or both in one cell of a lattice, `lattice` wide. Infinite: the landmark alone counts.

    Where landmarks have a hole, the one at its edge would make one place of all that lies in it.
    """
    landmark = nearest_landmark(z, landmarks)
    far = ((z - landmarks[landmark]).norm(dim=-1) > near) & lattice.isfinite()
    return torch.cat([landmark[:, None], far[:, None], (z / lattice).round().long() * far[:, None]], -1)
