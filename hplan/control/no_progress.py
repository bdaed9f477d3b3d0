"""Whether level 0 gets anywhere: how often in a row it has moved far less than it expected to."""

from __future__ import annotations

from torch import Tensor

from hplan.types import WorldModel


class NoProgress:
    """Watches level 0. Symbols get nowhere where nothing changes at all.

    share: of the way that level 0 expected, below which it has failed. limit: failures in a row that are too many.
    error: steps that a prediction may be off by, as in play. What falls short by less is noise of a sensor, so it is
    judged over as many steps as it takes to tell: one, unless a sensor is off by more than these are long.
    """

    def __init__(self, level: WorldModel, share: float, limit: int, error: float = 0.0) -> None:
        self.level, self.share, self.limit, self.error = level, share, limit, error
        self.short, self.way = 0, 0.0
        self.before: Tensor | None = None
        self.since: Tensor | None = None  # where it was when `way` began

    def failed_step(self, imagined: tuple[Tensor, Tensor] | None, z: Tensor) -> tuple[Tensor, Tensor] | None:
        """Once a step: (where the step began, where it should have led) if level 0, which imagined to go from one
        latent to another (*z) if anywhere, is at z far short of it. Of symbols, what was not as expected is a surprise
        anyway: None."""
        start, self.before = self.before, z
        if start is None or imagined is None:
            self.since = None
            return None
        if self.level.capabilities.discrete:
            stays = bool(self._between(start, z) == 0 < self._between(start, imagined[1]))
            self.short = self.short + 1 if stays else 0
            return None
        if self.since is None:
            self.since, self.way = start, 0.0
        self.way += self._between(*imagined)
        if (1 - self.share) * self.way <= self.error:
            return None
        short = self._between(self.since, z) < self.share * self.way
        self.short, self.since = self.short + 1 if short else 0, None
        return (start, imagined[1]) if short else None

    def _between(self, one: Tensor, other: Tensor) -> float:
        return float(self.level.distance(one[None], other[None])[0])

    def is_over(self) -> bool:
        """Whether it is too long by now; asked so, it begins to count anew."""
        if self.short < self.limit:
            return False
        self.short = 0
        return True
