"""What encoders hand to their networks: the normalised vector and its octaves, one-hot symbols, slow symbols."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.levels.encoders import (
    CellEncoder,
    FourierEncoder,
    IdentityEncoder,
    OneHotEncoder,
    SlowSymbols,
    StandardEncoder,
    standardised,
)


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


def test_standard_numbers_beyond_those_of_play_are_beyond() -> None:
    encoder = StandardEncoder(inputs=(2,), latent=7)
    encoder.measure(torch.tensor([[-3.0, 5.0], [3.0, 5.0], [0.0, 5.0]]))
    assert encoder(torch.tensor([[6.0, 5.0], [300.0, 6.0]])).tolist() == [[2.0, 0.0], [100.0, 1.0]]


def test_a_constant_feature_is_zero_and_not_nan() -> None:
    features = fourier(2, 3)
    play = torch.stack([torch.randn(50, generator=torch.Generator().manual_seed(0)), torch.full((50,), 4.0)], 1)
    features.measure(play)
    assert bool(torch.isfinite(features(play)).all())
    assert float(features(play)[:, 1].abs().max()) == 0.0


def test_symbols_that_are_no_map_are_one_hot_by_feature() -> None:
    encoder = OneHotEncoder(inputs=(1, 2, 2), latent=4, cardinalities=(3, 2))
    encoder.network = IdentityEncoder()  # type: ignore[assignment]
    symbols = torch.tensor([[[[2, 0], [0, 1]]], [[[1, 1], [9, 9]]]], dtype=torch.uint8)
    first, second = [0, 0, 1, 1, 0, 1, 0, 0, 0, 1], [0, 1, 0, 0, 1, 0, 0, 1, 0, 1]
    assert encoder(symbols).tolist() == [first, second], "beyond what there is, the last symbol"
    assert encoder(symbols[:, None]).tolist() == [[first], [second]], "any number of axes before"


def test_symbols_of_events_are_looked_up() -> None:
    encoder = SlowSymbols(vocabulary=3)
    encoder.table.copy_(torch.tensor([1, 0, 1]))
    assert encoder(torch.tensor([[[0, 1], [2, 2]]])).tolist() == [[[1, 0], [1, 1]]]


def cells_and_movers() -> CellEncoder:
    """A kind of 3 and a colour of 3 on the ground; of the mover a way of 3."""
    torch.manual_seed(0)
    encoder = CellEncoder(
        inputs=(3,), latent=8, cardinalities=(3, 3, 3), vocabulary=5, mover=(1,), tokens=3
    )  # the feature in the middle is the mover's
    encoder.cells.copy_(torch.tensor([[0, 0], [1, 2], [2, 1], [1, 0], [2, 2]]))
    encoder.tokens.copy_(torch.tensor([[0], [2], [1]]))
    return encoder


def test_cells_are_symbols_of_the_ground_and_of_the_mover() -> None:
    encoder = cells_and_movers()
    cells = torch.tensor([[[0, 0, 0], [1, 2, 2], [2, 0, 1]], [[1, 1, 0], [0, 1, 0], [2, 2, 2]]])
    expected = [[0, 1 * 3 + 1, 2 * 3], [3 * 3 + 2, 2, 4 * 3 + 1]]
    assert encoder(cells).tolist() == expected
    assert encoder(cells.to(torch.uint8)[None, None]).tolist() == [[expected]], "any number of axes before"
    assert encoder(cells[1, 2]).tolist() == 13


def test_a_cell_that_play_never_showed_is_the_known_one_with_the_nearest_code() -> None:
    encoder = cells_and_movers()
    strange = torch.tensor([0, 0, 2])
    code = encoder.ground_codes(strange[[0, 2]])
    nearest = int((encoder.ground_codes(encoder.cells) @ code).argmax())
    assert encoder(strange).tolist() == nearest * 3
    assert encoder(torch.tensor([9, 0, 9])).tolist() == encoder(torch.tensor([2, 0, 2])).tolist() == 4 * 3


def test_codes_of_features_are_unit_vectors_that_change_alike_whatever_the_others_are() -> None:
    codes = cells_and_movers().ground_codes
    every = codes(torch.cartesian_prod(torch.arange(3), torch.arange(3))).view(3, 3, 8).detach()
    assert torch.allclose(every.norm(dim=-1), torch.ones(3, 3))
    change = every[:, 1:] - every[:, :1]
    assert torch.allclose(change, change[:1].expand_as(change), atol=1e-6)


def test_numbers_of_any_scale_are_normalised_and_constants_are_nought() -> None:
    drawn = torch.randn(1000, 5, generator=torch.Generator().manual_seed(0))
    play = torch.stack([1e-9 * drawn[:, 0], 1e9 * drawn[:, 1], torch.full((1000,), 1.7e9), 1 + 1e-8 * drawn[:, 3]], 1)
    normal = standardised(play)
    assert torch.allclose(normal[:, :2].std(0), torch.ones(2), atol=1e-3)
    assert (normal[:, 2] == 0).all() and (normal[:, 3].abs() < 1e-6).all()
