"""When two vectors are one place, and which symbol a prediction of two factors means."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hplan.levels.spaces import NEAR, DiscreteMap, VectorSpace


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


def factored() -> DiscreteMap:
    """Three kinds of ground and two tokens."""
    space = DiscreteMap(vocabulary=3, channels=3, tokens=2, token_channels=2)
    space.set_codes(torch.eye(3), torch.eye(2))
    return space


@given(seed=st.integers(0, 1000))
def test_symbols_of_two_factors_are_what_each_is_nearest_to(seed: int) -> None:
    space, generator = factored(), torch.Generator().manual_seed(seed)
    z = torch.randint(6, (2, 3, 4), generator=generator)
    assert torch.equal(space.snap(space.embed(z)), z)
    assert torch.equal(space.snap(z), z), "a symbol stays"
    features = torch.randn(2, 3, 4, 5, generator=generator)
    ground, token = features[..., :3].argmax(-1), features[..., 3:].argmax(-1)
    assert torch.equal(space.snap(features), 2 * ground + token)
    unit = space.unit(features)
    assert torch.allclose(unit[..., :3].norm(dim=-1), torch.ones(2, 3, 4))
    assert torch.allclose(unit[..., 3:].norm(dim=-1), torch.ones(2, 3, 4))
    assert [each.tolist() for each in space.labels(z)] == [(z // 2).tolist(), (z % 2).tolist()]
    assert [each.shape[-1] for each in space.similarity(features)] == [3, 2]


def test_the_mover_is_where_a_token_is() -> None:
    z = torch.tensor([[[0, 2, 4], [3, 0, 0]], [[0, 0, 0], [0, 0, 1]]])
    assert factored().mover(z).tolist() == [3, 5]


def test_beyond_the_border_there_is_no_ground() -> None:
    space = factored()
    assert space.embed(torch.tensor([space.outside])).tolist() == [[0, 0, 0, 1, 0]]
    assert space.symbols.shape == (6, 5)
