"""Self-distillation over prototypes: a slow copy of the encoder says which ones a latent belongs to.

Source: DINO (Caron et al., 2021, arXiv 2104.14294), equation 1 and section 3.1: centering keeps one prototype from
taking all latents, sharpening keeps latents from belonging to all prototypes alike.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from hplan.objectives.none import squared_distance

PROTOTYPES = 64
SHARP, SOFT = 0.04, 0.1  # temperatures of the target and of the prediction
CENTRE = 0.9  # the centre remembers about ten batches


class DINO(nn.Module):
    """`Objective`: cross-entropy between prototypes of target and prediction, and the squared distance to the target.

    Prototypes see the direction of a latent, and no finer than they lie apart. Planning measures distances, so a
    prediction has to land on its target as well.
    """

    momentum: float | None = 0.99  # the paper's 0.996 is for runs a hundred times as long
    followed: Tensor
    centre: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(PROTOTYPES, dimensions))
        self.register_buffer("followed", self.prototypes.detach().clone())  # the target's: a slow copy, as its encoder
        self.register_buffer("centre", torch.zeros(PROTOTYPES))

    def agreement(
        self, predicted: Float[Tensor, "N D"], candidates: Float[Tensor, "K D"], label: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        belongs = self._targets(candidates)[label]
        log_p = (_cosines(predicted, self.prototypes) / SOFT).log_softmax(-1)
        return -(belongs * log_p).sum(-1) + squared_distance(predicted, candidates, label)

    def spread(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        return torch.zeros((), device=z.device)

    @torch.no_grad()
    def _targets(self, candidates: Float[Tensor, "K D"]) -> Float[Tensor, "K P"]:
        """Centred and sharpened; while training, copy and centre move on."""
        assert self.momentum is not None
        if self.training:
            self.followed.lerp_(self.prototypes, 1 - self.momentum)
        scores = _cosines(candidates, self.followed)
        belongs = ((scores - self.centre) / SHARP).softmax(-1)
        if self.training:
            self.centre.lerp_(scores.mean(0), 1 - CENTRE)
        return belongs


def _cosines(z: Float[Tensor, "K D"], prototypes: Float[Tensor, "P D"]) -> Float[Tensor, "K P"]:
    return F.normalize(z, dim=-1) @ F.normalize(prototypes, dim=-1).T
