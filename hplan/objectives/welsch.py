"""How far a prediction may be off before it counts as chance: Welsch's robust cost, as weights of rows.

Source: Dennis and Welsch, 1978, "Techniques for nonlinear least squares and robust regression"; equation 1 at alpha =
-inf in Barron, 2019, arXiv 1701.03077. Where a step ends in one of several places at random, a squared cost learns
their mean, which is none of them.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

LONG = 0.99  # quantile of steps: a prediction that is off by so much is worth exp(-1) of one that is right


def trust(
    predicted: Float[Tensor, "N D"],
    target: Float[Tensor, "N D"],
    steps: Float[Tensor, "K D"],
    *,
    near: Bool[Tensor, " N"] | None = None,
) -> Float[Tensor, " N"]:
    """Between 0 and 1, without gradient: what each row counts, exp(-(error / scale)^2), for the scale of a long one of
    `steps`. Rows that are `near` are no chance: however far off, they count by the length of the error (Huber, 1964).

    A squared error that is weighed so has the gradient of Welsch's cost scale^2 (1 - exp(-(error / scale)^2)), and any
    other cost of the same prediction fades with it.
    """
    scale = steps.detach().square().sum(-1).quantile(LONG).clamp(min=torch.finfo(steps.dtype).tiny)
    off = (predicted - target).detach().square().sum(-1) / scale
    weight = torch.exp(-off)
    return weight if near is None else torch.where(near, torch.maximum(weight, off.rsqrt().clamp(max=1)), weight)
