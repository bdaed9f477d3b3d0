"""What comes and goes by itself in an episode, as obstacles that move do: exogenous, since no action is why.

    p(ground g leaves its cell in one step) = left_g / (left_g + stayed_g + DOUBT)

Where it more likely than not does, nobody can say where it will be when the mover gets there. So level 0 predicts the
ground that it leaves behind, one step from now and later, and the levels above do not see it. What is there now is seen
in the next step alone, which is judged anew before every action.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from hplan.types import StepCost, WorldModel

DOUBT = 2  # times that it is taken to have stayed before anything was seen


class Exogenous:
    """Kinds of ground in the mover's way that leave by themselves, as counted so far in an episode, in cells that the
    mover's own steps did not touch."""

    def __init__(self, level: Any, passable: Tensor) -> None:
        """`level`: level 0, over maps with a mover. passable (grounds,) bool: what the mover can stand on."""
        self.level, self.passable = level, passable
        self.stayed = torch.zeros(len(passable), dtype=torch.long)
        self.left = Counter[int]()
        self.behind: defaultdict[int, Counter[int]] = defaultdict(Counter)  # what is there afterwards
        self.settled: Tensor | None = None  # (V,): what each symbol of level 0 becomes; None where all stay
        self.in_use = True

    def __bool__(self) -> bool:
        return self.settled is not None and self.in_use

    def __call__(self, z: Tensor) -> Tensor:
        """Maps (..., H, W) of level 0 without what comes and goes."""
        return z if self.settled is None or not self.in_use else self.settled[z]

    def take(self, other: Exogenous) -> None:
        """All that another one has counted."""
        self.stayed, self.left, self.behind = other.stayed.clone(), other.left.copy(), deepcopy(other.behind)
        self.settled, self.in_use = other.settled, other.in_use

    def passes(self, z: Tensor) -> Tensor:
        """Maps (..., H, W) -> (..., H, W) bool: where something is that comes and goes."""
        return self(z) != z

    def add(self, before: Tensor, macro: Tensor, after: Tensor) -> bool:
        """A step of level 0 from one map (H, W) to another, by a macro-action (). Whether more, or less, is known to
        come and go since."""
        tokens = self.level.space.tokens
        ground, now = before // tokens, after // tokens
        apart = ground != now
        self.stayed += torch.bincount(ground[~apart], minlength=len(self.stayed))
        if bool(apart.any()):
            apart &= ~self.level.dynamics.touched_cells(self.level, before[None], macro[None])[0]
            for was, becomes in zip(ground[apart].tolist(), now[apart].tolist(), strict=True):
                self.left[was] += 1
                self.behind[was][becomes] += 1
        if not self.left:
            return False
        known, self.settled = self.settled, self._settled(tokens)
        if known is None or self.settled is None:
            return known is not self.settled
        return not torch.equal(known, self.settled)

    def _settled(self, tokens: int) -> Tensor | None:
        """`settled`, by what was counted."""
        symbols = torch.arange(len(self.passable) * tokens)
        settled = symbols.clone()
        for kind, left in self.left.items():
            free = [each for each, _ in self.behind[kind].most_common() if self.passable[each]]
            if free and not self.passable[kind] and left > self.stayed[kind] + DOUBT:
                settled[kind * tokens : (kind + 1) * tokens] += (free[0] - kind) * tokens
        return None if torch.equal(settled, symbols) else settled


@dataclass(frozen=True)
class AsItStands:
    """A constraint of level 0, as `hplan.types.StepCost`, for which what comes and goes is still where it is now."""

    cost: StepCost
    exogenous: Exogenous

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        return self.cost(z, torch.where(self.exogenous.passes(z), z, following))


def watched(levels: Sequence[WorldModel]) -> tuple[tuple[WorldModel, ...], Exogenous | None]:
    """The levels of one episode, as they are where what comes and goes is known, and that; None where no level knows
    what the mover can stand on, or which cells its steps change."""
    passable = getattr(getattr(levels[1], "space", None), "passable", None) if len(levels) > 1 else None
    if passable is None or not hasattr(getattr(levels[0], "dynamics", None), "touched_cells"):
        return tuple(levels), None
    lowest: Any
    upper: Any
    lowest, upper, *others = levels
    found = Exogenous(lowest, passable)
    return (lowest.settling(found), upper.seeing(found), *others), found
