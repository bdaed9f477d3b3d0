"""Prediction error alone: nothing keeps latents apart, and a constant is predicted best. The negative control.

Source: the prediction term of a joint-embedding predictive architecture (LeCun, 2022, A Path Towards Autonomous Machine
Intelligence, section 4.4), without any of its regularisers.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def squared_distance(
    predicted: Float[Tensor, "N D"], candidates: Float[Tensor, "K D"], label: Int[Tensor, " N"]
) -> Float[Tensor, " N"]:
    """Of each predicted row from its own candidate."""
    return (predicted - candidates[label]).square().sum(-1)


class PredictionError(nn.Module):
    """`Objective`: squared distance, and no more."""

    momentum: float | None = None

    def __init__(self, dimensions: int) -> None:
        super().__init__()

    def agreement(
        self, predicted: Float[Tensor, "N D"], candidates: Float[Tensor, "K D"], label: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        return squared_distance(predicted, candidates, label)

    def spread(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        return torch.zeros((), device=z.device)
