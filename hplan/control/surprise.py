"""Surprise: a level's prediction error against a threshold that undisturbed play exceeds at a chosen rate."""

from __future__ import annotations

import math

import numpy as np

ALPHA = 0.01  # nominal false-alarm rate of a step of a level


def conformal_threshold(errors: np.ndarray, alpha: float = ALPHA) -> float:
    """The split-conformal quantile of held-out errors (n,): a fresh one exceeds it with probability alpha at the most.

    Source: Vovk et al., 2005; Angelopoulos and Bates, 2021, arXiv 2107.07511, section 1: the ceil((n + 1)(1 - alpha))
    -th smallest of n. Infinite where n is too small to say anything at this alpha: then nothing is a surprise.
    """
    n = len(errors)
    rank = math.ceil((n + 1) * (1 - alpha))
    return float(np.sort(errors)[rank - 1]) if 0 < rank <= n else math.inf
