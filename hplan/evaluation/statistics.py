"""How sure a figure is: intervals of success rates, and of differences between two methods on the same episodes.

SciPy is imported where it is needed: `scipy.stats` takes a second to load, and `hplan list` needs none of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hplan.types import UsageError


def wilson(successes: int, episodes: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a success rate (Wilson 1927, JASA 22:209): fractions, within [0, 1], sensible at 0 and 100 %.

    No episodes: (0, 1). Raises UsageError unless 0 <= successes <= episodes.
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= episodes:
        raise UsageError(f"{successes} successes of {episodes} episodes: expected 0 <= successes <= episodes")
    if episodes == 0:
        return 0.0, 1.0
    found = binomtest(successes, episodes).proportion_ci(confidence, method="wilson")
    # rounding must not leave 1e-17 where the bound is exactly 0 or 1
    return (0.0 if successes == 0 else float(found.low)), (1.0 if successes == episodes else float(found.high))


@dataclass(frozen=True)
class Difference:
    """Mean of a - b over paired episodes and its bootstrap interval."""

    mean: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """The interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired_difference(
    a: Sequence[float], b: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Difference:
    """Percentile bootstrap (Efron 1979) of the mean of a[i] - b[i], where i is the same episode for both methods.

    Pairs are resampled together, so what makes an episode hard for both cancels. One pair has no width.
    Raises UsageError unless a and b are equally long and not empty.
    """
    from scipy.stats import bootstrap

    if len(a) != len(b) or not len(a):
        raise UsageError(f"paired samples of {len(a)} and {len(b)} values: expected the same episodes, at least one")
    differences = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    mean = float(differences.mean())
    if len(differences) == 1:
        return Difference(mean, mean, mean)
    low, high = bootstrap(
        (differences,), np.mean, n_resamples=resamples, confidence_level=confidence, method="percentile",
        batch=500, rng=np.random.default_rng(seed),  # in slices, which bounds memory at long samples
    ).confidence_interval  # fmt: skip
    return Difference(mean, float(low), float(high))


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho of `pairs` pairs and its interval; NaN where there is none."""

    rho: float
    low: float
    high: float
    pairs: int


def rank_correlation(a: Sequence[float], b: Sequence[float], *, confidence: float = 0.95) -> RankCorrelation:
    """Spearman's rho, equal values sharing the mean of their ranks; the interval by Fisher's z with the variance
    (1 + rho^2 / 2) / (n - 3) of Bonett and Wright (2000, Psychometrika 65:23).

    NaN where one side is constant, and no interval below four pairs. Raises UsageError unless a and b are equally long.
    """
    from scipy.stats import norm, spearmanr

    if len(a) != len(b):
        raise UsageError(f"{len(a)} and {len(b)} values: expected pairs")
    if len(set(a)) < 2 or len(set(b)) < 2:
        return RankCorrelation(math.nan, math.nan, math.nan, len(a))
    found: Any = spearmanr(a, b)
    rho = min(max(float(found.statistic), -1.0), 1.0)
    if len(a) < 4:
        return RankCorrelation(rho, math.nan, math.nan, len(a))
    half = float(norm.ppf(0.5 + confidence / 2)) * math.sqrt((1 + rho * rho / 2) / (len(a) - 3))
    middle = math.atanh(rho) if abs(rho) < 1 else math.copysign(math.inf, rho)
    return RankCorrelation(rho, math.tanh(middle - half), math.tanh(middle + half), len(a))
