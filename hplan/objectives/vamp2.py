"""The variational score of slow dynamics: how much of what comes next a set of features can tell.

Source: VAMP-2 (Wu and Noe, 2020, arXiv 1707.04659), section 3.3; maximised by networks in VAMPnets (Mardt, Pasquali, Wu
and Noe, 2018, arXiv 1710.06012), equation 12. Its maximum over d features is the sum of the d largest squared singular
values of the Koopman operator, so that no feature can be a copy or a constant multiple of another: it cannot collapse.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

RIDGE = 1e-6  # of the mean variance, added to every variance: features that agree on all that was seen can be inverted


def covariances(
    before: Float[Tensor, "N D"], after: Float[Tensor, "N D"], weight: Float[Tensor, " N"]
) -> tuple[Float64[Tensor, "D D"], Float64[Tensor, "D D"], Float64[Tensor, "D D"]]:
    """C00, C01 and C11 of features of both ends of pairs that count by `weight`.

    Not centred: give the features a constant one among them, and the constant function is the slowest of all.
    """
    x, y = before.double(), after.double()
    share = (weight.double() / weight.double().sum())[:, None]
    ridge = RIDGE * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    c00, c01, c11 = x.T @ (share * x), x.T @ (share * y), y.T @ (share * y)
    return c00 + ridge * c00.diagonal().mean(), c01, c11 + ridge * c11.diagonal().mean()


def vamp2(
    before: Float[Tensor, "N D"], after: Float[Tensor, "N D"], weight: Float[Tensor, " N"]
) -> Float64[Tensor, ""]:
    """The score, at most D; train by its negative."""
    c00, c01, c11 = covariances(before, after, weight)
    return (torch.linalg.solve(c00, c01) * torch.linalg.solve(c11, c01.T).T).sum()


def slow_functions(
    before: Float[Tensor, "N D"], after: Float[Tensor, "N D"], weight: Float[Tensor, " N"]
) -> tuple[Float64[Tensor, "D D"], Float64[Tensor, " D"]]:
    """The best combinations of features, slowest first: the matrix `mix`, and their singular values.

    Column k of `mix` turns features into the k-th left singular function, of variance one over `before`. Singular
    values and not eigenvalues, since what happens may never be undone, and play is no stationary process.
    """
    c00, c01, c11 = covariances(before, after, weight)
    white = _inverse_root(c00)
    left, singular, _ = torch.linalg.svd(white @ c01 @ _inverse_root(c11))
    return white @ left, singular


def _inverse_root(matrix: Float64[Tensor, "D D"]) -> Float64[Tensor, "D D"]:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors / values.clamp(min=1e-300).sqrt() @ vectors.T
