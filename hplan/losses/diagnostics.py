"""What a collapse looks like: figures of latents that say whether a level still tells things apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor

RIDGE = 1e-3  # of the mean eigenvalue of the features, so that a probe of more features than rows is defined


def effective_rank(z: Tensor) -> float:
    """(N, D) -> between 1 and D: the exponential of the entropy of the normalised singular values of centred rows.

    Source: Roy and Vetterli, 2007, "The effective rank"; as a measure of representations, RankMe (Garrido et al., 2023,
    arXiv 2210.02885). 1 where all rows are the same.
    """
    values = torch.linalg.svdvals((z - z.mean(0)).double())
    share = values / values.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum()))


def spectrum(z: Tensor) -> Tensor:
    """(N, D) -> (min(N, D),): singular values of centred rows, largest first, as shares of the sum."""
    values = torch.linalg.svdvals((z - z.mean(0)).double())
    return (values / values.sum().clamp(min=1e-12)).float()


def perplexity(codes: Tensor, size: int) -> float:
    """(N,) int64 below `size` -> how many codes are in use, weighed by how often: 1 to `size`; 0 where there is none."""
    share = torch.bincount(codes, minlength=size).double()
    share = share / share.sum().clamp(min=1)
    return float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum())) if len(codes) else 0.0


def decay_time(lags: list[int], differences: list[float], ever: float) -> float:
    """The lag at which latents have lost all but 1/e of what they share, interpolated; infinite where they never do.

    differences: mean squared difference of latents that many steps apart; ever: of any two of the same episode. The
    autocorrelation at a lag is 1 - difference / ever.
    """
    if ever <= 0:
        return math.inf
    before, kept = 0, 1.0
    for lag, difference in zip(lags, differences, strict=True):
        now = 1 - difference / ever
        if now <= 1 / math.e:
            return before + (lag - before) * (kept - 1 / math.e) / max(kept - now, 1e-9)
        before, kept = lag, now
    return math.inf


def probe(x: Tensor, y: Tensor, held: Tensor) -> float:
    """R2 of a linear probe (ridge regression) from features x (N, D) to a factor y (N, K), on the rows `held` (N,).

    Fitted on the others; 1 minus the share of variance that is left. NaN where the factor does not vary. In the dual
    form, so that there may be more features than rows.
    """
    fit, test = ~held, held
    centre, mean = x[fit].mean(0), y[fit].mean(0)
    known, wanted = (x[fit] - centre).double(), (y[fit] - mean).double()
    gram = known @ known.T
    gram.diagonal().add_(RIDGE * gram.diagonal().mean() + 1e-9)
    guess = (x[test] - centre).double() @ (known.T @ torch.linalg.solve(gram, wanted))
    left = (guess - (y[test] - mean)).square().sum(0)
    total = (y[test] - y[test].mean(0)).double().square().sum(0)
    varies = total > 1e-9
    return float((1 - left[varies] / total[varies]).mean()) if bool(varies.any()) else math.nan
