"""A room with a corner of noise: is curious play drawn to it? `python experiments/curiosity/noisy.py`.

Symbols (11, 11, 3): wall, agent, screen. In the 4 x 4 cells of one corner, every screen shows a new number at every
step. Elsewhere stand eight lamps that the action `use` lights and puts out: something that can be learned. The plane is
the same for vectors: in one corner of a square a third number is new at every step.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hplan.config import Recipe
from hplan.play.record import play
from hplan.registry import task_from_factory

SIZE, CORNER, LAMPS = 11, 4, 8
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # then: use
STEPS = 20_000
NEAR = -0.4  # in the plane, the corner is nearer to -1 than that
RESULTS = Path(__file__).parent / "results"


class NoisyRoom(gymnasium.Env):
    def __init__(self, values: int = 16) -> None:
        """`values`: of a screen."""
        self.values = values
        high = np.broadcast_to(np.array([1, 1, values - 1], np.uint8), (SIZE, SIZE, 3))
        self.observation_space = spaces.Box(np.uint8(0), high, high.shape, np.uint8)
        self.action_space = spaces.Discrete(len(MOVES) + 1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.lamps = np.zeros((SIZE, SIZE), np.uint8)
        inside = [(r, c) for r in range(1, SIZE - 1) for c in range(1, SIZE - 1) if not in_corner(r, c)]
        self.places = [inside[i] for i in self.np_random.choice(len(inside), LAMPS + 1, replace=False)]
        self.at = self.places.pop()
        for place in self.places:
            self.lamps[place] = 1
        return self.show(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if action < len(MOVES):
            place = self.at[0] + MOVES[action][0], self.at[1] + MOVES[action][1]
            if 0 < place[0] < SIZE - 1 and 0 < place[1] < SIZE - 1:
                self.at = place
        elif self.at in self.places:
            self.lamps[self.at] = 3 - self.lamps[self.at]
        return self.show(), 0.0, False, False, {"success": False}

    def show(self) -> np.ndarray:
        seen = np.zeros((SIZE, SIZE, 3), np.uint8)
        seen[[0, -1]] = seen[:, [0, -1]] = (1, 0, 0)
        seen[..., 2] = self.lamps
        corner = seen[1 : 1 + CORNER, 1 : 1 + CORNER, 2]
        corner[:] = self.np_random.integers(self.values, size=corner.shape)
        seen[(*self.at, 1)] = 1
        return seen


class NoisyPlane(gymnasium.Env):
    def __init__(self) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.at = self.np_random.uniform(-1, 1, 2)
        return self.show(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.at = np.clip(self.at + 0.1 * np.asarray(action), -1, 1)
        return self.show(), 0.0, False, False, {"success": False}

    def show(self) -> np.ndarray:
        noise = self.np_random.uniform(-1, 1) if (self.at < NEAR).all() else 0.0
        return np.array([*self.at, noise], np.float32)


def in_corner(row: int, column: int) -> bool:
    return row <= CORNER and column <= CORNER


def in_the_room(values: int, recipe: Recipe, seed: int) -> dict[str, Any]:
    """What play did: the share of steps that it spent in the corner, and how often it used a lamp."""
    task = task_from_factory(partial(NoisyRoom, values), name="noisy-room")
    task = replace(task, play=replace(task.play, recipe=recipe, restart_rare=0.0))
    with TemporaryDirectory() as folder:
        store = play(task, Path(folder) / "play", steps=STEPS, seed=seed)
        seen = [episode.observations.astype(int) for episode in store]
    at = np.concatenate([np.argwhere(each[1:, ..., 1])[:, 1:] for each in seen])
    outside = np.ones((SIZE, SIZE), bool)
    outside[: CORNER + 1, : CORNER + 1] = False
    used = sum(int((np.diff(each[..., 2], axis=0) != 0)[:, outside].sum()) for each in seen)
    share = round(float((at <= CORNER).all(1).mean()), 4)
    return {
        "world": f"room, {values} values",
        "recipe": recipe,
        "seed": seed,
        "steps": STEPS,
        "in_corner": share,
        "lamps": used,
    }


def in_the_plane(recipe: Recipe, seed: int) -> dict[str, Any]:
    """The share of steps in the corner."""
    task = task_from_factory(NoisyPlane, name="noisy-plane")
    with TemporaryDirectory() as folder:
        store = play(
            replace(task, play=replace(task.play, recipe=recipe)), Path(folder) / "play", steps=STEPS, seed=seed
        )
        share = float(np.concatenate([(e.observations[1:, :2] < NEAR).all(1) for e in store]).mean())
    return {"world": "plane", "recipe": recipe, "seed": seed, "steps": STEPS, "in_corner": round(share, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[50, 51, 52])
    recipes: tuple[Recipe, ...] = ("random", "explore", "curious")
    seeds = parser.parse_args().seeds
    RESULTS.mkdir(exist_ok=True)
    rows = [in_the_plane(recipe, seed) for recipe in recipes for seed in seeds]
    rows += [in_the_room(values, recipe, seed) for values in (16, 64) for recipe in recipes for seed in seeds]
    (RESULTS / "noisy.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
