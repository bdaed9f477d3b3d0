"""What every objective is, and the ones that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from hplan.objectives.byol import BYOL
from hplan.objectives.dino import DINO
from hplan.objectives.infonce import InfoNCE
from hplan.objectives.none import PredictionError
from hplan.objectives.sigreg import SIGReg
from hplan.objectives.vicreg import VICReg
from hplan.types import UsageError


class Objective(Protocol):
    """A `torch.nn.Module` that says how well predictions agree with their targets, and what keeps latents apart.

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


_BY_NAME: dict[str, Callable[[int], Objective]] = {
    "vicreg": lambda dimensions: VICReg(),
    "sigreg": lambda dimensions: SIGReg(),
    "infonce": lambda dimensions: InfoNCE(),
    "byol": lambda dimensions: BYOL(),
    "dino": DINO,
    "none": lambda dimensions: PredictionError(),
}
NAMES = tuple(_BY_NAME)


def make_objective(name: str, dimensions: int) -> Objective:
    """The objective of that name for latents (D,). Raises UsageError with the names that there are."""
    if name not in _BY_NAME:
        raise UsageError(f"objective {name!r} is not known; choose one of {', '.join(NAMES)}")
    return _BY_NAME[name](dimensions)
