"""Success of two things, in an order or not, in layouts never seen; and what acts where it never played says so."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from levers import FLOOR, LEVER, OTHER, STEPS, Levers

import hplan
from hplan.agent import Agent
from hplan.training.learn import learn
from hplan.training.mover import MoverSteps, Spoilers, several_movers
from hplan.types import SymbolWarning, UsageError

SMALL = {"base_steps": 300, "batch": 64}
SHORTEST = 8  # steps to both levers, as a mean at most


@pytest.fixture(scope="module", params=[False, True], ids=["in any order", "in order"])
def learned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Agent]:
    world = partial(Levers, in_order=request.param)
    return world, learn(world, tmp_path_factory.mktemp("levers") / "run", steps=20_000, seed=50, settings=SMALL)


@pytest.mark.training
def test_both_levers_are_thrown(learned: tuple[Any, Agent]) -> None:
    world, agent = learned
    found = hplan.evaluate(agent, world, episodes=30, seed=50)
    assert found.success_rate == 1 and found.steps_mean < SHORTEST, found
    assert hplan.evaluate(agent, world, episodes=30, seed=50, method="random").success_rate < 0.8


@pytest.mark.training
def test_of_many_levers_none_is_left(tmp_path: Path) -> None:
    """Nine of them: what is left if nothing is undone says how many, and which come first."""
    world = partial(Levers, more=7)
    agent = learn(world, tmp_path / "run", steps=20_000, seed=50, settings=SMALL)
    assert agent.stack.levels[1].success_head.somewhere.tolist().count(False) == 1
    found = hplan.evaluate(agent, world, episodes=10, seed=50)
    assert found.success_rate == 1 and found.steps_mean < 35 and found.predictor_evals_per_step < 60, found


@pytest.mark.training
def test_maps_without_one_mover_are_named(learned: tuple[Any, Agent]) -> None:
    world, agent = learned
    seen, _ = world().reset(seed=3)
    nobody, crowd = seen.copy(), seen.copy()
    nobody[..., 1] = 0
    crowd[1, :3, 1] = 1
    agent.reset()
    agent.act(seen)  # nothing is said of what play showed
    agent.reset()
    with pytest.warns(SymbolWarning, match="a map shows no movers, where play always showed one"):
        agent.act(nobody)
    agent.reset()
    with pytest.warns(SymbolWarning, match=f"a map shows {int(crowd[..., 1].sum())} movers"):
        agent.act(crowd)


@pytest.mark.training
def test_a_cell_that_play_never_showed_is_named_once_an_episode(tmp_path: Path) -> None:
    agent = learn(Levers, tmp_path / "run", steps=3000, seed=50, settings={"base_steps": 30, "batch": 32}, levels=1)
    agent.stack.levels[0].encoder.cells[-1] = 0  # as if thrown levers of the second kind had never been met
    seen, _ = Levers().reset(seed=3)
    seen[2, 3] = (5, seen[2, 3, 1])
    agent.reset()
    with pytest.warns(SymbolWarning, match=r"cell \(2, 3\) shows \(5,\) in features 0, which play never met"):
        agent.act(seen)
    agent.act(seen)  # warnings are errors here


class Still(Levers):
    """Nothing but the mover ever changes."""

    def reset(self, **options: Any) -> Any:
        super().reset(**options)
        self.cells[np.isin(self.cells, (LEVER, OTHER))] = FLOOR
        return self.seen(), {}

    def step(self, action: int) -> Any:
        seen, *_ = super().step(action)
        return seen, 0.0, False, self.steps >= STEPS, {"success": self.at == (1, 1)}


def test_levels_that_play_shows_no_events_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--levels 2: play shows no event"):
        learn(Still, tmp_path / "run", steps=1000, levels=2, settings={"base_steps": 10, "batch": 16})


def test_an_encoder_of_one_size_names_both(tmp_path: Path) -> None:
    settings = {"base_steps": 20, "batch": 32}
    agent = learn(Levers, tmp_path / "run", steps=1500, levels=1, encoder="one-hot", settings=settings)
    seen, _ = Levers().reset(seed=0)
    agent.reset()
    with pytest.raises(UsageError, match=r"shape \(9, 9, 2\), and encoder 'one-hot' reads shape \(7, 7, 2\) alone"):
        agent.act(np.pad(seen, ((0, 2), (0, 2), (0, 0))))


@given(st.integers(0, 1000), st.booleans())
def test_what_spoils_a_change_is_counted(seed: int, by_chance: bool) -> None:
    """Changes of ground 1 to 2 fail where ground 3 is somewhere; or by chance, and nothing is told."""
    random = np.random.default_rng(seed)
    before = np.zeros((400, 9), np.int64)
    before[:, 1] = 1
    before[:, 2] = 3 * (random.random(400) < 0.5)
    after = before.copy()
    after[:, 1] = 2
    failed = random.random(400) < 0.5 if by_chance else before[:, 2] == 3
    maps = torch.from_numpy(np.stack([before, after], 1).reshape(800, 3, 3)) * 2
    maps[:, 2, 2] += 1  # the mover
    rows = torch.arange(0, 800, 2)
    fails = torch.zeros(800, dtype=torch.bool)
    fails[rows] = torch.from_numpy(failed)
    found = Spoilers.of(maps, 2, MoverSteps.of(maps, rows, 2), fails)
    if by_chance:
        assert not len(found.changes) and not found.explained.any()
    else:
        assert found.changes.tolist() == [[1, 2]] and found.grounds.tolist() == [[False, False, False, True]]
        assert torch.equal(found.explained, fails)
        edits = torch.tensor([[1, 2, 1, 1, 0], [1, 2, 1, 1, 1], [2, 1, 1, 1, 0]])
        assert found.of_types(edits, 5).any(1).tolist() == [True, False, False]


class Twins(Levers):
    """Somebody else stands in a corner."""

    def seen(self) -> np.ndarray:
        shown = super().seen()
        shown[5, 5 if self.at != (5, 5) else 4, 1] = 1
        return shown


def test_several_movers_are_told_and_learned_without(tmp_path: Path) -> None:
    with pytest.warns(SymbolWarning, match="feature 1 marks 2 cells of every map, as if there were 2 movers"):
        agent = learn(Twins, tmp_path / "run", steps=1000, levels=1, settings={"base_steps": 10, "batch": 16})
    assert agent.train_info["mover"] is False
    assert several_movers(torch.zeros(5, 7, 7, 2, dtype=torch.uint8)) is None
