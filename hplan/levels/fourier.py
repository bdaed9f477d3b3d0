"""Fourier features of a low-dimensional vector: without them a network is too smooth to see a thin wall.

Source: Tancik et al., 2020, "Fourier features let networks learn high frequency functions", arXiv 2006.10739; here
along the axes and with octaves, as in NeRF, so that of the world's scale only its standard deviation has to be known.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FourierFeatures(nn.Module):
    """Normalised observation and its octaves: (..., D) -> (..., D * (1 + 2 * octaves)).

    `mean` and `scale` (D,) are buffers, so that the normalisation of training is the normalisation of use. The longest
    wavelength is 4 standard deviations; a constant feature has scale 1 and thus stays 0.
    """

    mean: Tensor
    scale: Tensor
    frequencies: Tensor
    frequencies: Tensor

    def __init__(self, size: int, octaves: int) -> None:
        super().__init__()
        self.size = size * (1 + 2 * octaves)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.register_buffer("frequencies", torch.pi / 2 * 2.0 ** torch.arange(octaves), persistent=False)

    def measure(self, observations: Tensor) -> None:
        """Take mean and scale from play, (N, D)."""
        self.mean.copy_(observations.mean(0))
        deviation = observations.std(0)
        self.scale.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def standard(self, observation: Tensor) -> Tensor:
        """(..., D) -> (..., D): each number in units of its deviation in play, from its mean there."""
        return (observation - self.mean) / self.scale

    def forward(self, observation: Tensor) -> Tensor:
        x = self.standard(observation)
        angles = (x[..., None] * self.frequencies).flatten(-2)
        return torch.cat([x, angles.sin(), angles.cos()], -1)
