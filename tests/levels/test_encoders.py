"""Fourier features: the normalised vector and its octaves."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.levels.encoders import FourierEncoder, IdentityEncoder


def fourier(size: int, octaves: int) -> FourierEncoder:
    """Without its network: what that reads."""
    encoder = FourierEncoder(inputs=(size,), latent=4, octaves=octaves)
    encoder.network = IdentityEncoder()  # type: ignore[assignment]
    return encoder


@given(size=st.integers(1, 5), octaves=st.integers(0, 6))
def test_fourier_features_keep_the_normalised_vector(size: int, octaves: int) -> None:
    features = fourier(size, octaves)
    play = torch.randn(200, size, generator=torch.Generator().manual_seed(0)) * 7 + 3
    features.measure(play)
    out = features(play)
    assert out.shape == (200, size * (1 + 2 * octaves))
    assert torch.allclose(out[:, :size].mean(0), torch.zeros(size), atol=1e-4)
    assert torch.allclose(out[:, :size].std(0), torch.ones(size), atol=1e-4)


def test_a_constant_feature_is_zero_and_not_nan() -> None:
    features = fourier(2, 3)
    play = torch.stack([torch.randn(50, generator=torch.Generator().manual_seed(0)), torch.full((50,), 4.0)], 1)
    features.measure(play)
    assert bool(torch.isfinite(features(play)).all())
    assert float(features(play)[:, 1].abs().max()) == 0.0
