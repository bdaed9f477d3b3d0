"""Surprise: a level's prediction error against a threshold that undisturbed play exceeds at a chosen rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

ALPHA = 0.01  # nominal false-alarm rate of a moment of a level
AHEAD = 8  # look-aheads with a threshold of their own; a plan that is older keeps the last


@dataclass(frozen=True, eq=False)
class Calibration:
    """Surprise of one level on held-out play, by look-ahead.

    errors (H, n): row h - 1 has the surprise of predictions h steps of the level ahead. One further ahead is off by
    more, so each look-ahead has its own threshold.
    """

    errors: np.ndarray

    def thresholds(self, alpha: float = ALPHA) -> tuple[float, ...]:
        """One for every look-ahead, the nearest first."""
        return tuple(conformal_threshold(errors, alpha) for errors in self.errors)

    def false_alarms(self, fresh: np.ndarray, alpha: float) -> float:
        """Share of the surprises of undisturbed play, (H, n) by look-ahead, above the thresholds for that rate."""
        known = self.thresholds(alpha)
        limits = np.array([at_look_ahead(known, h + 1) for h in range(len(fresh))])
        return float((fresh > limits[:, None]).mean()) if fresh.size else math.nan


def at_look_ahead(thresholds: tuple[float, ...], steps: int) -> float:
    """The threshold of a prediction that many steps of its level ahead, 1 or more."""
    return thresholds[min(steps, len(thresholds)) - 1]


def surprise(error: Tensor, uncertainty: Tensor) -> Tensor:
    """(B,), (B,) -> (B,), in steps of the level: how far off a prediction is, less where it was expected to be.

    `uncertainty` is the error that the level itself expected, summed over the steps predicted. Where that is less than
    a step nothing changes; where the level predicts wide, the error counts in units of what it expected.

    Source: locally weighted split-conformal prediction (Lei et al., 2018, arXiv 1604.04173, section 5.2).
    """
    return error / uncertainty.clamp(min=1)


def conformal_threshold(errors: np.ndarray, alpha: float = ALPHA) -> float:
    """The split-conformal quantile of held-out errors (n,): a fresh one exceeds it with probability alpha at the most.

    Source: Vovk et al., 2005; Angelopoulos and Bates, 2021, arXiv 2107.07511, section 1: the ceil((n + 1)(1 - alpha))
    -th smallest of n. Infinite where n is too small to say anything at this alpha: then nothing is a surprise.
    """
    n = len(errors)
    rank = math.ceil((n + 1) * (1 - alpha))
    return float(np.sort(errors)[rank - 1]) if 0 < rank <= n else math.inf
