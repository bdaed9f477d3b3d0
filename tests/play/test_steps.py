"""Steps of levels in play that is short enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from levels.small_levels import CELLS, GRID, MOVES, PLANE, PUSH, cells_level, events_level, vector_stack

from hplan.levels.steps import encode_rows, steps_of
from hplan.play.play import Play
from hplan.types import ActionSpec, ObservationSpec

LENGTHS = (6, 3)  # of the two episodes, in steps


def play(observations: np.ndarray, actions: np.ndarray, spec: ObservationSpec, moves: ActionSpec) -> Play:
    count = len(observations)
    remaining = np.concatenate([np.arange(length, -1, -1) for length in LENGTHS]).astype(np.int32)
    return Play(
        observations=observations,
        actions=actions,
        rewards=np.zeros(count, np.float32),
        success=np.zeros(count, bool),
        violation=np.zeros(count, bool),
        terminated=np.zeros(count, bool),
        remaining=remaining,
        episode=np.repeat(np.arange(2, dtype=np.int32), np.array(LENGTHS) + 1),
        seeds=np.arange(2),
        observation_spec=spec,
        action_spec=moves,
    )


def grids() -> Play:
    """Everything is cell 0, but for one place, whose cell goes through 0 0 2 2 4 4 0, and 0 2 0 2 in the other."""
    maps = torch.zeros(11, 4, 5, dtype=torch.long)
    maps[:, 2, 3] = torch.tensor([0, 0, 2, 2, 4, 4, 0, 0, 2, 0, 2])
    return play(CELLS[maps].numpy().astype(np.uint8), np.arange(11) % 3, GRID, MOVES)


def test_a_step_of_level_0_is_one_of_the_environment() -> None:
    data, level = grids(), cells_level()
    latents = encode_rows(level, torch.from_numpy(data.observations).__getitem__, len(data))
    steps = steps_of(level, latents, data)
    assert steps.begin.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9]
    assert steps.macros.tolist() == [t % 3 for t in steps.begin.tolist()]
    assert steps.follows.tolist() == [6, 5, 4, 3, 2, 1, 3, 2, 1]
    assert steps.durations.tolist() == [1.0] * 9
    wanted = level.encode(torch.from_numpy(data.observations))
    assert torch.equal(latents(torch.arange(11)), wanted), "kept as symbols, they are the same"


def test_steps_of_a_level_of_symbols_are_events() -> None:
    data, below = grids(), cells_level()
    level = events_level(below)
    base = encode_rows(below, torch.from_numpy(data.observations).__getitem__, len(data))
    steps = steps_of(level, encode_rows(level, base, len(data)), data)
    assert steps.begin.tolist() == [1, 3, 5, 7, 8, 9]
    place = 2 * 5 + 3
    assert [int(m) - place for m in steps.macros[[0, 1, 3, 4, 5]]] == [20 * kind for kind in (0, 2, 0, 1, 0)]
    assert steps.kinds is not None and steps.kinds.tolist() == [0, 2, 0, 1, 0], "from 2 back to 0 is no known event"
    assert steps.follows.tolist() == [2, 1, 0, 3, 2, 1]
    assert steps.durations.tolist() == [2.0, 2.0, 2.0, 1.0, 1.0, 1.0]


def test_the_error_of_no_change_is_how_far_play_went() -> None:
    data, below = grids(), cells_level()
    level = events_level(below)
    base = encode_rows(below, torch.from_numpy(data.observations).__getitem__, len(data))
    steps = steps_of(level, encode_rows(level, base, len(data)), data)
    copies = {horizon: steps.errors(horizon)[2] for horizon in (1, 2, 3)}
    assert copies[1] == 1.0
    assert copies[2] == pytest.approx(1 / 3), "0 to 4, and twice there and back"
    assert copies[3] == 1.0


@torch.no_grad()
def test_steps_of_a_level_of_vectors_last_its_stride_and_chain_by_it() -> None:
    generator = np.random.default_rng(0)
    data = play(generator.normal(size=(11, 2)).astype(np.float32), np.zeros((11, 2), np.float32), PLANE, PUSH)
    below, level = vector_stack().levels
    base = encode_rows(below, torch.from_numpy(data.observations).__getitem__, len(data))
    steps = steps_of(level, encode_rows(level, base, len(data)), data)
    assert steps.begin.tolist() == [0, 1, 2]
    assert steps.end.tolist() == [4, 5, 6]
    assert steps.follows.tolist() == [1, 1, 1]
    assert set(steps.macros.tolist()) <= set(range(8))
    first = steps_of(below, base, data)
    assert first.kinds is None
    assert first.follows.max() == 6
    z = base(torch.tensor([0]))
    for _ in range(6):  # one chain is that long: the first episode
        z = below.predict(z, torch.zeros(1, 2))
    start, end = base(torch.tensor([0])), base(torch.tensor([6]))
    expected = (6, float(below.distance(z, end)), float(below.distance(start, end)))
    assert first.errors(6) == pytest.approx(expected)
