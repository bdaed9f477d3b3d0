"""What every objective is: how predictions agree with their targets, and what keeps latents apart."""

from __future__ import annotations

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor


class Objective(Protocol):
    """A `torch.nn.Module`, made with the number of dimensions D of latents, and found by name in `hplan.parts`.

    Candidates and rows of `spread` are of the whole batch: a level whose batch is split over devices gathers them
    (`hplan.objectives.whole_batch`).
    """

    momentum: float | None
    """None: targets are the encoder's own latents and carry gradient. Else: they are those of a copy that follows it at
    this rate, without gradient."""

    def agreement(
        self, predicted: Float[Tensor, "N D"], candidates: Float[Tensor, "K D"], label: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """The cost of each predicted row, whose target is candidates[label]."""
        ...

    def spread(self, z: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
        """The cost of latents that are not apart; 0 where `agreement` sees to it, or nothing does."""
        ...
