"""What comes and goes by itself in an episode, as obstacles that move do: exogenous, since no action is why.

    p(ground g leaves its cell in one step) = left_g / (left_g + stayed_g + DOUBT)

Where it more likely than not does, nobody can say where it will be when the mover gets there. So level 0 predicts the
ground that it leaves behind, one step from now and later, and the levels above do not see it. What is there now is seen
in the next step alone, which is judged anew before every action.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from hplan.types import WorldModel

DOUBT = 2  # times that it is taken to have stayed before anything was seen


class Exogenous:
    """Kinds of ground in the mover's way that leave by themselves, as counted so far in an episode, in cells that the
    mover's own steps did not touch."""

    def __init__(self, level: Any, passable: Tensor) -> None:
        """`level`: level 0, over maps with a mover. passable (grounds,) bool: what the mover can stand on."""
        self.level, self.passable = level, passable
        self.left, self.stayed = Counter[int](), Counter[int]()
        self.behind: defaultdict[int, Counter[int]] = defaultdict(Counter)  # what is there afterwards
        self.settled: Tensor | None = None  # (V,): what each symbol of level 0 becomes; None where all stay
        self.in_use = True

    def __bool__(self) -> bool:
        return self.settled is not None and self.in_use

    def __call__(self, z: Tensor) -> Tensor:
        """Maps (..., H, W) of level 0 without what comes and goes."""
        return z if self.settled is None or not self.in_use else self.settled[z]

    def add(self, before: Tensor, macro: Tensor, after: Tensor) -> bool:
        """A step of level 0 from one map (H, W) to another, by a macro-action (). Whether more, or less, is known to
        come and go since."""
        tokens = self.level.space.tokens
        ground, now = before // tokens, after // tokens
        apart = ground != now
        if not self.left and not bool(apart.any()):
            return False
        others = ~self.level.dynamics.touched_cells(self.level, before[None], macro[None])[0]
        apart &= others
        for was, becomes in zip(ground[apart].tolist(), now[apart].tolist(), strict=True):
            self.left[was] += 1
            self.behind[was][becomes] += 1
        for kind in self.left:
            self.stayed[kind] += int(((ground == kind) & others & ~apart).sum())
        known, self.settled = self.settled, self._settled(tokens)
        return self.settled is not known and (
            known is None or self.settled is None or not torch.equal(known, self.settled)
        )

    def _settled(self, tokens: int) -> Tensor | None:
        """`settled`, by what was counted."""
        symbols = torch.arange(len(self.passable) * tokens)
        settled = symbols.clone()
        for kind, left in self.left.items():
            free = [each for each, _ in self.behind[kind].most_common() if self.passable[each]]
            if free and not self.passable[kind] and left > self.stayed[kind] + DOUBT:
                settled[kind * tokens : (kind + 1) * tokens] += (free[0] - kind) * tokens
        return None if torch.equal(settled, symbols) else settled


def watched(levels: Sequence[WorldModel]) -> tuple[tuple[WorldModel, ...], Exogenous | None]:
    """The levels of one episode, as they are where what comes and goes is known, and that; None where no level knows
    what the mover can stand on."""
    spaces = [getattr(level, "space", None) for level in levels[:2]]
    passable = getattr(spaces[-1], "passable", None)
    if len(levels) < 2 or passable is None:
        return tuple(levels), None
    lowest: Any
    upper: Any
    lowest, upper, *others = levels
    found = Exogenous(lowest, passable)
    return (lowest.settling(found), upper.seeing(found), *others), found
