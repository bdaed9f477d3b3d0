"""Sketched isotropic Gaussian regularisation: seen along any direction, latents are a standard normal distribution.

Source: SIGReg of LeJEPA (Balestriero and LeCun, 2025, arXiv 2511.08544), with the statistic of Epps and Pulley (1983)
between the empirical characteristic function and that of N(0, 1). The paper multiplies it by the number of rows; here
it does not grow with the batch, and `WEIGHT` stands for both the rows and the paper's lambda.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hplan.objectives.none import squared_distance
from hplan.objectives.whole_batch import agreed

DIRECTIONS = 256  # drawn anew at every step, so that few of them cover all
POINTS, FARTHEST = 17, 5.0  # of the quadrature, as in the paper
WEIGHT = 25.0  # a collapsed batch, whose statistic is 0.409, then costs as much as under VICReg


def epps_pulley(x: Float[Tensor, "B M"]) -> Float[Tensor, " M"]:
    """Squared distance of each column's characteristic function from that of N(0, 1), integrated.

    Weighed by exp(-t^2 / 2), by the trapezoidal rule. 0 for N(0, 1), 0.409 for a constant 0.
    """
    t = torch.linspace(-FARTHEST, FARTHEST, POINTS, device=x.device)
    normal = torch.exp(-t.square() / 2)
    angles = x[..., None] * t
    gap = (angles.cos().mean(0) - normal).square() + angles.sin().mean(0).square()
    return torch.trapezoid(gap * normal, t, dim=-1)


def sigreg(z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """The statistic of `epps_pulley` on average over random directions."""
    directions = F.normalize(agreed(torch.randn(z.shape[1], DIRECTIONS, device=z.device)), dim=0)
    return epps_pulley(z @ directions).mean()


class SIGReg(nn.Module):
    """`Objective`: squared distance; latents are a standard normal cloud."""

    momentum: float | None = None

    def __init__(self, dimensions: int) -> None:
        super().__init__()

    def agreement(
        self, predicted: Float[Tensor, "N D"], candidates: Float[Tensor, "K D"], label: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        return squared_distance(predicted, candidates, label)

    def spread(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        return WEIGHT * sigreg(z)
