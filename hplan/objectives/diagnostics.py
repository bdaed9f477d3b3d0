"""What a collapse looks like: figures of latents that say whether a level still tells things apart.

All are functions of rows (N, D). Of spatial latents (C, H, W), `effective_rank`, `spectrum` and `deviation` take the
cells as rows of D = C features, each *different* cell once: how often a wall is seen says nothing about collapse.
`autocorrelation` and `probe_r2` take the flattened map, D = C * H * W.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

NOISE = 1e-6  # singular values below this share of all that the latents are long are rounding
DEAD = 0.05  # a dimension that varies less than this share of what the liveliest does tells nothing apart
POINT = 1e-4  # so does one that varies less than this share of the length of a latent
RIDGE = 1e-3  # of the mean squared length of a row, so that a probe of more features than rows is defined
COMPARED = 256  # pairs of one episode that stand for all of the same lag


def spectrum(z: Float[Tensor, "N D"]) -> Float[Tensor, " min(N,D)"]:
    """Singular values of centred rows, largest first, as shares of their sum; zeros for rows
    that are all the same."""
    values = torch.linalg.svdvals((z - z.mean(0)).double())
    values = torch.where(values > NOISE * z.double().norm(), values, 0.0)
    return (values / values.sum().clamp(min=1e-300)).float()


def effective_rank(z: Float[Tensor, "N D"]) -> float:
    """From 1 to min(N - 1, D): the exponential of the entropy of `spectrum`; 1 where all rows are the same.

    Source: Roy and Vetterli, 2007, "The effective rank: a measure of effective dimensionality", equation 3; as a
    measure of representations RankMe (Garrido et al., 2023, arXiv 2210.02885), there without centring.
    """
    return _entropy(spectrum(z))


def deviation(z: Float[Tensor, "N D"]) -> Float[Tensor, " D"]:
    """Standard deviation of each dimension."""
    return z.std(0, correction=0)


def dead(z: Float[Tensor, "N D"]) -> Bool[Tensor, " D"]:
    """Dimensions that hardly vary, beside the liveliest one and beside the length of a latent."""
    each, length = deviation(z), z.square().sum(1).mean().sqrt()
    return (each <= DEAD * each.max()) | (each <= POINT * length)


def perplexity(codes: Int[Tensor, " N"], size: int) -> float:
    """How many codes (below `size`) are in use, weighed by how often: 1 to `size`; 0 without any."""
    counts = torch.bincount(codes, minlength=size).float()
    return _entropy(counts / counts.sum()) if len(codes) else 0.0


def autocorrelation(episodes: Iterable[Float[Tensor, "_ D"]], lags: Sequence[int]) -> list[float]:
    """Of whole episodes of latents (T, D), the autocorrelation at each lag (in rows), relative to each episode's mean.

    1 - d(lag) / d, where d(lag) is the mean squared difference of rows `lag` apart and d that of any two rows of an
    episode (the structure function). NaN at lags that no episode has, or where nothing varies. The mean of an episode
    follows what takes as long as it: a time of more than a tenth of an episode is a lower bound (half the true one at
    an eighth).
    """
    apart, ever = torch.zeros(len(lags)).double(), torch.zeros(len(lags)).double()
    for z in episodes:
        any_two = 2 * float(z.var(0, correction=0).sum())
        for i, lag in enumerate(lags):
            if lag < len(z):
                rows = torch.arange(0, len(z) - lag, max((len(z) - lag) // COMPARED, 1))
                apart[i] += (len(z) - lag) * float((z[rows + lag] - z[rows]).square().sum(1).mean())
                ever[i] += (len(z) - lag) * any_two
    return [1 - float(a / e) if e > 0 else math.nan for a, e in zip(apart, ever, strict=True)]


def correlation_time(lags: Sequence[int], correlation: Sequence[float]) -> float:
    """The lag at which an autocorrelation first falls to 1/e, interpolated; infinite where it does at none of `lags`
    (ascending, above 0), NaN where it is not known at the first."""
    if not lags or math.isnan(correlation[0]):
        return math.nan
    before, kept = 0, 1.0
    for lag, now in zip(lags, correlation, strict=True):
        if now <= 1 / math.e:
            return before + (lag - before) * (kept - 1 / math.e) / (kept - now)
        before, kept = lag, now
    return math.inf


def probe_r2(x: Float[Tensor, "N D"], factors: Sequence[Float[Tensor, "N _"]], held: Bool[Tensor, " N"]) -> list[float]:
    """R2 of a linear probe from features x to each factor, fitted on some rows and read on `held`.

    Ridge regression in the dual form (Saunders et al., 1998), of (N, N) instead of (D, D), so that there may be more
    features than rows. R2 is 1 minus the share of the variance that is left on the held rows, of all those K that vary
    in both parts; below 0 the mean is a better guess. NaN where none does.
    """
    fit, test = ~held, held
    if not bool(fit.any()) or not bool(test.any()):
        return [math.nan] * len(factors)
    known, asked = (x[rows].double() - x[fit].double().mean(0) for rows in (fit, test))
    gram = known @ known.T
    gram.diagonal().add_(RIDGE * gram.diagonal().mean() + 1e-12)
    weights, across = torch.linalg.cholesky(gram), asked @ known.T
    found = []
    for factor in factors:
        varies = (factor[fit] != factor[fit][0]).any(0) & (factor[test] != factor[test][0]).any(0)
        y = factor[:, varies].double()
        mean, wanted = y[fit].mean(0), y[test]
        left = wanted - mean - across @ torch.cholesky_solve(y[fit] - mean, weights)
        total = (wanted - wanted.mean(0)).square().sum()
        found.append(1 - float(left.square().sum() / total) if bool(varies.any()) else math.nan)
    return found


def _entropy(share: Float[Tensor, " N"]) -> float:
    """The exponential of the entropy of shares; 1 where they are all zero."""
    share = share[share > 0].double()
    return float(torch.exp(-(share * share.log()).sum()))
