"""Slowness: of all that can be predicted, keep what changes least.

Source: Wiskott and Sejnowski, 2002, "Slow feature analysis: unsupervised learning of invariances", equations 1 to 5;
there unit variance is a constraint. Here the objective has to keep latents apart; one that does not lets them collapse
sooner.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from hplan.objectives.whole_batch import whole_batch

SMALLEST = 1e-12  # latents that are all the same do not move


def slowness(z: Float[Tensor, "B D"], following: Float[Tensor, "B D"]) -> Float[Tensor, ""]:
    """Mean squared step, beside that between any two latents: about 1 where steps forget where
    they began, 0 where nothing moves."""
    apart = 2 * whole_batch(z).detach().var(0).mean()
    return (following - z).square().mean() / apart.clamp(min=SMALLEST)
