"""Parts of cellular levels against what they stand for, cell by cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hplan.levels.cellular import EXACT, NEARBY, UNSAID, Cellular, CellularSpace, ColourMap, KeptPart
from hplan.levels.level import Level

SIZE, SYMBOLS, MACROS = (5, 6), 3, 4


def level(seed: int) -> Level:
    """Of random weights, whose macro-actions set a few cells each, more or less surely."""
    torch.manual_seed(seed)
    sizes = {"vocabulary": SYMBOLS, "macros": MACROS, "size": SIZE, "channels": 4, "layers": 2}
    made = Level(
        index=1,
        parts={
            "space": {"kind": "cellular-map", "vocabulary": SYMBOLS},
            "dynamics": {"kind": "cellular", **sizes},
            "prior": {"kind": "even", "macros": MACROS},
        },
    ).eval()
    dynamics = made.dynamics
    sure = torch.rand(MACROS, 30)
    dynamics.touch.copy_(torch.where(sure < 0.2, 255, torch.where(sure < 0.3, 128, 0)))
    dynamics.made.copy_(torch.randint(SYMBOLS, (MACROS,)))
    dynamics.yields.copy_(torch.tensor([1.0, 0.0, 0.5]))
    return made


def maps(count: int, seed: int, low: int = 0) -> Tensor:
    return torch.randint(low, SYMBOLS, (count, *SIZE), generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_one_pass_tells_what_predicting_each_macro_action_would(seed: int) -> None:
    own, z, target = level(seed), maps(3, seed), maps(1, seed + 1, low=-1)[0]
    with torch.no_grad():
        swept = own.sweep(z, target)
        for macro in range(MACROS):
            p = own.dynamics.chances(z, torch.full((3,), macro))
            has = [p.roll(move, (1, 2)).gather(-1, target.clamp(min=0).expand(3, -1, -1)[..., None]) for move in NEARBY]
            missed = torch.stack([1 - each[..., 0] for each in has])
            expected = ((missed.prod(0) + EXACT * missed[0]) * (target >= 0)).sum((1, 2))
            assert torch.allclose(swept[:, macro], expected, atol=1e-4)


@given(st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_macro_action_sets_the_cells_that_it_touches_where_they_yield(seed: int) -> None:
    own, z = level(seed), maps(4, seed)
    macro = torch.arange(MACROS)
    with torch.no_grad():
        following, p = own.predict(z, macro), own.dynamics.chances(z, macro)
    assert torch.allclose(p.sum(-1), torch.ones(4, *SIZE), atol=1e-5)
    sure = (own.dynamics.touch == 255).view(MACROS, *SIZE)
    made = own.dynamics.made[:, None, None].expand_as(z)
    assert (following[sure & (z == 0)] == made[sure & (z == 0)]).all()
    kept = own.dynamics.logits(z).argmax(-1)
    assert (following[sure & (z == 1)] == kept[sure & (z == 1)]).all(), "what does not yield becomes what it would"


def test_samples_come_as_often_as_they_should() -> None:
    own, z = level(3), maps(1, 3)
    with torch.no_grad():
        p = own.dynamics.chances(z, torch.tensor([1]))[0]
        many = own.sample(
            z.expand(2000, -1, -1).clone(), torch.ones(2000, dtype=torch.long), torch.Generator().manual_seed(0)
        )
    share = torch.stack([(many == s).float().mean(0) for s in range(SYMBOLS)], -1)
    assert float((share - p).abs().max()) < 0.06


def test_a_symbol_counts_where_it_is_or_one_cell_away_and_nothing_is_asked_of_unsaid_cells() -> None:
    space = CellularSpace(vocabulary=SYMBOLS)
    target = torch.full((1, *SIZE), -1)
    target[0, 2, 2] = 1
    z = torch.zeros(4, *SIZE, dtype=torch.long)
    z[1, 2, 2] = z[2, 2, 3] = z[3, 3, 3] = 1
    assert space.distance(z, target.expand(4, -1, -1)).tolist() == [1, 0, 0, 1]
    assert space.distance(z + SYMBOLS, target.expand(4, -1, -1)).tolist() == [2, 1, 1, 2], "the register differs"
    assert space.keys(z).unique(dim=0).shape[0] == 4


def test_of_a_part_what_is_there_stays_and_of_the_rest_nothing_is_said() -> None:
    z = maps(2, 0)
    kept = KeptPart(vocabulary=SYMBOLS)
    found = kept(level(0), z, torch.tensor([1, 2 * SYMBOLS]))
    assert torch.equal(found[0], torch.where(z[0] == 1, 1, -1))
    assert torch.equal(found[1], z[1]), "all of it"
    assert torch.equal(kept(level(0), z[:1], torch.tensor([1 + SYMBOLS])), found[:1]), "scaffolding goes again"


def test_a_colour_that_play_never_showed_is_the_one_nearest() -> None:
    eye = ColourMap(inputs=(2, 2, 3), vocabulary=2, colours=2)
    eye.colours.copy_(torch.tensor([10 * 65536 + 10 * 256 + 10, 200 * 65536 + 200 * 256 + 200]))
    eye.kinds.copy_(torch.tensor([1, 0]))
    frame = torch.tensor([[[10, 10, 10], [12, 9, 14]], [[200, 200, 200], [180, 230, 190]]], dtype=torch.uint8)
    assert eye(frame[None]).tolist() == [[[1, 1], [0, 0]]]
    assert eye(frame.expand(2, 3, 2, 2, 3)).shape == (2, 3, 2, 2)
    assert eye(frame[None][:0]).shape == (0, 2, 2)


def test_the_network_is_asked_once_for_one_map() -> None:
    own, z = level(1), maps(2, 1)
    asked = 0

    def count(*_: object) -> None:
        nonlocal asked
        asked += 1

    own.dynamics.network[0].register_forward_hook(count)
    with torch.no_grad():
        own.sweep(z, maps(1, 2)[0])
        own.predict(z, torch.tensor([0, 1]))
    assert asked == 1


@pytest.mark.parametrize("seed", [0, 1])
def test_a_level_that_is_saved_is_the_same_again(seed: int) -> None:
    own, z = level(seed), maps(3, seed)
    again = Level(**own.config).eval()
    again.load_state_dict(own.state_dict())
    macro = torch.tensor([0, 1, 2])
    with torch.no_grad():
        assert torch.equal(own.predict(z, macro), again.predict(z, macro))
        assert torch.equal(own.sweep(z, z[0]), again.sweep(z, z[0]))


def test_the_dynamics_of_another_size_are_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        Cellular(vocabulary=2, macros=1, size=(2, 2)).load_state_dict(
            Cellular(vocabulary=2, macros=1, size=(3, 2)).state_dict()
        )


def test_a_map_is_drawn_in_the_colours_of_its_symbols() -> None:
    eye = ColourMap(inputs=(2, 2, 3), vocabulary=2, colours=2)
    eye.palette.copy_(torch.tensor([[1, 2, 3], [200, 100, 0]], dtype=torch.uint8))
    drawn = eye.draw(torch.tensor([[0, 1], [-1, 3]]))  # 3: symbol 1, while something is chosen
    assert drawn.dtype == np.uint8
    assert drawn.tolist() == [[[1, 2, 3], [200, 100, 0]], [[int(UNSAID)] * 3, [200, 100, 0]]]
