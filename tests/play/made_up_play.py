"""Play of which nothing but lengths and layouts counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hplan.play.play import Play
from hplan.types import ActionSpec, Episode, ObservationSpec

LINE = ObservationSpec("vector", (1,))
MAPPED = ObservationSpec("vector", (2,), context=(1, 1), context_frame=(0.0, 0.0, 1.0))
STAY = ActionSpec("discrete", 1)


def made_up(layouts: Sequence[tuple[int, int]], contexts: Sequence[int] | None = None) -> Play:
    """Episodes of (steps, seed) that succeed in their last step; a context of one pixel for each, where wanted."""
    spec = LINE if contexts is None else MAPPED
    episodes = []
    for number, (steps, seed) in enumerate(layouts):
        last, nothing = np.arange(steps) == steps - 1, np.zeros(steps, bool)
        episodes.append(
            Episode(
                observations=np.full((steps + 1, *spec.shape), number, np.float32),
                actions=np.zeros(steps, np.int64),
                rewards=last.astype(np.float32),
                success=last,
                violation=nothing,
                terminated=True,
                seed=seed,
                context=None if contexts is None else np.full((1, 1), contexts[number], np.uint8),
            )
        )
    return Play.of(episodes, spec, STAY)
