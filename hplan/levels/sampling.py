"""Rows of play drawn by where they are: what is learned of a place should not depend on how often play was there.

Play stays where it cannot leave, and hardly goes where a detour leads. What a level says of a place is conditional on
the place (its prior, its codes, what can follow), so density reweighting does not bend it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hplan.levels.heads.landmarks import farthest_points, nearest_landmark

if TYPE_CHECKING:
    from hplan.play.play import Play

PLACES = 200  # landmarks, as evenly spread over play as can be
SEEN = 30_000  # latents that they are chosen from
MOVING = 0.25  # a window moved if its step is more than this share of a long one (the 95th percentile)
LOOKED_AT = 20_000  # steps, for how long a long one is
RAREST = 16.0  # times that a row counts at the most: a few rows that are like no others must not be all there is


class EvenDraws:
    """Draws of `rows` (K,) whose latents are z (K, D): each place alike, but no row counts more than `rarest` times."""

    def __init__(self, rows: Tensor, z: Tensor, rarest: float = RAREST) -> None:
        some = z[:: max(len(z) // SEEN, 1)]
        landmarks = some[farthest_points(some, PLACES)]
        place = torch.cat([nearest_landmark(part, landmarks) for part in z.split(65_536)])
        visits = torch.bincount(place, minlength=len(landmarks)).double()
        weight = 1 / visits.clamp(min=float(visits.mean()) / rarest)
        self.rows, self.chance = rows, weight[place].cumsum(0)

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) int64 rows, with replacement."""
        at = torch.rand(count, generator=generator, dtype=torch.float64) * self.chance[-1]
        return self.rows[torch.searchsorted(self.chance, at).clamp(max=len(self.rows) - 1)]


def throughout(holds: Tensor, rows: Tensor, steps: int, stride: int) -> Tensor:
    """(N,) bool, (K,) -> (K,) bool: where it holds at the beginning of each of so many steps from a row on."""
    return torch.stack([holds[rows + i * stride] for i in range(steps)]).all(0)


def moving(play: Play, stride: int) -> Tensor:
    """(N,) bool: whether a step of `stride` environment steps from each row goes anywhere, seen from the level below.

    A demonstrator that hovers shows steps that lead nowhere; where it hovered, they would be all that a prior knows.
    """
    rows, seen = play.starts(stride), play.below.flatten(1).float()
    size = (seen[rows + stride] - seen[rows]).square().sum(-1).sqrt()
    longest = size[:: max(len(size) // LOOKED_AT, 1)].quantile(0.95)
    moved = torch.zeros(len(play), dtype=torch.bool)
    moved[rows] = size > MOVING * longest
    return moved
