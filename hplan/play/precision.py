"""Numbers that float32 cannot hold well enough: told before anything is learned from what rounding left of them."""

from __future__ import annotations

import warnings

import numpy as np
from torch import Tensor

from hplan.types import PrecisionWarning

LOOKED_AT = 100_000  # steps, evenly
STEP = 4  # spacings of float32: a number of which 99 steps in 100 are no longer is mostly rounding
FAR = 64  # spacings between the least and the largest: what stays nearer than that only trembles at rest
WHOLE = 2.0**24  # beyond it float32 cannot tell whole numbers apart


def warn_of_rounding(observations: Tensor, remaining: Tensor, where: str) -> None:
    """`PrecisionWarning` in one line, if steps of any number of these vectors (N, D) are lost in rounding.

    remaining (N,): steps that follow in the episode of each row.
    """
    if lost := rounded(observations, remaining):
        names = ", ".join(f"{number} (up to {size:.3g})" for number, size in lost.items())
        warnings.warn(
            f"{where}: float32 cannot hold the steps of these numbers of an observation: {names}. Subtract a constant "
            "from them or leave them out (gymnasium.wrappers.TransformObservation)",
            PrecisionWarning,
            stacklevel=3,
        )


def rounded(observations: Tensor, remaining: Tensor) -> dict[int, float]:
    """Which of the D numbers change by what float32 rounds away, and the largest size of each.

    Around x, neighbours in float32 are 1.2e-7 x apart. A number is told where 99 in 100 of its changes are within four
    such spacings though it goes much farther in all, or though it is so large that whole numbers are lost.
    """
    rows = (remaining > 0).nonzero()[:, 0]
    rows = rows[:: max(len(rows) // LOOKED_AT, 1)]
    if not len(rows):
        return {}
    before, after = observations[rows].double().numpy(), observations[rows + 1].double().numpy()
    size, change = np.abs(before).max(0), np.abs(after - before)
    spacing = np.spacing(size.astype(np.float32)).astype(float)
    changes = [column[column > 0] for column in change.T]
    most = np.array([np.quantile(column, 0.99) if len(column) else 0.0 for column in changes])
    far = before.max(0) - before.min(0) >= FAR * spacing
    lost = (most <= STEP * spacing) & (far | (size >= WHOLE))
    return {int(number): float(size[number]) for number in np.flatnonzero(lost)}
