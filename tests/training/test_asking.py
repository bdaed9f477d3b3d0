"""Worlds in which every episode asks for something else are learned, whatever says it; a wrong mission is the control."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from asking_worlds import Cells, Corners, CornersBeside, CornersInWords, Directions, Pictured, Things

import hplan
from hplan.levels.heads import success
from hplan.training.learn import learn

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
        return {**seen, "mission": self.other(seen["mission"])} if isinstance(seen, dict) else seen


def other_word(mission: str) -> str:
    return mission.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")


def other_colour(mission: np.ndarray) -> np.ndarray:
    colours = Things.COLOURS
    return colours[(np.abs(colours - mission).sum(1).argmin() + 1) % 3]


WORLDS: list[tuple[Any, int, dict[str, int], Callable[[Any], Any]]] = [
    (Corners, 6000, VECTORS, lambda number: 3 - number),
    (CornersInWords, 6000, VECTORS, other_word),
    (CornersBeside, 6000, VECTORS, lambda number: 3 - number),
    (Directions, 8000, VECTORS, lambda vector: vector * np.array([-1, -1, 1], np.float32)),
    (Pictured, 6000, VECTORS, lambda image: image[::-1, ::-1]),
    (Cells, 3000, {}, lambda number: (number + 1) % 4),
    (partial(Cells, vector=True), 3000, {}, lambda place: np.roll(place, 1) if place.any() else place + 1),
    (Things, 5000, {"base_steps": 300}, lambda number: (number + 1) % 3),
    (partial(Things, vector=True), 5000, {"base_steps": 300}, other_colour),
]
NAMES = ["symbol", "words", "beside", "vector", "image", "table", "table-vector", "map", "map-vector"]


@pytest.mark.training
@pytest.mark.parametrize(("world", "steps", "settings", "other"), WORLDS, ids=NAMES)
def test_success_is_what_the_mission_says(
    world: Any, steps: int, settings: dict[str, int], other: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(success, "STEPS", 300)
    agent = learn(world, tmp_path / "run", steps=steps, seed=SEED, settings=settings, levels=1)
    asked = hplan.evaluate(agent, world, episodes=EPISODES, seed=SEED)
    assert asked.success_rate >= 0.9, asked
    lied = hplan.evaluate(agent, lambda: Lies(world(), other), episodes=EPISODES, seed=SEED)
    assert lied.success_rate <= 0.5, lied
