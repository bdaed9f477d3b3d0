"""Windows of a map around one cell, and dynamics that look at nothing else."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from levels.small_levels import CELLS, EDITS, cells_level, events_level
from torch import Tensor, nn

from hplan.levels.dynamics import RADIUS, SIGHT, crop, paste, prediction_loss, turned
from hplan.levels.level import Level
from hplan.objectives.criterion import Criterion
from hplan.training.symbols import turn_maps

MOVER = 5  # the symbol of CELLS that every map here shows once
EDITED = 1  # of EDITS: symbol 1 becomes 0


def base() -> Level:
    level = cells_level(window=SIGHT)
    level.space.movers[MOVER] = True
    return level.requires_grad_(False)


def above(below: Level) -> Level:
    level = events_level(below)
    nn.init.normal_(level.dynamics.change.weight, std=2.0)
    level.dynamics.local.fill_(True)
    return level.requires_grad_(False)


BASE = base()
LEVELS = {"actions": BASE, "events": above(BASE)}


def worlds(symbols: int) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
    """Maps (B, H, W) of symbols below `symbols`, and a flat cell of each, (B,)."""

    def world(s: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(s[3])
        maps = torch.randint(symbols, s[:3], generator=generator)
        return maps, torch.randint(maps[0].numel(), (len(maps),), generator=generator)

    return st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12), st.integers(0, 10_000)).map(world)


def test_no_map_has_no_centre() -> None:
    for level in LEVELS.values():
        none = torch.empty(0, 9, 9, dtype=torch.long), torch.empty(0, dtype=torch.long)
        assert level.dynamics.centre(level, *none).shape == (0,)


@given(worlds(4), st.integers(0, 3))
def test_a_window_is_what_lies_around_the_cell(world: tuple[Tensor, Tensor], radius: int) -> None:
    maps, at = world
    windows = crop(maps, at, radius, outside=-1)
    for one, cell, window in zip(maps, at.tolist(), windows.tolist(), strict=True):
        row, column = divmod(cell, one.shape[1])
        for i in range(-radius, radius + 1):
            for j in range(-radius, radius + 1):
                inside = 0 <= row + i < one.shape[0] and 0 <= column + j < one.shape[1]
                assert window[radius + i][radius + j] == (int(one[row + i, column + j]) if inside else -1)


@given(worlds(4))
def test_a_pasted_window_changes_nothing_else(world: tuple[Tensor, Tensor]) -> None:
    maps, at = world
    assert torch.equal(paste(maps, at, crop(maps, at, 1, outside=-1)), maps)
    marked = paste(maps, at, torch.full((len(maps), 3, 3), 9))
    assert bool((crop(marked, at, 1, outside=9) == 9).all())
    assert torch.equal(paste(marked, at, crop(maps, at, 1, outside=-1)), maps)


def situation(name: str, maps: Tensor, at: Tensor) -> tuple[Level, Tensor, Tensor]:
    """A level, a latent in which it is `at` that something can happen, and a macro-action that happens there."""
    level, flat = LEVELS[name], maps.flatten(1).clone()
    if name == "actions":
        flat[flat == MOVER] = 0
        flat[torch.arange(len(maps)), at] = MOVER
        macro = torch.ones(len(maps), dtype=torch.long)
    else:
        flat %= len(EDITS)
        macro = EDITED * flat.shape[1] + at
    return level, flat.view(maps.shape), macro


@pytest.mark.parametrize("name", LEVELS)
@given(worlds(len(CELLS)))
def test_a_step_changes_nothing_but_next_to_the_centre(name: str, world: tuple[Tensor, Tensor]) -> None:
    level, z, macro = situation(name, *world)
    following = level.predict(z, macro)
    assert torch.equal(paste(following, world[1], crop(z, world[1], RADIUS, outside=-1)), z)


@pytest.mark.parametrize("name", LEVELS)
def test_what_is_far_from_the_centre_makes_no_difference(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    maps, at = torch.randint(MOVER, (4, 15, 15), generator=generator), torch.full((4,), 7 * 15 + 7)
    other = torch.randint(MOVER, (4, 15, 15), generator=generator)
    other[:, 4:11, 4:11] = maps[:, 4:11, 4:11]
    level, z, macro = situation(name, maps, at)
    _, w, _ = situation(name, other, at)
    near = [crop(level.predict(one, macro), at, RADIUS, outside=-1) for one in (z, w)]
    assert torch.equal(*near)
    assert not torch.equal(near[0], crop(z, at, RADIUS, outside=-1))  # and it does predict something


def test_where_an_action_can_do_anything_is_asked_next_to_the_mover_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randint(MOVER, (2, 15, 15), generator=generator)
    maps[:, 7, 7] = MOVER
    other = maps.clone()
    other[:, :3] = 0
    assert torch.equal(BASE.prior(maps), BASE.prior(other))


def test_a_map_without_a_mover_is_predicted_all_the_same() -> None:
    z = torch.zeros(2, 9, 9, dtype=torch.long)
    following = BASE.predict(z, torch.tensor([0, 1]))
    following[..., :2, :2] = z[..., :2, :2]
    assert torch.equal(following, z)  # but for the corner


def test_only_cells_of_the_map_are_uncertain() -> None:
    level = base()
    level.uncertainty_head.certainty.fill_(0.5)
    maps = torch.zeros(2, 9, 9, dtype=torch.long)
    maps[0, 4, 4] = maps[1, 0, 0] = MOVER
    within, corner = level.uncertainty(maps, torch.tensor([1, 1])).tolist()
    assert 0 < within <= 9
    assert 0 < corner <= 4


def test_a_local_level_learns_what_happens_at_the_border() -> None:
    level = cells_level(window=SIGHT).train().requires_grad_(True)
    level.space.movers[MOVER] = True
    before = torch.zeros(9, 9, 9, dtype=torch.long)
    at = torch.arange(9) * 10  # the diagonal, corners included
    before.flatten(1)[torch.arange(9), at] = MOVER
    after = before.clone()
    after.flatten(1)[torch.arange(9), (at + 1) % 81] = 1  # beyond the last cell, far away: that cannot be learned
    criterion, action = Criterion("infonce", 8, level.encoder), torch.zeros(9, dtype=torch.long)
    optimizer = torch.optim.Adam([p for p in level.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(200):
        codes = level.encoder.codes()
        loss, _, figures = prediction_loss(level, before, action, after, codes, criterion, rare=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(figures["exact"]) == 1.0
    level.space.set_codes(*level.encoder.codes())
    predicted = level.predict(before, action)
    assert torch.equal(predicted[:8], after[:8])
    assert torch.equal(predicted[8], before[8])


@given(st.integers(0, 1000), st.integers(0, 3))
def test_a_window_turns_as_maps_do(seed: int, turns: int) -> None:
    windows = torch.randint(9, (2, 5, 5), generator=torch.Generator().manual_seed(seed))
    found = turned(windows, torch.tensor([turns, 0]))
    assert torch.equal(found[0], windows[0].rot90(turns)) and torch.equal(found[1], windows[1])
    assert torch.equal(turned(found, -torch.tensor([turns, 0])), windows)


def walker_level(tokens: int = 3, grounds: int = 4) -> Level:
    """Level 0 of somebody, one of two tokens, on this many kinds of ground."""
    torch.manual_seed(0)
    level = Level(
        index=0,
        parts={
            "encoder": {
                "kind": "cells",
                "inputs": (2,),
                "latent": 8,
                "cardinalities": (grounds, tokens),
                "vocabulary": grounds,
                "mover": (1,),
                "tokens": tokens,
            },
            "space": {
                "kind": "discrete-map",
                "vocabulary": grounds,
                "channels": 8,
                "tokens": tokens,
                "token_channels": 8,
            },
            "macros": {"kind": "actions", "action": "discrete", "size": 2},
            "dynamics": {"kind": "local-window", "channels": 16, "hidden": 32, "macros": 2, "tokens": tokens},
        },
    )
    level.encoder.cells.copy_(torch.arange(grounds)[:, None])
    level.encoder.tokens.copy_(torch.arange(tokens)[:, None])
    return level


def walks(ground: Tensor, token: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """Maps (B, 5, 5) with the mover in the middle, who goes up by action 0, and becomes the other token by action 1;
    and what follows."""
    z, following = 3 * ground, 3 * ground
    z[:, 2, 2] += token
    following = following.clone()
    following[:, 1, 2] += torch.where(action == 0, token, 0)
    following[:, 2, 2] += torch.where(action == 1, 3 - token, 0)
    return z, following


def test_a_mover_is_known_on_ground_where_nobody_ever_saw_it() -> None:
    """Kind 3 lies about, but never where the mover is or goes to, and does not matter there."""
    level = walker_level().train()
    level.dynamics.matters.fill_(False)
    generator = torch.Generator().manual_seed(0)

    def drawn(strange: bool) -> tuple[Tensor, Tensor, Tensor]:
        ground = torch.randint(4, (64, 5, 5), generator=generator)
        ground[:, 1:3, 2] = 3 if strange else torch.randint(3, (64, 2), generator=generator)
        action = torch.randint(2, (64,), generator=generator)
        return *walks(ground, torch.randint(1, 3, (64,), generator=generator), action), action

    criterion = Criterion("infonce", 16, level.encoder)
    optimizer = torch.optim.Adam([p for p in level.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(150):
        before, after, action = drawn(False)
        loss, _, _ = prediction_loss(level, before, action, after, level.encoder.codes(), criterion, rare=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    level.eval().space.set_codes(*level.encoder.codes())
    for strange in (False, True):
        before, after, action = drawn(strange)
        assert torch.equal(level.predict(before, action), after)


@given(st.integers(0, 1000), st.integers(1, 3))
def test_where_all_ways_are_alike_a_turned_world_is_predicted_as_the_world_is(seed: int, quarter: int) -> None:
    """Tokens 1 to 4 go right, up, left and down; a turn makes each the next one."""
    level, generator = walker_level(tokens=5), torch.Generator().manual_seed(seed)
    nn.init.normal_(level.dynamics.change.weight, std=2.0, generator=generator)
    level.space.set_codes(*level.encoder.codes())
    dynamics = level.requires_grad_(False).dynamics
    dynamics.turns.copy_(torch.tensor([0, 1, 0, 3, 2]))
    dynamics.relabelled.copy_(torch.stack([torch.tensor([0, *(1 + (k + n) % 4 for k in range(4))]) for n in range(4)]))
    dynamics.touches.copy_(torch.rand(2, 9, generator=generator) > 0.3)
    z = 5 * torch.randint(4, (6, 5, 6), generator=generator)
    z[:, 2, 3] += torch.randint(1, 5, (6,), generator=generator)
    action = torch.randint(2, (6,), generator=generator)
    other = turn_maps(z, quarter, dynamics.relabelled, 5)
    following = level.predict(z, action)
    assert torch.equal(level.predict(other, action), turn_maps(following, quarter, dynamics.relabelled, 5))


@given(st.integers(0, 1000))
def test_what_is_remembered_of_windows_is_what_follows(seed: int) -> None:
    """A trained level answers from memory, whatever it reads, changes and turns; one that trains never does."""
    level, generator = walker_level(tokens=5), torch.Generator().manual_seed(seed)
    nn.init.normal_(level.dynamics.change.weight, std=2.0, generator=generator)
    level.space.set_codes(*level.encoder.codes())
    dynamics = level.requires_grad_(False).dynamics
    dynamics.turns.copy_(torch.randint(4, (5,), generator=generator))
    dynamics.matters.copy_(torch.rand(5, 9, generator=generator) > 0.6)
    dynamics.touches.copy_(torch.rand(5, 2, 9, generator=generator) > 0.6)
    z = 5 * torch.randint(4, (24, 3, 4), generator=generator)
    z.flatten(1)[torch.arange(24), torch.randint(12, (24,), generator=generator)] += torch.randint(
        1, 5, (24,), generator=generator
    )
    action = torch.randint(2, (24,), generator=generator)
    following = level.predict(z, action)
    level.eval()
    for rows in (slice(0, 12), slice(None), slice(6, 24)):
        assert torch.equal(level.predict(z[rows], action[rows]), following[rows])
    nn.init.normal_(level.train().dynamics.change.weight, std=2.0, generator=generator)
    changed = level.predict(z, action)
    assert torch.equal(level.eval().predict(z, action), changed), "it was trained in between"


def test_ground_that_does_not_matter_is_not_read() -> None:
    level, generator = walker_level(), torch.Generator().manual_seed(0)
    nn.init.normal_(level.dynamics.change.weight, std=2.0)
    level.space.set_codes(*level.encoder.codes())
    level.requires_grad_(False).dynamics.matters[1] = False
    level.dynamics.matters[1, 5] = True  # to the right of the middle
    ground = torch.randint(4, (8, 5, 5), generator=generator)
    other = (ground + 1) % 4
    other[:, 2, 3] = ground[:, 2, 3]
    action, token = torch.zeros(8, dtype=torch.long), torch.ones(8, dtype=torch.long)
    for same, who in ((True, token), (False, 2 * token)):
        read = [
            level.dynamics.seen(level, level.space.embed, walks(each, who, action)[0], torch.full((8,), 12))
            for each in (ground, other)
        ]
        assert torch.equal(*read) == same
    assert torch.equal(read[0][..., 8:], read[1][..., 8:]), "the mover is seen in any case"
