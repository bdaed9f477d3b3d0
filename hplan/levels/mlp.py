"""The one kind of network that vector levels are made of."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def mlp(inputs: int, hidden: int, outputs: int, *, layers: int = 2) -> nn.Sequential:
    """`layers` hidden layers with normalised SiLU activations: (..., inputs) -> (..., outputs)."""
    widths = [inputs] + [hidden] * layers
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.Linear(before, after), nn.LayerNorm(after), nn.SiLU()]
    return nn.Sequential(*parts, nn.Linear(hidden, outputs))
