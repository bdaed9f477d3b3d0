"""What is told from two variables being equal, and so holds of values that play never combined."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

import hplan
from hplan.levels.tables import Conditional, with_equal
from hplan.registry import make_world, task_from_factory
from hplan.training.dependencies import Steps, Telling, compared, factor

SEED, EPISODES = 50, 30
Seen = tuple[Any, dict[str, Any]]


class Reach(gym.Env):
    """A square of cells, you and a target: the first environment of Gymnasium's tutorial. Nothing says that both are
    places of the same square."""

    action_space = gym.spaces.Discrete(4)
    WAYS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])

    def __init__(self, size: int, paid: bool = False) -> None:
        self.size, self.paid = size, paid
        place = gym.spaces.Box(0, size - 1, (2,), int)
        self.observation_space = gym.spaces.Dict({"agent": place, "target": place})

    def reset(self, *, seed: int | None = None, options: Any = None) -> Seen:
        super().reset(seed=seed)
        here, there = self.np_random.choice(self.size**2, 2, replace=False)
        self.steps = 0
        self.here, self.target = (np.array(divmod(int(cell), self.size)) for cell in (here, there))
        return self.seen(), {"distance": self.distance}

    @property
    def distance(self) -> int:
        return int(np.abs(self.here - self.target).sum())

    def seen(self) -> dict[str, np.ndarray]:
        return {"agent": self.here.copy(), "target": self.target.copy()}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.here = (self.here + self.WAYS[action]).clip(0, self.size - 1)
        self.steps += 1
        there = self.distance == 0
        return self.seen(), -1.0 if self.paid else float(there), there, self.steps >= 100, {}


def distances(world: Any, records: Any) -> list[int]:
    env = make_world(task_from_factory(world), "eval")
    return [env.reset(seed=record["seed"])[1]["distance"] for record in records]


def test_the_tutorial_s_grid_is_solved_in_the_fewest_steps(tmp_path: Path) -> None:
    """There are 10,000 pairs of places, of which 6,000 steps of play met few. Before, 65 % in 52 steps."""
    world = partial(Reach, 10)
    agent = hplan.learn(world, tmp_path / "run", steps=6000, seed=SEED)
    result = hplan.evaluate(agent, world, episodes=EPISODES, seed=SEED)
    assert result.success_rate == 1.0
    assert [record["steps"] for record in result.records] == distances(world, result.records)


def test_what_a_step_is_paid_is_told_from_it_too(tmp_path: Path) -> None:
    world = partial(Reach, 5, paid=True)
    agent = hplan.learn(world, tmp_path / "run", steps=6000, seed=SEED, goal="reward")
    records = hplan.evaluate(agent, world, episodes=EPISODES, seed=SEED).records
    assert [-record["reward"] for record in records] == distances(world, records)


@given(st.integers(0, 10_000))
def test_a_table_reads_whether_numbers_are_equal_as_it_was_fitted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = torch.from_numpy(rng.integers(4, size=(200, 4)))
    pairs = torch.tensor([[0, 2], [1, 3]])
    seen = with_equal(columns, pairs)
    assert torch.equal(seen[:, 4] == 1, columns[:, 0] == columns[:, 2])
    values = 1 + seen[:, 4] * seen[:, 5]
    weights = torch.tensor([[0, 0, 0, 0, 1, 2]])
    table = Conditional.fitted(weights, torch.zeros(1), torch.zeros(200).long(), seen, values, pairs)
    again = Conditional(macros=1, columns=4, **table.sizes)
    again.load_state_dict(table.state_dict())
    rows = again.rows(torch.zeros(200).long(), columns)
    assert torch.equal(again.usual[0][rows], values)


def test_equal_numbers_are_found_and_no_others_where_one_alone_tells() -> None:
    rng = np.random.default_rng(0)
    before = torch.from_numpy(rng.integers(6, size=(4000, 4)))
    steps = Steps(
        (6, 6, 6, 6), 1, torch.zeros(4000).long(), *(torch.nn.functional.pad(before, (0, 1)),) * 2, torch.zeros(4000)
    )
    both = (before[:, 0] == before[:, 2]) & (before[:, 1] == before[:, 3])
    table = factor(steps, both.long(), 5)
    assert sorted(table.pairs.remainder(5).tolist()) == [[0, 2], [1, 3]] and len(table.keys) == 4
    table = factor(steps, (before[:, 1] == 4).long(), 5)
    assert not len(table.pairs)


def test_numbers_of_unlike_size_and_of_two_values_are_not_compared() -> None:
    assert compared([0, 1, 2, 3], {0: 10, 1: 9, 2: 2, 3: 2}) == [(0, 1)]
    assert compared(list(range(20)), dict.fromkeys(range(20), 5)) == []


def test_two_equalities_are_found_where_neither_tells_alone() -> None:
    rng = np.random.default_rng(0)
    columns = rng.integers(2, size=(2000, 30))
    columns[:, :20] = rng.integers(9, size=(2000, 20))
    sizes = dict.fromkeys(range(20), 9) | dict.fromkeys(range(20, 30), 2)
    told = Telling(columns, columns[:, 21] ^ columns[:, 27], sizes, range(20, 30))
    assert set(told.search(list(range(30)))[0]) == {21, 27}
