"""Goals of a GoalEnv: what play reached of them tells an agent which numbers count, and how near is near."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from raw_worlds import Point, Rounds
from worlds.small_environments import Reach

import hplan
from hplan.codec import Codec
from hplan.levels.heads.target import _achieved
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.registry import task_of

SEED = 50
BRIEF = {"base_steps": 400}


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reach") / "play"
    play(task_of(Point), out, steps=4000, seed=SEED)
    return out


def test_missions_are_in_the_units_of_what_is_achieved(reached: Path) -> None:
    found = load_play(reached)
    assert found.goals == 2, "the first numbers of an observation"
    asked = torch.tensor(found.missions)[found.episode]
    near = (found.observations[:, :2] - asked).norm(dim=1) < 0.3
    after = torch.nonzero(found.success)[:, 0]
    assert len(after) > 20 and bool(near[after + 1].all())


def test_a_large_offset_is_taken_from_goals_too() -> None:
    codec = Codec.of(Reach.observation_space, Reach.action_space, "there", offset=(4.0, 0, 4, 0, 0, 0))
    place, goal = np.array([5.0, 1], np.float32), np.array([6.0, 2], np.float32)
    seen = {"observation": np.array([5.0, 1, 0, 0], np.float32), "achieved_goal": place, "desired_goal": goal}
    assert codec.encode(seen)[:2].tolist() == codec.asked(seen, "achieved_goal").tolist() == [1, 1]
    assert codec.asked(seen).tolist() == [2, 2]


def test_how_near_is_near_is_told_in_each_number(reached: Path) -> None:
    found: Play = load_play(reached).read()
    assert found.asked is not None
    rows = torch.nonzero(found.success)[:, 0] + 1
    seen = found.observations.float()
    told = _achieved(found, (seen - seen.mean(0)) / seen.std(0).clamp(min=1e-6), found.asked[found.episode], rows)
    assert told is not None and told[0].tolist() == [True, True, False, False, False]
    away = seen[rows, :2] - torch.tensor(found.missions)[found.episode][rows]
    assert torch.allclose(told[3] * seen[:, :2].std(0), away.square().mean(0).sqrt(), rtol=0.02)
    assert _achieved(replace(found, goals=2), seen, found.asked[found.episode], rows[:2]) is None, "too few"


def test_a_number_that_is_as_far_off_at_success_as_elsewhere_does_not_count(reached: Path) -> None:
    """Such as a speed: its width would be the floor of all others."""
    found: Play = load_play(reached).read()
    speed = torch.randn(len(found), 1, generator=torch.Generator().manual_seed(0))
    seen = torch.cat([found.observations[:, :2].float(), 3 * speed, found.observations[:, 2:].float()], 1)
    missions = tuple((*mission, 0.0) for mission in found.missions)
    faster = replace(found, observations=seen, goals=3, missions=missions).read()
    assert faster.asked is not None
    rows = torch.nonzero(found.success)[:, 0] + 1
    plain = (seen - seen.mean(0)) / seen.std(0).clamp(min=1e-6)
    told = _achieved(faster, plain, faster.asked[found.episode], rows)
    assert told is not None and told[0].tolist() == [True, True, False, False, False, False]
    away = seen[rows, :2] - torch.tensor(found.missions)[found.episode][rows]
    assert torch.allclose(told[3] * seen[:, :2].std(0), away.square().mean(0).sqrt(), rtol=0.02)


@pytest.mark.training
def test_what_play_reached_is_a_mission(reached: Path, tmp_path: Path) -> None:
    agent = hplan.learn(Point, tmp_path / "run", play_from=reached, seed=SEED, settings=BRIEF, levels=1)
    assert agent.stack.reading is not None and agent.stack.levels[0].parts["success"]["kind"] == "target"
    agent, env = hplan.load(tmp_path / "run"), Point()
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        agent.reset(seed=seed)
        assert arrives(agent, env, observation, env.goal), "the first observation says where"
        observation, _ = env.reset(seed=seed)
        there = -env.goal  # not where the environment wants it
        agent.reset(goal={"observation": np.append(there, 1), "achieved_goal": there, "desired_goal": there}, seed=seed)
        assert arrives(agent, env, observation, there), "to have achieved what that observation has"
    assert hplan.evaluate(agent, Point, episodes=10, seed=SEED).success_rate == 1


def arrives(agent: hplan.Agent, env: gymnasium.Env, observation: object, there: np.ndarray) -> bool:
    for _ in range(30):
        observation = env.step(agent.act(observation))[0]
        if np.linalg.norm(env.unwrapped.place - there) < 0.3:
            return True
    return False


@pytest.mark.training
@pytest.mark.parametrize("goal", ["auto", "observation"])
def test_an_agent_goes_on_to_the_next_goal(goal: str, tmp_path: Path) -> None:
    agent = hplan.learn(Rounds, tmp_path / "run", steps=4000, seed=SEED, settings=BRIEF, levels=1, goal=goal)
    assert (agent.stack.reading is not None) == (goal == "auto")

    def reached(**said: Any) -> int:
        observation, _ = env.reset(seed=7)
        asked = {"goal": agent.stack.codec.goal(observation)} if said.get("goal") == "first" else said
        agent.reset(seed=0, **asked)
        found, spent = 0, 0
        for _ in range(Rounds.max_steps):
            observation, _, _, _, info = env.step(agent.act(observation))
            found += info["is_success"]
            assert agent.evaluations >= spent, "one bill for all of them"
            spent = agent.evaluations
        return found

    env = Rounds()
    assert reached() >= 7
    assert reached(goal="first") >= 7, "said, and what the first observation asks for"
    there = np.full(2, 0.9, np.float32)
    corner = {"observation": np.append(there, 1).astype(np.float32), "achieved_goal": there, "desired_goal": there}
    assert reached(goal=corner) < 5, "what is said stays"
    assert np.linalg.norm(env.place - there) < 0.3
    # the same through Stable-Baselines3's protocol
    observation, _ = env.reset(seed=7)
    agent.reset(seed=0)
    state, found = None, 0
    for _ in range(Rounds.max_steps):
        action, state = agent.predict(observation, state)
        observation, _, _, _, info = env.step(action)
        found += info["is_success"]
    assert found >= 7


class Never(Point):
    """Nothing counts."""

    def step(self, action: np.ndarray) -> tuple:
        observation, _, terminated, truncated, _ = super().step(action)
        return observation, 0.0, terminated, truncated, {"is_success": False}


@pytest.mark.training
@pytest.mark.parametrize(("world", "goal"), [(Never, "auto"), (Point, "observation")])
def test_else_goals_are_observations(world: type[Point], goal: str, tmp_path: Path) -> None:
    """Where play reached none, or where that is asked for."""
    agent = hplan.learn(world, tmp_path / "run", steps=1500, seed=SEED, settings=BRIEF, levels=1, goal=goal)
    assert agent.stack.reading is None and agent.stack.levels[0].success is None
    env = world()
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        agent.reset(seed=seed)
        assert arrives(agent, env, observation, env.goal)


@pytest.mark.training
def test_reward_may_be_aimed_for_and_is_a_matter_of_the_goal(tmp_path: Path) -> None:
    settings = {"base_steps": 1000, "critic_steps": 1000}
    agent = hplan.learn(Point, tmp_path / "run", steps=4000, seed=SEED, settings=settings, levels=1, goal="reward")
    assert agent.stack.paid and agent.stack.reading is not None
    env, found = Point(), 0
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        agent.reset(seed=seed)
        found += arrives(agent, env, observation, env.goal)
    assert found >= 4
