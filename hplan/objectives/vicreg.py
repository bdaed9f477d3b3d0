"""Variance and covariance regularisation, which keeps latents from collapsing: to a point, or to a line.

Source: VICReg (Bardes, Ponce and LeCun, 2022, arXiv 2105.04906), equations 1 and 3, without the invariance term, whose
place the prediction error of a JEPA takes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hplan.objectives.none import squared_distance

SMALLEST = 1e-4  # inside the square root, so that a constant feature still has a gradient
WEIGHT = 10.0  # of the variance term; the covariance term counts once


def variance(z: Float[Tensor, "B D"], target: float = 1.0) -> Float[Tensor, ""]:
    """By how much the standard deviations of the features fall short of `target`, on average."""
    return F.relu(target - torch.sqrt(z.var(0) + SMALLEST)).mean()


def covariance(z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Squared covariances of different features, summed and divided by D."""
    centred = z - z.mean(0)
    matrix = centred.T @ centred / (len(z) - 1)
    return (matrix.square().sum() - matrix.diagonal().square().sum()) / z.shape[1]


class VICReg(nn.Module):
    """`Objective`: squared distance; features vary by one, and not together."""

    momentum: float | None = None

    def __init__(self, dimensions: int) -> None:
        super().__init__()

    def agreement(
        self, predicted: Float[Tensor, "N D"], candidates: Float[Tensor, "K D"], label: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        return squared_distance(predicted, candidates, label)

    def spread(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        return WEIGHT * variance(z) + covariance(z)
