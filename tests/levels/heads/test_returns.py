"""Returns learned on a line whose values are known: a step costs 1, and beyond the right end the episode is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from levels.line_levels import line_level
from levels.plays import play_of

import hplan
from hplan.agent import Agent
from hplan.levels.heads import uncertainty
from hplan.levels.heads.returns import ROUNDS, returns_stages
from hplan.levels.level import Level
from hplan.planning.energy import TaskReturn
from hplan.play.play import Play
from hplan.training import vectors
from hplan.training.fit import Run
from hplan.training.train import run_stages
from hplan.types import HplanError, NoSuccessWarning

pytestmark = pytest.mark.training


@pytest.fixture(autouse=True, scope="module")
def short() -> Iterator[None]:
    """Other heads are not what is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uncertainty, "STEPS", 100)
        patch.setattr(vectors, "SUPPORT_STEPS", 100)
        yield


END, DISCOUNT, LENGTH = 6.0, 0.9, 5
SMALL = {"base_steps": 300, "critic_steps": 400, "batch": 64, "hidden": 32, "discount": DISCOUNT}


def walks(episodes: int = 800) -> Play:
    """Of at most five steps from anywhere on the line; those that come to its end are over, the others are cut."""
    generator = torch.Generator().manual_seed(0)
    seen, taken, remaining, terminated = [], [], [], []
    for start in (END * torch.rand(episodes, generator=generator)).tolist():
        actions = 2 * torch.rand(LENGTH, generator=generator) - 1
        places = torch.cat([torch.tensor([start]), start + actions.cumsum(0)])
        over = torch.nonzero(places > END)
        steps = int(over[0, 0]) if len(over) else LENGTH
        seen.append(places[: steps + 1])
        taken.append(torch.cat([actions[:steps], torch.zeros(1)]))
        remaining.append(torch.arange(steps, -1, -1))
        terminated.append(torch.arange(steps + 1) == (steps if len(over) else -1))
    left = torch.cat(remaining)
    play = play_of(torch.cat(seen)[:, None], torch.cat(taken)[:, None], left)
    return replace(play, rewards=-(left > 0).float(), terminated=torch.cat(terminated))


@pytest.fixture(scope="module")
def level(tmp_path_factory: pytest.TempPathFactory) -> Level:
    level = line_level(0, places=tuple(torch.linspace(-4, 8, 49).tolist()))
    stages = returns_stages(level, walks(), discount=DISCOUNT, hidden=32, steps=1000, seed=0)
    curves = run_stages(stages, Run(0, tmp_path_factory.mktemp("returns")))
    rounds = [f"level0-critic-{number + 1}" for number in range(ROUNDS)]
    assert list(curves) == ["level0-reward", *rounds, "level0-actor"]
    return level.eval()


def test_values_are_those_of_the_best_way(level: Level) -> None:
    assert level.returns is not None
    left = torch.arange(6, 0, -1)
    values = level.returns.value(END + 0.3 - left[:, None].float())
    assert values == pytest.approx(-(1 - DISCOUNT**left) / (1 - DISCOUNT), abs=0.6)
    assert (values.diff() > 0).all()


def test_ends_are_told_from_limits(level: Level) -> None:
    assert level.returns is not None
    z, on = torch.tensor([[0.0], [3.0], [5.5]]), torch.ones(3, 1)
    reward, end = level.returns.step(z, on, z + on)
    assert reward == pytest.approx([-1.0] * 3, abs=0.15)
    assert end == pytest.approx([0.0, 0.0, 1.0], abs=0.1)


def test_the_policy_goes_on(level: Level) -> None:
    assert level.returns is not None
    proposed = level.returns.propose(torch.tensor([[1.0], [3.0], [5.0]]))
    assert proposed is not None
    assert (proposed > 0.7).all()


def test_where_play_never_was_is_worth_less(level: Level) -> None:
    assert level.returns is not None
    z, nothing = torch.tensor([[3.0], [40.0]]), torch.zeros(2, 1)
    here, there = level.returns.doubt(z, nothing, z).tolist()
    assert here == 0.0
    assert there == pytest.approx(32.0, abs=1.0), "one usual reward for every step that it is away"


class Killed(Exception):
    pass


def test_values_learned_after_a_kill_are_the_same(tmp_path: Path) -> None:
    def learn(out: Path, kill: str | None = None) -> torch.Tensor:
        level = line_level(0, places=tuple(torch.linspace(-4, 8, 49).tolist()))
        seen = 0

        def told(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
            nonlocal seen
            seen = done if stage == kill else 0
            if seen > 200:  # the snapshot of step 200 is there
                raise Killed

        stages = returns_stages(level, walks(100), discount=DISCOUNT, hidden=16, steps=ROUNDS * 300, seed=0)
        run_stages(stages, Run(0, out, progress=told))
        return level.returns_head.critic.network[0].weight

    undisturbed = learn(tmp_path / "undisturbed")
    with pytest.raises(Killed):
        learn(tmp_path / "killed", kill="level0-critic-3")
    assert learn(tmp_path / "killed").equal(undisturbed)


class Toll(gymnasium.Env):
    """A step left or right for 1 each, and over at the right end, ten steps from the left one."""

    observation_space = spaces.Box(-1.5, 1.5, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.at = -1.0
        return self._seen(), {}

    def step(self, action: int) -> tuple:
        self.at = max(self.at + 0.2 * (2 * int(action) - 1), -1.0)
        return self._seen(), -1.0, self.at > 0.9, False, {}

    def _seen(self) -> np.ndarray:
        return np.array([self.at, 0.5 * self.at], np.float32)


def toll() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Toll(), 40)


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    out = tmp_path_factory.mktemp("toll") / "run"
    with pytest.warns(NoSuccessWarning, match="aims for as much reward as can be had"):
        return hplan.learn(toll, out, steps=2000, levels=1, settings=SMALL)


def test_the_agent_pays_no_more_than_it_has_to_and_a_saved_one_does_the_same(agent: Agent, tmp_path: Path) -> None:
    agent.save(tmp_path / "saved")
    for one in (agent, hplan.load(tmp_path / "saved")):
        one.reset()
        assert isinstance(one._goal, TaskReturn)
        assert hplan.evaluate(one, toll, episodes=2, seed=0).return_mean == -10.0


def test_rewards_that_play_never_saw_are_no_goal(tmp_path: Path) -> None:
    def free() -> gymnasium.Env:
        return gymnasium.wrappers.TransformReward(toll(), lambda reward: 0.0)

    with pytest.raises(HplanError, match="no step of free was paid anything in 800 steps of play: play more"):
        hplan.learn(free, tmp_path / "run", steps=800, levels=1, goal="reward", settings=SMALL)
