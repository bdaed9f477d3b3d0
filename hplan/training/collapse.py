"""A level that has collapsed is said so while it is trained: by name, with the figure, and what may help."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from hplan.losses.diagnostics import effective_rank
from hplan.types import CollapseWarning

LEAST_RANK = 0.25  # of the dimensions
ALIKE = 0.99  # cosine above which two symbols are one


@torch.no_grad()
def warn_if_collapsed(name: str, latents: Tensor) -> None:
    """latents (N, D) of a sample of play. Warns where they fill less than a quarter of their dimensions."""
    rank, dimensions = effective_rank(latents), min(latents.shape)
    if rank < LEAST_RANK * dimensions:
        _warn(f"{name} has collapsed: effective rank {rank:.1f} of {dimensions}")


@torch.no_grad()
def warn_if_confused(name: str, codes: Tensor) -> None:
    """codes (V, C), unit vectors of known symbols. Warns where some cannot be told apart."""
    cosines = codes @ codes.T
    cosines.fill_diagonal_(-1.0)
    confused = int((cosines.amax(1) > ALIKE).sum()) if len(codes) > 1 else 0
    if confused:
        _warn(f"{name} has collapsed: {confused} of {len(codes)} symbols look like another one (cosine above {ALIKE})")


def _warn(text: str) -> None:
    warnings.warn(
        f"{text}; train with another objective (--set objective=...), longer, or on more varied play",
        CollapseWarning,
        stacklevel=3,
    )
