"""What play calls a violation, learned and kept to, where `info["cost"]` alone tells of it: no ending, no reward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from costly_worlds import Disc

import hplan
from hplan.agent import Agent

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def around_the_disc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("disc") / "run"
    settings = {"base_steps": 400, "batch": 64, "latent": 8, "hidden": 32}
    hplan.learn("gym:costly_worlds:Disc-v0", out=out, steps=4000, seed=50, levels=1, settings=settings)
    return out


def costs(agent: Agent) -> list[float]:
    """Of ways from the left side of the disc to the right one; each of them arrives."""
    env, found = Disc(), []
    for height in (0.3, 0.4, 0.5, 0.6, 0.7):
        observation, _ = env.reset(options={"at": (0.1, height)})
        goal = np.array([0.9, 1 - height], np.float32)
        agent.reset(goal=goal)
        cost = 0.0
        for _ in range(50):
            observation, *_, info = env.step(agent.act(observation))
            cost += info["cost"]
            if np.linalg.norm(observation - goal) < 0.06:
                break
        assert np.linalg.norm(observation - goal) < 0.06
        found.append(cost)
    return found


def test_a_disc_that_costs_is_gone_around(around_the_disc: Path) -> None:
    assert costs(hplan.load(around_the_disc)) == [0.0] * 5


def test_without_its_guard_the_way_leads_through_it(around_the_disc: Path) -> None:
    assert sum(costs(hplan.load(around_the_disc, settings={"guard": False}))) >= 10


@pytest.mark.parametrize("world", ["Ford-v0", "FordOfTwo-v0"])
def test_tables_learn_what_costs_too(world: str, tmp_path: Path) -> None:
    agent = hplan.learn(f"gym:costly_worlds:{world}", out=tmp_path / "run", steps=3000, seed=50)
    level = agent.stack.levels[0]
    assert level.violation is not None
    z = level.encode(torch.from_numpy(agent.stack.codec.encode(0 if world == "Ford-v0" else np.array([0, 0])))[None])
    assert not bool(level.violation(z, z) > 0)
    kept = hplan.evaluate(agent, f"gym:costly_worlds:{world}", episodes=3, seed=50)
    assert (kept.success_rate, kept.constraint_violations, kept.steps_mean) == (1.0, 0.0, 8.0)
    agent = hplan.load(tmp_path / "run", settings={"guard": False})
    free = hplan.evaluate(agent, f"gym:costly_worlds:{world}", episodes=3, seed=50)
    assert (free.success_rate, free.constraint_violations, free.steps_mean) == (1.0, 1.0, 4.0)
