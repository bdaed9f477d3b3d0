"""Worlds in which episodes ask for different things are learned, whatever says it; a wrong mission is the control."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from asking_worlds import (
    Cells,
    Corners,
    CornersInWords,
    Directions,
    PaidCorners,
    PaidThings,
    Pictured,
    Places,
    Spots,
    SpotsSeen,
    Things,
)

import hplan
from hplan.agent import Agent
from hplan.codec import Codec
from hplan.levels.heads import success, uncertainty
from hplan.testing import check_task
from hplan.training import vectors
from hplan.training.learn import learn
from hplan.types import UsageError
from hplan.worlds.gym import GymView

EPISODES, SEED = 30, 50
VECTORS = {"base_steps": 400, "critic_steps": 900}


class Lies(gym.Wrapper):
    """Another mission is said than the one that counts."""

    def __init__(self, env: gym.Env, other: Callable[[Any], Any]) -> None:
        super().__init__(env)
        self.other = other

    def reset(self, **options: Any) -> Any:
        seen, info = self.env.reset(**options)
        if "mission" in info:
            return seen, {**info, "mission": self.other(info["mission"])}
        return self.lie(seen), info

    def step(self, action: Any) -> Any:
        seen, *rest = self.env.step(action)
        return self.lie(seen), *rest

    def lie(self, seen: Any) -> Any:
        if isinstance(seen, dict):
            return {**seen, "mission": self.other(seen["mission"])}
        return np.concatenate([seen[:2], self.other(seen[2:])]) if np.shape(seen) == (4,) else seen


def other_word(mission: str) -> str:
    return mission.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")


def other_cell(mission: np.ndarray) -> np.ndarray:
    return np.array([0, 1], np.float32) if mission[1] != 1 else np.array([0, 0], np.float32)


def other_colour(mission: np.ndarray) -> np.ndarray:
    colours = Things.COLOURS
    return colours[(np.abs(colours - mission).sum(1).argmin() + 1) % 3]


def shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, steps in ((success, "STEPS"), (uncertainty, "STEPS"), (vectors, "SUPPORT_STEPS")):
        monkeypatch.setattr(module, steps, 300)


WORLDS: list[tuple[Any, int, dict[str, int], Callable[[Any], Any]]] = [
    (Corners, 6000, VECTORS, lambda number: 3 - number),
    (CornersInWords, 6000, VECTORS, other_word),
    (Directions, 8000, VECTORS, lambda vector: vector * np.array([-1, -1, 1], np.float32)),
    (Spots, 5000, VECTORS, lambda place: np.array([6 - place[0], -place[1]], np.float32)),
    (SpotsSeen, 5000, VECTORS, lambda place: np.array([6 - place[0], -place[1]], np.float32)),
    (Pictured, 6000, VECTORS, lambda image: image[::-1, ::-1]),
    (Cells, 3000, {}, lambda number: (number + 1) % 4),
    (partial(Cells, vector=True), 3000, {}, other_cell),
    (Things, 5000, {"base_steps": 300}, lambda number: (number + 1) % 3),
    (partial(Things, vector=True), 5000, {"base_steps": 300}, other_colour),
]
NAMES = ["symbol", "words", "vector", "spot", "spot-seen", "image", "table", "table-vector", "map", "map-vector"]


@pytest.mark.training
@pytest.mark.parametrize(("world", "steps", "settings", "other"), WORLDS, ids=NAMES)
def test_success_is_what_the_mission_says(
    world: Any, steps: int, settings: dict[str, int], other: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch)
    agent = learn(world, tmp_path / "run", steps=steps, seed=SEED, settings=settings, levels=1)
    asked = hplan.evaluate(agent, world, episodes=EPISODES, seed=SEED)
    assert asked.success_rate >= 0.9, asked
    lied = hplan.evaluate(agent, lambda: Lies(world(), other), episodes=EPISODES, seed=SEED)
    assert lied.success_rate <= 0.5, lied


CORNERS = ((0, 0), (0, 6), (4, 6), (2, 6))


@pytest.mark.training
@pytest.mark.parametrize("vector", [False, True], ids=["symbol", "vector"])
def test_a_place_of_a_map_is_what_the_mission_says(
    vector: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch)
    world = partial(Places, CORNERS, vector=vector)
    agent = learn(world, tmp_path / "run", steps=5000, seed=SEED, settings={"base_steps": 300})
    asked = hplan.evaluate(agent, world, episodes=EPISODES, seed=SEED)
    assert asked.success_rate >= 0.9, asked

    def other(said: Any) -> Any:
        if not vector:
            return (said + 2) % 4
        return np.array(CORNERS[(CORNERS.index(tuple(said.astype(int))) + 2) % 4], np.float32)

    lied = hplan.evaluate(agent, lambda: Lies(world(), other), episodes=EPISODES, seed=SEED)
    assert lied.success_rate <= 0.5, lied


@pytest.mark.training
def test_a_place_behind_a_locked_door_is_a_goal_of_every_level(tmp_path: Path) -> None:
    """It looks like any other, and nobody asks for it: success has always been there."""
    world = partial(Places, ((0, 6),), door=True)
    agent = learn(world, tmp_path / "run", steps=10_000, seed=SEED)
    assert [level.parts["success"]["kind"] for level in agent.stack.levels] == ["place", "place"]
    found = hplan.evaluate(agent, world, episodes=EPISODES, seed=SEED)
    assert found.success_rate >= 0.9, found


class Bearing(CornersInWords):
    """What is called goal is seen from where you are, and so changes in an episode."""

    observation_space = gym.spaces.Dict({name: gym.spaces.Box(-2, 2, (2,), np.float32) for name in ("goal", "where")})

    def seen(self) -> Any:
        return {"where": self.here.copy(), "goal": self.asked - self.here}


def test_a_part_that_changes_in_an_episode_is_seen_and_no_mission() -> None:
    assert GymView(Bearing(), "toy").codec.mission == ""
    codec = GymView(CornersInWords(), "toy").codec
    assert codec.mission == "mission" and codec.observation_spec.shape == (2,)
    again = Codec.from_dict(json.loads(json.dumps(codec.to_dict())))
    assert again == codec
    seen, _ = CornersInWords().reset(seed=0)
    assert again.asked(seen) == seen["mission"] and np.array_equal(again.encode(seen), seen["where"])
    with pytest.raises(UsageError, match="expected the keys mission, where"):
        codec.encode({"where": seen["where"]})


@pytest.mark.training
def test_reward_is_what_the_mission_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)
    agent = learn(PaidCorners, tmp_path / "run", steps=6000, seed=SEED, settings=VECTORS, goal="reward")
    asked = hplan.evaluate(agent, PaidCorners, episodes=EPISODES, seed=SEED)
    assert asked.return_mean >= -15, asked
    lied = hplan.evaluate(agent, lambda: Lies(PaidCorners(), lambda number: 3 - number), episodes=EPISODES, seed=SEED)
    assert lied.return_mean <= -40, lied


@pytest.mark.training
@pytest.mark.parametrize("vector", [False, True], ids=["symbol", "vector"])
def test_rewards_of_maps_are_what_the_mission_says(
    vector: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten(monkeypatch)
    world, other = partial(PaidThings, vector=vector), other_colour if vector else lambda number: (number + 1) % 3
    agent = learn(world, tmp_path / "run", steps=5000, seed=SEED, settings={"base_steps": 300}, goal="reward")
    assert len(agent.stack.levels) == 2 and agent.stack.reading is not None
    asked = hplan.evaluate(agent, world, episodes=EPISODES, seed=SEED)
    assert asked.return_mean >= 0.9, asked
    lied = hplan.evaluate(agent, lambda: Lies(world(), other), episodes=EPISODES, seed=SEED)
    assert lied.return_mean <= -0.9, lied


class PaidCells(Cells):
    """Each step costs something: nothing is called success."""

    def step(self, action: int) -> Any:
        seen, _, there, cut, _ = super().step(action)
        return seen, -1.0, there, cut, {}


def test_rewards_of_tables_are_what_the_mission_says(tmp_path: Path) -> None:
    agent = learn(PaidCells, tmp_path / "run", steps=4000, seed=SEED, goal="reward")
    assert hplan.evaluate(agent, PaidCells, episodes=EPISODES, seed=SEED).return_mean > -5
    lied = hplan.evaluate(agent, lambda: Lies(PaidCells(), lambda k: (k + 1) % 4), episodes=EPISODES, seed=SEED)
    assert lied.return_mean < -8


def walked(agent: Agent, env: gym.Env, seen: Any, *, steps: int = 12) -> bool:
    """Whether an episode that has begun succeeds."""
    for _ in range(steps):
        seen, _, ended, cut, info = env.step(agent.act(seen))
        if ended or cut:
            return bool(info["success"])
    return False


def test_a_mission_is_given_by_hand_and_saved_with_the_agent(tmp_path: Path) -> None:
    learn(Cells, tmp_path / "run", steps=3000, seed=SEED)
    agent, env = hplan.load(tmp_path / "run"), Cells()
    for seed in range(4):
        seen, info = env.reset(seed=seed)
        agent.reset(mission=info["mission"])
        assert walked(agent, env, seen) and agent.tree.root.label == str(info["mission"])
    agent.reset()
    with pytest.raises(UsageError, match=r"counted on what an episode asks for: say it, agent.reset\(mission="):
        agent.act(seen)
    with pytest.raises(UsageError, match="mission '9': play of Cells never met '9'; known words are 0, 1, 2, 3"):
        agent.reset(mission=9)
    with pytest.raises(UsageError, match="play of Cells asked in words, such as '0'"):
        agent.reset(mission=[0.5, 0.5])


def test_the_first_observation_says_the_mission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_task(Things)
    monkeypatch.setattr(success, "STEPS", 20)
    learn(Things, tmp_path / "run", steps=1000, seed=SEED, settings={"base_steps": 20}, levels=1)
    agent, env = hplan.load(tmp_path / "run"), Things()
    assert agent.stack.codec.mission == "mission" and agent.stack.observation_spec.shape == (5, 5, 2)
    wrapped = agent.wrap(env)
    for seed in range(3):
        seen, info = wrapped.reset(seed=seed)
        assert info["mission"] == env.number
        agent.reset()
        agent.act(seen)
        assert agent.tree.root.label == str(env.number)
        assert agent.plan({**seen, "mission": (env.number + 1) % 3}).root.label == str((env.number + 1) % 3)
    actions, state = agent.predict({key: np.stack([value] * 2) for key, value in seen.items()})
    assert len(actions) == len(state) == 2
