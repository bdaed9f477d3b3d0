"""Ways over a map: where the ball went, in cells, and subgoals at the places that levels took them for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("ogbench")

from hplan.evaluation.paths import follow
from hplan.registry import load_task, make_world
from hplan.types import UsageError


class Doubling:
    """A level that takes twice what is below it."""

    def encode(self, below: Tensor) -> Tensor:
        return 2 * below

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z - other).norm(dim=-1)


class Halves:
    """Two levels that see the same in every layout."""

    levels = (Doubling(), Doubling())
    codec = SimpleNamespace(encode=lambda observation: observation)

    def conditioned(self, context: Any) -> Halves:
        return self

    def begun(self, observation: np.ndarray) -> Halves:
        return self

    def together(self, observations: np.ndarray) -> Tensor:
        return torch.from_numpy(observations)


class Eastwards:
    """Aims, on level 1, for the middle of the cell to the right of where it began, and then for that one; goes on for
    `steps` steps."""

    evaluations, last_repair = 0, None

    def __init__(self, world: Any, steps: int) -> None:
        self.world, self.taken = world, 0
        self.world.view.max_steps = steps
        self.stack = Halves()
        self.planner_calls: dict[int, int] = {}
        self.repairs: dict[int, int] = {}

    def reset(self, goal: np.ndarray, seed: int) -> None:
        self.taken = 0

    def act(self, observation: np.ndarray) -> np.ndarray:
        if not self.taken:
            row, column = self.world.view.cell(observation)
            ahead = [self.world.view.centre((row, column + n)) for n in (1, 0)]
            self.ahead = [4 * torch.tensor(place) for place in ahead]
        self.taken += 1
        return np.array([1.0, 0.0], np.float32)

    @property
    def subgoals(self) -> dict[int, Tensor]:
        return {0: torch.zeros(2), 1: self.ahead[self.taken > 3]}


def test_an_episode_is_followed_over_the_map() -> None:
    world = make_world(load_task("ogbench/pointmaze-medium-navigate"), "eval")
    actor: Any = Eastwards(world, steps=6)
    path = follow(actor, world, seed=0)  # goal 1 starts in the upper left corner
    assert path.goal_name == "1" and not path.success
    assert path.way.shape == (7, 2)
    assert np.abs(path.way[0] - [1, 1]).max() <= 0.25  # row 1 and column 1, drawn within the cell
    assert np.allclose(path.way[-1] - path.way[0], [6 * 0.2 / 4, 0], atol=1e-6)  # a cell is 4 wide
    assert list(path.subgoals) == [1]
    assert np.allclose(path.subgoals[1], [(2, 1), (1, 1)], atol=0.06), "each once, in the middle of its cell"
    world.close()


def test_only_mazes_have_a_map() -> None:
    world = make_world(load_task("minigrid/DoorKey-5x5"), "eval")
    with pytest.raises(UsageError, match=r"DoorKey-5x5.*only mazes"):
        follow(SimpleNamespace(), world, seed=0)  # type: ignore[arg-type]
