"""The contrastive objective: tell the true partner of each row from the partners of all other rows.

Source: InfoNCE (van den Oord, Li and Vinyals, 2018, arXiv 1807.03748), equation 4. At its optimum the logit of (x, y)
is log p(y | x) / p(y) up to a constant of x: how much more often y follows x than it occurs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

TEMPERATURE = 0.1  # squared distance at which a candidate counts half an e-fold less


def infonce(logits: Float[Tensor, "B K"], partner: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """Row i scores every candidate for i, and its true one is partner[i]."""
    return F.cross_entropy(logits, partner)


class InfoNCE(nn.Module):
    """`Objective`: the target has to be nearer to the prediction than all other candidates, which keeps them apart.

    A logit is -|p - c|^2 / (2 * temperature): for unit vectors the cosine over the temperature, up to a constant.
    """

    momentum: float | None = None

    def __init__(self, dimensions: int) -> None:
        super().__init__()

    def agreement(
        self, predicted: Float[Tensor, "N D"], candidates: Float[Tensor, "K D"], label: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        # |p|^2 is the same for all candidates of a row and leaves the cross-entropy as it is
        logits = torch.addmm(-candidates.square().sum(-1) / 2, predicted, candidates.T) / TEMPERATURE
        return F.cross_entropy(logits, label, reduction="none")

    def spread(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        return torch.zeros((), device=z.device)
