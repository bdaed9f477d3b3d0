"""Whether level 0 gets anywhere: for how many steps in a row it has moved far less than it expected to."""

from __future__ import annotations

from torch import Tensor

from hplan.types import WorldModel


class NoProgress:
    """Watches level 0. Symbols get nowhere where nothing changes at all.

    share: of the way that level 0 expected, below which a step has failed. limit: such steps in a row that are too
    many. error: steps that a prediction may be off by, as in play: what is short by less is noise of a sensor.
    """

    def __init__(self, level: WorldModel, share: float, limit: int, error: float = 0.0) -> None:
        self.level, self.share, self.limit, self.error = level, share, limit, error
        self.short = 0
        self.before: Tensor | None = None

    def failed_step(self, expected: Tensor | None, z: Tensor) -> tuple[Tensor, Tensor] | None:
        """Once a step: (where it began, where it should have led) if level 0, which expected to be at `expected` (*z)
        if anywhere, is at z far short of it. Of symbols, what was not as expected is a surprise anyway: None."""
        start, self.before = self.before, z
        if start is None or expected is None:
            return None
        way, moved = (float(self.level.distance(start[None], end[None])[0]) for end in (expected, z))
        short = moved < self.share * way and way - moved > self.error
        if self.level.capabilities.discrete:
            short = moved == 0 < way
        self.short = self.short + 1 if short else 0
        return (start, expected) if self.short and not self.level.capabilities.discrete else None

    def is_over(self) -> bool:
        """Whether it is too long by now; asked so, it begins to count anew."""
        if self.short < self.limit:
            return False
        self.short = 0
        return True
