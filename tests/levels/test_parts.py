"""Parts of levels over vectors: Fourier features, codes, landmarks and what counts as one place."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hplan.levels.encoders import FourierEncoder, IdentityEncoder
from hplan.levels.heads.landmarks import farthest_points, nearest_landmark
from hplan.levels.macros import Codes
from hplan.levels.spaces import NEAR, VectorSpace


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


def test_a_codebook_finds_the_clusters_of_what_it_follows() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])
    book = Codes(size=6, width=2)
    for _ in range(400):
        x = centres[torch.randint(3, (64,), generator=generator)] + 0.1 * torch.randn(64, 2, generator=generator)
        book.follow(x, book.nearest(x), generator)
    assert float(torch.cdist(centres, book.codes).min(1).values.max()) < 0.3


def test_quantisation_passes_the_gradient_straight_through() -> None:
    book = Codes(size=4, width=2)
    x = torch.randn(8, 2, requires_grad=True)
    index, vectors, commitment = book.quantise(x)
    assert torch.allclose(vectors, book.codes[index])
    vectors.sum().backward()
    assert torch.equal(x.grad, torch.ones(8, 2))
    assert float(commitment.detach()) > 0


@given(seed=st.integers(0, 1000), radius=st.floats(0.1, 2.0))
def test_landmarks_cover_everything_and_keep_their_distance(seed: int, radius: float) -> None:
    z = torch.randn(100, 2, generator=torch.Generator().manual_seed(seed))
    chosen = z[farthest_points(z, 100, radius)]
    assert float(torch.cdist(z, chosen).min(1).values.max()) <= radius + 1e-4
    apart = torch.cdist(chosen, chosen) + 1e9 * torch.eye(len(chosen))
    assert float(apart.min()) > radius - 1e-4


@given(seed=st.integers(0, 1000))
def test_the_nearest_landmark_is_the_nearest(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z, landmarks = torch.randn(20, 3, generator=generator), torch.randn(7, 3, generator=generator)
    found = torch.cdist(z, landmarks)
    assert torch.allclose(
        found.gather(1, nearest_landmark(z, landmarks)[:, None])[:, 0], found.min(1).values, atol=1e-4
    )


def places(landmarks: Tensor, near: float, cell: float) -> VectorSpace:
    """A space in which latents within `near` of a landmark are the same place, or else those in a cell so wide."""
    space = VectorSpace(latent=landmarks.shape[1])
    space.points, space.lattice = landmarks, torch.tensor(cell)
    space.unit.fill_(near / NEAR)
    return space


@given(seed=st.integers(0, 1000), near=st.floats(0.1, 1.0), cell=st.sampled_from([0.3, 1.0, torch.inf]))
def test_places_are_landmarks_where_one_is_near_and_cells_of_a_lattice_elsewhere(
    seed: int, near: float, cell: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    z, landmarks = 2 * torch.randn(50, 2, generator=generator), torch.randn(4, 2, generator=generator)
    keys = places(landmarks, near, cell).keys(z)
    away, landmark = torch.cdist(z, landmarks).min(1)
    for i in range(len(z)):
        for j in range(i):
            same = bool(landmark[i] == landmark[j])
            if cell < torch.inf:
                same &= bool((away[i] > near) == (away[j] > near))
                same &= bool(away[i] <= near) or torch.equal((z[i] / cell).round(), (z[j] / cell).round())
            assert torch.equal(keys[i], keys[j]) == same


def test_ways_through_what_was_never_visited_are_not_one_place() -> None:
    landmarks, gap = torch.tensor([[0.0], [10.0]]), torch.arange(2.0, 9.0)[:, None]
    for cell, count in ((torch.inf, 2), (1.0, 7)):
        assert len(places(landmarks, 0.5, cell).keys(gap).unique(dim=0)) == count
