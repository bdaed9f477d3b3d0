"""Steps of levels in play that is short enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from levels.plays import play_of
from levels.small_levels import CELLS, GRID, cells_level, events_level, vector_stack

from hplan.levels.steps import ELSEWHERE, NOTHING, latents_of, steps_of
from hplan.play.play import Play

REMAINING = torch.tensor([6, 5, 4, 3, 2, 1, 0, 3, 2, 1, 0])  # steps of two episodes, of 6 and of 3


def grids() -> Play:
    """Everything is cell 0, but for one place, whose cell goes through 0 0 2 2 4 4 0, and 0 2 0 2 in the other."""
    maps = torch.zeros(11, 4, 5, dtype=torch.long)
    maps[:, 2, 3] = torch.tensor([0, 0, 2, 2, 4, 4, 0, 0, 2, 0, 2])
    return play_of(CELLS[maps].byte(), torch.arange(11) % 3, REMAINING, spec=GRID)


def test_a_step_of_level_0_is_one_of_the_environment() -> None:
    data, level = grids(), cells_level()
    steps = steps_of(level, data, latents_of(level, data))
    assert steps.begin.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert steps.macros.tolist() == [t % 3 for t in steps.begin.tolist()]
    assert steps.follows.tolist() == [6, 5, 4, 3, 2, 1, 3, 2, 1]
    assert steps.durations.tolist() == [1.0] * 9
    assert torch.equal(level.encoder.cells[steps.latents], data.observations.long()), "the cells that it saw"


def test_steps_of_a_level_of_symbols_are_events() -> None:
    data, below = grids(), cells_level()
    level = events_level(below)
    above = data.with_latents(latents_of(below, data))
    steps = steps_of(level, above, latents_of(level, above))
    assert steps.begin.tolist() == [1, 3, 5, 7, 8, 9]
    place = 2 * 5 + 3
    assert [int(m) - place for m in steps.macros[[0, 1, 3, 4, 5]]] == [20 * kind for kind in (0, 2, 0, 1, 0)]
    assert steps.kinds is not None and steps.kinds.tolist() == [0, 2, 0, 1, 0], "from 2 back to 0 is no known event"
    assert steps.follows.tolist() == [2, 1, 0, 3, 2, 1]
    assert steps.durations.tolist() == [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]


def test_the_error_of_no_change_is_how_far_play_went() -> None:
    data, below = grids(), cells_level()
    level = events_level(below)
    above = data.with_latents(latents_of(below, data))
    steps = steps_of(level, above, latents_of(level, above))
    copies = {horizon: steps.errors(horizon)[2] for horizon in (1, 2, 3)}
    assert copies[1] == 1.0
    assert copies[2] == pytest.approx(1 / 3), "0 to 4, and twice there and back"
    assert copies[3] == 1.0


@torch.no_grad()
def test_accuracies_are_told_by_what_changed_symbols() -> None:
    data, level = grids(), cells_level()
    steps = steps_of(level, data, latents_of(level, data))
    found, z = steps.accuracies(), steps.latents
    own = {NOTHING: [0, 2, 4], 0: [3, 9], 1: [1, 7], 2: [5, 8]}  # by action
    assert [count for count, _ in found.values()] == [3, 2, 2, 2] and next(iter(found)) == NOTHING
    for (_, share), rows in zip(found.values(), own.values(), strict=True):
        predicted = level.predict(z[rows], data.actions[rows])
        assert share == float((predicted == z[torch.tensor(rows) + 1]).flatten(1).all(1).float().mean())
    above = data.with_latents(latents_of(level, data))
    upper = events_level(level)
    assert sum(count for count, _ in steps_of(upper, above, latents_of(upper, above)).accuracies().values()) == 5


@torch.no_grad()
def test_what_became_of_a_cell_has_a_name_and_what_moves_by_itself_is_apart() -> None:
    data, level = grids(), cells_level()
    steps = steps_of(level, data, latents_of(level, data))

    def named(before: np.ndarray, after: np.ndarray) -> list[str]:
        return ["open" if (old, new) == (0, 2) else "" for old, new in zip(before[:, 0], after[:, 0], strict=True)]

    cells = torch.zeros(11, 4, 5, 2, dtype=torch.long)
    cells[:, 2, 3, 0] = torch.tensor([0, 0, 2, 2, 4, 4, 0, 0, 2, 0, 2])
    found = steps.accuracies(cells, named)
    assert found["open"][0] == 3 and found[NOTHING][0] == 3 and sum(count for count, _ in found.values()) == 9
    near = torch.zeros(9, 4, 5, dtype=torch.bool)
    near[:, 0] = True
    level.dynamics.touched_cells = lambda *_: near  # as if it could only change the first row
    found = steps.accuracies()
    assert found[NOTHING][0] == 9 and found[ELSEWHERE][0] == 6, "six changes, all of them elsewhere"


@torch.no_grad()
def test_steps_of_a_level_of_vectors_last_its_stride_and_chain_by_it() -> None:
    generator = torch.Generator().manual_seed(0)
    data = play_of(torch.randn(11, 2, generator=generator), torch.zeros(11, 2), REMAINING)
    below, level = vector_stack().levels
    above = data.with_latents(latents_of(below, data))
    steps = steps_of(level, above, latents_of(level, above))
    assert steps.begin.tolist() == [0, 1, 2]
    assert steps.end.tolist() == [4, 5, 6]
    assert steps.follows.tolist() == [1, 1, 1]
    assert set(steps.macros.tolist()) <= set(range(8))
    base = above.below
    first = steps_of(below, data, base)
    assert first.kinds is None
    assert first.follows.max() == 6
    z = base[:1]
    for _ in range(6):  # one chain is that long: the first episode
        z = below.predict(z, torch.zeros(1, 2))
    start, end = base[:1], base[6:7]
    expected = (6, float(below.distance(z, end)), float(below.distance(start, end)))
    assert first.errors(6) == pytest.approx(expected)
