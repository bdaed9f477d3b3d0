"""Levels over maps of symbols, on made-up vocabularies: maps are of known symbols, events are where they can be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from levels.small_levels import CELLS, EDITS, MERGE, cells_level, events_level
from torch import Tensor

from hplan.levels.dynamics import prediction_loss
from hplan.levels.level import Level
from hplan.objectives.criterion import Criterion
from hplan.types import Capabilities, WorldModel

BASE = cells_level().requires_grad_(False)
ABOVE = events_level(BASE).requires_grad_(False)
HORIZON = -100.0  # log probability below which planners do not look


def grids(size: int) -> st.SearchStrategy[Tensor]:
    """Maps (B, H, W) of symbols 0..size-1, of any shape up to 3 x 6 x 6."""
    shapes = st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
    return shapes.map(
        lambda s: torch.randint(size, s[:3], generator=torch.Generator().manual_seed(s[3])),
    )


@pytest.mark.parametrize("level", [BASE, ABOVE], ids=["cells", "events"])
def test_it_is_a_world_model(level: Level) -> None:
    assert isinstance(level, WorldModel)
    assert level.macro.pointed == (level.index > 0)


@given(grids(len(CELLS)))
def test_observations_become_exactly_their_symbols(symbols: Tensor) -> None:
    z = BASE.encode(CELLS[symbols])
    assert torch.equal(z, symbols) and z.dtype == torch.int64
    assert torch.equal(BASE.space.snap(BASE.space.embed(z)), z)
    assert torch.equal(ABOVE.encode(z), MERGE[symbols])


def test_a_cell_that_play_never_showed_becomes_a_known_one() -> None:
    strange = torch.tensor([[[[9, 9]]]], dtype=torch.uint8)  # beyond the cardinalities too
    assert 0 <= int(BASE.encode(strange)) < len(CELLS)


@given(grids(len(CELLS)), st.integers(0, 2))
def test_predictions_are_known_symbols(symbols: Tensor, action: int) -> None:
    following = BASE.predict(symbols, torch.full((len(symbols),), action))
    assert following.shape == symbols.shape
    assert bool(((following >= 0) & (following < len(CELLS))).all())
    assert torch.equal(
        following[:1], BASE.predict(symbols[:1], torch.tensor([action]))
    )  # whatever else is in the batch


def test_the_same_weights_run_on_a_larger_grid() -> None:
    symbols = torch.randint(len(CELLS), (2, 17, 31), generator=torch.Generator().manual_seed(0))
    z = BASE.encode(CELLS[symbols])
    assert BASE.predict(z, torch.tensor([0, 1])).shape == (2, 17, 31)
    upper = ABOVE.encode(z)
    log_p = ABOVE.prior(upper)
    assert log_p.shape == (2, len(EDITS) * 17 * 31)
    assert ABOVE.predict(upper, log_p.argmax(1)).shape == upper.shape
    assert BASE.success is not None and ABOVE.success is not None
    assert BASE.success(z).shape == ABOVE.success(upper).shape == (2,)


@given(grids(3))
def test_events_are_possible_only_where_their_symbol_is(symbols: Tensor) -> None:
    log_p = ABOVE.prior(symbols).view(len(symbols), len(EDITS), *symbols.shape[1:])
    there = symbols[:, None] == EDITS[:, 0, None, None]
    assert torch.equal(log_p > HORIZON, there)
    some = there.flatten(1).any(1)
    assert torch.allclose(log_p.exp().flatten(1).sum(1), some.float(), atol=1e-5)


@given(grids(3), st.integers(0, 2), st.integers(0, 35))
def test_the_posterior_names_the_event_that_happened(symbols: Tensor, kind: int, place: int) -> None:
    before = symbols.flatten(1).clone()
    place %= before.shape[1]
    before[:, place] = EDITS[kind, 0]
    after = before.clone()
    after[:, place] = EDITS[kind, 1]
    z, following = (s.view(symbols.shape) for s in (before, after))
    macro, known = ABOVE.macros.hindsight(ABOVE, z, following, torch.empty(0))
    assert bool(known.all())
    assert macro.tolist() == [kind * before.shape[1] + place] * len(symbols)


def test_actions_that_never_did_anything_are_not_proposed() -> None:
    level = cells_level()
    level.prior_head.supported.copy_(torch.tensor([True, False, True]))
    assert (level.prior(torch.zeros(2, 1, 1, dtype=torch.long)) > HORIZON).tolist() == [[1, 0, 1]] * 2


@given(grids(len(CELLS)), grids(len(CELLS)))
def test_distance_counts_cells_and_keys_tell_them_apart(one: Tensor, other: Tensor) -> None:
    other = other.flatten()[torch.arange(one.numel()) % other.numel()].view(one.shape)
    z, w = one, other
    assert BASE.distance(z, w).tolist() == (one != other).flatten(1).sum(1).tolist()
    assert torch.equal((BASE.keys(z) == BASE.keys(w)).all(1), (one == other).flatten(1).all(1))


def test_what_can_follow_is_the_priors_to_say() -> None:
    assert BASE.compatibility is None and ABOVE.compatibility is None
    assert BASE.capabilities == Capabilities(discrete=True, events=False, prior_weight=1.0, prior_floors=(0.005, 0.0))
    assert ABOVE.capabilities == Capabilities(discrete=True, events=True, prior_weight=0.01, prior_floors=(0.005, 0.0))


def test_of_a_map_in_a_world_of_chance_the_likeliest_outcome_alone_is_known() -> None:
    wide, level = torch.zeros(2, 1, 3, dtype=torch.long), cells_level()
    assert level.outcomes is None, "in a certain world there is one"
    level.uncertainty_head.certainty.fill_(0.5)
    assert level.outcomes is not None
    latents, chances = level.outcomes(wide, torch.tensor([0, 2]))
    assert torch.equal(latents[:, 0], BASE.predict(wide, torch.tensor([0, 2])))
    assert chances.tolist() == [[1.0], [1.0]]


def test_frozen_codes_stay_while_the_predictor_learns() -> None:
    level = cells_level().train().requires_grad_(True)
    level.encoder.requires_grad_(False)
    codes = level.space.symbols.clone()
    optimizer = torch.optim.SGD([p for p in level.parameters() if p.requires_grad], lr=1e-3)
    criterion = Criterion("infonce", 8, level.encoder)
    before = torch.randint(len(CELLS), (8, 3, 3), generator=torch.Generator().manual_seed(0))
    losses = []
    for _ in range(5):
        action = torch.zeros(8, dtype=torch.long)
        loss, _, figures = prediction_loss(level, before, action, before.flip(0), (codes, None), criterion, rare=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert 0 <= float(figures["exact"]) <= 1
    assert torch.equal(level.space.symbols, codes)
    assert torch.equal(level.encoder.codes()[0], codes)


@given(grids(len(CELLS)), st.integers(0, 2))
def test_what_passes_is_gone_from_predictions_from_distances_and_from_above(symbols: Tensor, action: int) -> None:
    macro = torch.full((len(symbols),), action)

    def settled(z: Tensor) -> Tensor:
        return torch.where(z == 1, 0, z)

    amid, above = BASE.settling(settled), ABOVE.seeing(settled)
    assert torch.equal(amid.predict(symbols, macro), settled(BASE.predict(symbols, macro)))
    assert bool((amid.distance(symbols, settled(symbols)) == 0).all())
    assert torch.equal(amid.encode(CELLS[symbols]), symbols), "what is there now is seen"
    assert torch.equal(above.encode(symbols), ABOVE.encode(settled(symbols)))
    passing = (symbols == 1).flatten(1).sum(1)
    assert torch.equal(BASE.distance(symbols, settled(symbols)), passing / BASE.space.typical_change)
