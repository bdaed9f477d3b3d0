"""Predict what a slowly moving copy of the encoder sees: no negatives, and no statistic of the batch.

Source: BYOL (Grill et al., 2020, arXiv 2006.07733), equation 2, with the level's own predictor as the predictor. What
keeps it from collapsing is how it is trained, not what it minimises: a constant costs nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hplan.objectives.none import squared_distance


class BYOL(nn.Module):
    """`Objective`: the angle to the target (equation 2), and the squared distance to it.

    Equation 2 looks at directions alone. Planning measures distances between latents, so a prediction has to land on
    its target in length too.
    """

    momentum: float | None = 0.99  # the paper's 0.996 is for runs a hundred times as long

    def __init__(self, dimensions: int) -> None:
        super().__init__()

    def agreement(
        self, predicted: Float[Tensor, "N D"], candidates: Float[Tensor, "K D"], label: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        cosine = F.cosine_similarity(predicted, candidates[label], dim=-1)
        return 2 - 2 * cosine + squared_distance(predicted, candidates, label)

    def spread(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        return torch.zeros((), device=z.device)
