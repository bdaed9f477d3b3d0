"""Factors are what the state says, on every task that names some."""

from __future__ import annotations

import numpy as np
import pytest

from hplan.registry import load_task, make_world, task_names
from hplan.types import ObservationSpec, UsageError
from hplan.worlds.factors import factor

GRID = ObservationSpec("symbols", (8, 8, 6), (11, 6, 4, 5, 11, 6))
NAMED = [name for name in task_names() if load_task(name).probes]


@pytest.mark.parametrize("name", NAMED)
def test_factors_of_a_task_are_finite_rows(name: str) -> None:
    task = load_task(name)
    world = make_world(task, split="train")
    try:
        seen = np.stack([world.codec.encode(world.reset(seed=2 * i)[0]) for i in range(3)])
        for probe in task.probes:
            values = factor(probe, world.codec.observation_spec)(seen)
            assert values.shape[0] == 3
            assert np.isfinite(values).all()
    finally:
        world.close()


def test_what_a_grid_shows() -> None:
    grid = np.zeros((1, 8, 8, 6), np.uint8)
    grid[..., 0] = 1
    grid[0, 2, 5, 3:5] = (3, 5)  # the agent, looking left, carries a key
    grid[0, 4, 4, :3] = (4, 0, 2)  # a locked door
    grid[0, :, 0, 0] = 2
    read = {
        name: factor(name, GRID)(grid)[0].tolist() for name in ("position", "direction", "carrying", "doors", "layout")
    }
    assert read["position"] == [2.0, 5.0]
    assert read["direction"] == [0.0, 0.0, 1.0, 0.0]
    assert read["carrying"] == [1.0]
    assert read["doors"] == [0.0, 0.0, 1.0]
    assert read["layout"] == [3.5, 0.0]


def test_an_unknown_probe_is_refused() -> None:
    with pytest.raises(UsageError, match="known are position"):
        factor("colour", GRID)
