"""One small world in every kind of space: a walk from random places to the middle of a line, as users write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

LENGTH, MIDDLE, LIMIT = 7, 3, 20


@dataclass
class Line(gymnasium.Env):
    """Places 0 to 6; `left` and `right` are two actions of the space, and reaching the middle pays 1 and ends."""

    observation_space: spaces.Space = field(default_factory=lambda: spaces.Discrete(LENGTH))
    show: Callable[[int], Any] = lambda at: at
    action_space: spaces.Space = field(default_factory=lambda: spaces.Discrete(2))
    right: Callable[[Any], bool] = lambda action: action == 1
    max_steps: int = LIMIT

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.steps = int(self.np_random.choice([0, 1, 2, 4, 5, 6])), 0
        return self.show(self.at), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.steps += 1
        self.at = min(max(self.at + (1 if self.right(action) else -1), 0), LENGTH - 1)
        there = self.at == MIDDLE
        return self.show(self.at), float(there), there, self.steps >= self.max_steps, {}


class Point(gymnasium.Env):
    """A GoalEnv: a point in a square that moves by a quarter of the action; within 0.3 of the goal it is there."""

    max_steps = 60
    box = staticmethod(lambda n: spaces.Box(-2.0, 2.0, (n,), np.float32))
    observation_space = spaces.Dict(observation=box(3), achieved_goal=box(2), desired_goal=box(2))
    action_space = spaces.Box(-1.0, 1.0, (2, 1), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.goal = self.np_random.uniform(-1, 1, (2, 2)).astype(np.float32)
        self.steps = 0
        return self.seen(), {}

    def seen(self) -> dict[str, np.ndarray]:
        whole = np.array([*self.place, 1.0], np.float32)
        return {"observation": whole, "achieved_goal": self.place.copy(), "desired_goal": self.goal.copy()}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.steps += 1
        self.place = np.clip(self.place + 0.25 * action[:, 0], -1, 1).astype(np.float32)
        there = bool(np.linalg.norm(self.place - self.goal) < 0.3)
        return self.seen(), float(there), False, self.steps >= self.max_steps, {"is_success": there}


class Rounds(Point):
    """The same, where a goal that is reached is followed by another one, seen at once or one observation later."""

    def __init__(self, *, at_once: bool = True) -> None:
        self.at_once = at_once

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, reward, ended, cut, info = super().step(action)
        if info["is_success"]:
            self.goal = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.seen() if self.at_once else seen, reward, ended, cut, info


class Sheet(Point):
    """The same walk to the middle, shown and moved by arrays of shape (2, 3)."""

    observation_space = spaces.Box(-2.0, 2.0, (2, 3), np.float64)
    action_space = spaces.Box(-0.5, 1.5, (2, 3), np.float64)

    def seen(self) -> Any:
        return np.array([[*self.place, 0.0], [0.0, 1.0, 0.0]])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.steps += 1
        self.place = np.clip(self.place + 0.25 * (action[:, 0] - 0.5), -1, 1).astype(np.float32)
        there = bool(np.linalg.norm(self.place) < 0.3)
        return self.seen(), float(there), there, self.steps >= self.max_steps, {}


class Canvas(Sheet):
    """The same walk to the middle, shown as an image and moved by two numbers."""

    observation_space = spaces.Box(0, 255, (24, 24), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    move: Callable[[Any], Any] = staticmethod(lambda action: action)

    def seen(self) -> Any:
        x, y = np.arange(24) - 11.5 - 10 * self.place[:, None]
        return (255 * np.exp(-(x[None] ** 2 + y[:, None] ** 2) / 8)).astype(np.uint8)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), f"{action!r} is not in {self.action_space}"
        self.steps += 1
        self.place = np.clip(self.place + 0.25 * self.move(action), -1, 1).astype(np.float32)
        there = bool(np.linalg.norm(self.place) < 0.3)
        return self.seen(), float(there), there, self.steps >= self.max_steps, {}


class Tiles(Canvas):
    """The same with colours from 0 to 1, channels first, and four moves."""

    observation_space = spaces.Box(0.0, 1.0, (3, 24, 24), np.float32)
    action_space = spaces.Discrete(4)
    move = staticmethod(lambda action: np.array([(1, 0), (-1, 0), (0, 1), (0, -1)][action]))

    def seen(self) -> Any:
        return np.stack([super().seen(), np.full((24, 24), 60), np.zeros((24, 24))]).astype(np.float32) / 255


class Gauge(Canvas):
    """The same, of which the image shows how far to the right, and a number beside it how far up."""

    observation_space = spaces.Dict(
        gauge=spaces.Box(-1.0, 1.0, (1,), np.float32), on=spaces.Discrete(2), view=Canvas.observation_space
    )

    def seen(self) -> Any:
        place, self.place = self.place, np.array([self.place[0], 0.0], np.float32)
        view, self.place = super().seen(), place
        return {"gauge": place[1:].copy(), "on": 1, "view": view}


def _bits(at: int) -> np.ndarray:
    return (np.arange(LENGTH) == at).astype(np.int8)


def _parts(at: int) -> tuple[int, int]:
    return at % 2 + 5, at // 2


class Far(Sheet):
    """The same walk in numbers of which float32 would hold no step."""

    observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float64)

    def seen(self) -> Any:
        x, y = self.place.tolist()  # a float32 added to a number makes float32 of both
        return np.array([1.7e9 + 1e-3 * x, 1e-6 * y, 1e7, 0.0])


KINDS: dict[str, Callable[[], gymnasium.Env]] = {
    "Discrete(start)": lambda: Line(
        spaces.Discrete(7, start=3), lambda at: at + 3, spaces.Discrete(2, start=5), lambda action: action == 6
    ),
    "MultiDiscrete": lambda: Line(
        spaces.MultiDiscrete([2, 4], start=[5, 0]),
        lambda at: np.array(_parts(at)),
        spaces.MultiDiscrete([2, 3]),
        lambda action: action[0] == 1,
    ),
    "MultiBinary": lambda: Line(
        spaces.MultiBinary(LENGTH), _bits, spaces.MultiBinary(2), lambda action: action[0] == action[1]
    ),
    "integer Box with an offset": lambda: Line(spaces.Box(-3, 3, (1,), np.int64), lambda at: np.array([at - 3])),
    "Dict": lambda: Line(
        spaces.Dict(at=spaces.Discrete(7), on=spaces.MultiBinary(1)), lambda at: {"at": at, "on": np.ones(1, np.int8)}
    ),
    "Tuple": lambda: Line(spaces.Tuple([spaces.Discrete(2, start=5), spaces.Discrete(4)]), _parts),
    "float Box (2, 3)": Sheet,
    "large numbers beside small ones": Far,
    "GoalEnv": Point,
    "greyscale image": Canvas,
    "image of floats, channels first": Tiles,
    "image and numbers beside it": Gauge,
}

ACTED: dict[str, Callable[[], gymnasium.Env]] = {
    "Discrete, moved by a number without bounds": lambda: Line(
        action_space=spaces.Box(-np.inf, np.inf, (1,)), right=lambda action: action[0] > 0
    ),
    "Discrete, moved by whole numbers": lambda: Line(
        action_space=spaces.Box(0, 1000, (1,), np.int32), right=lambda action: action[0] > 500
    ),
    "Dict of a symbol and a number, moved by a Dict of Boxes": lambda: Line(
        spaces.Dict(at=spaces.Discrete(7), half=spaces.Box(0.0, 3.0, (1,))),
        lambda at: {"at": at, "half": np.array([at / 2], np.float32)},
        spaces.Dict(push=spaces.Box(-1.0, 1.0, (1,)), rest=spaces.Tuple([spaces.Box(0.0, np.inf, (1,), np.float64)])),
        lambda action: action["push"][0] > 0,
    ),
    "Discrete, moved by a choice and a number": lambda: Line(
        action_space=spaces.Dict(gear=spaces.Discrete(2, start=4), push=spaces.Box(-1e6, 1e6, (1,))),
        right=lambda action: (action["push"][0] > 0) == (action["gear"] == 5),
    ),
    "Discrete, moved by more choices than there are actions": lambda: Line(
        action_space=spaces.MultiDiscrete([8, 8, 8]), right=lambda action: action[1] in (2, 3, 5, 7)
    ),
    "Discrete, moved by a Tuple of choices": lambda: Line(
        action_space=spaces.Tuple([spaces.Discrete(2, start=4), spaces.Box(0, 1, (1,), np.int8)]),
        right=lambda action: action[0] == 5,
    ),
}
