"""Small worlds in which every episode asks for something else, said in different ways, for tests and measurements."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

Seen = tuple[Any, dict[str, Any]]


class Corners(gym.Env):
    """A point in a square; the mission is a number: go to that corner. `info["mission"]` says it."""

    CORNERS = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)], np.float32)
    observation_space: gym.Space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(4)
    NEAR, STEP, STEPS = 0.35, 0.2, 60

    def reset(self, *, seed: int | None = None, options: Any = None) -> Seen:
        super().reset(seed=seed)
        self.here = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        self.asked, self.steps = self.ask(), 0
        return self.seen(), {"mission": self.said()}

    def ask(self) -> np.ndarray:
        """Where success is."""
        self.number = int(self.np_random.integers(4))
        return self.CORNERS[self.number]

    def said(self) -> Any:
        return self.number

    def seen(self) -> Any:
        return self.here.copy()

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        way = np.array(((1, 0), (-1, 0), (0, 1), (0, -1))[action], np.float32)
        noise = self.np_random.uniform(-0.05, 0.05, 2)
        self.here = np.clip(self.here + self.STEP * way + noise, -1, 1).astype(np.float32)
        success = bool(np.linalg.norm(self.here - self.asked) < self.NEAR)
        self.steps += 1
        return self.seen(), float(success), success, self.steps >= self.STEPS, {"success": success}


class CornersInWords(Corners):
    """The same in words, in a part of the observation."""

    observation_space = gym.spaces.Dict({"where": Corners.observation_space, "mission": gym.spaces.Text(40)})

    def said(self) -> str:
        vertical, horizontal = divmod(self.number, 2)
        return f"go to the {('left', 'right')[vertical]} {('lower', 'upper')[horizontal]} corner"

    def seen(self) -> Any:
        return {"where": self.here.copy(), "mission": self.said()}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Seen:
        return super().reset(seed=seed)[0], {}


class Directions(Corners):
    """The mission is a vector: the direction of a place from the middle, as cosine and sine, and how far it is."""

    def ask(self) -> np.ndarray:
        angle, self.far = self.np_random.uniform(-np.pi, np.pi), self.np_random.uniform(0.3, 1)
        self.direction = np.array([np.cos(angle), np.sin(angle)])
        return (self.far * self.direction).astype(np.float32)

    def said(self) -> Any:
        return np.array([*self.direction, self.far], np.float32)


class Spots(Corners):
    """The mission is a place, by its numbers in other units; it is small, and play seldom comes by."""

    NEAR = 0.15

    def ask(self) -> np.ndarray:
        return self.np_random.uniform(-0.9, 0.9, 2).astype(np.float32)

    def said(self) -> Any:
        return np.array([10 * self.asked[1] + 3, -2 * self.asked[0]], np.float32)


class SpotsSeen(Spots):
    """The same as the last two numbers of what is seen, and nobody says that they are that."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (4,), np.float32)

    def seen(self) -> Any:
        return np.concatenate([self.here, self.said()])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Seen:
        return super().reset(seed=seed)[0], {}


class Windy(SpotsSeen):
    """A wind, another one in each episode, is seen, too."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (6,), np.float32)
    WIND = 0.1

    def reset(self, *, seed: int | None = None, options: Any = None) -> Seen:
        self.wind = np.zeros(2, np.float32)
        super().reset(seed=seed)
        self.wind = self.np_random.uniform(-self.WIND, self.WIND, 2).astype(np.float32)
        return self.seen(), {}

    def seen(self) -> Any:
        return np.concatenate([super().seen(), self.wind])

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.here = np.clip(self.here + self.wind, -1, 1)
        return super().step(action)


class PaidCorners(Corners):
    """Each step costs something until the corner is reached: nothing is called success, and reward is aimed for."""

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, _, there, cut, _ = super().step(action)
        return seen, -1.0, there, cut, {}


class Cells(gym.Env):
    """A square of 5 x 5 cells, said by number; the mission is a number, or where the cell is as a vector."""

    observation_space = gym.spaces.Discrete(25)
    action_space = gym.spaces.Discrete(4)
    CELLS = (0, 4, 12, 22)

    def __init__(self, vector: bool = False) -> None:
        self.vector = vector

    def reset(self, *, seed: int | None = None, options: Any = None) -> Seen:
        super().reset(seed=seed)
        self.here, self.number = int(self.np_random.integers(25)), int(self.np_random.integers(4))
        place = np.array(divmod(self.CELLS[self.number], 5), np.float32) / 4
        self.steps = 0
        return self.here, {"mission": place if self.vector else self.number}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        row, column = divmod(self.here, 5)
        down, right = ((1, 0), (-1, 0), (0, 1), (0, -1))[action]
        self.here = 5 * min(max(row + down, 0), 4) + min(max(column + right, 0), 4)
        success, self.steps = self.here == self.CELLS[self.number], self.steps + 1
        return self.here, float(success), success, self.steps >= 12, {"success": success}


class Things(gym.Env):
    """A grid with one thing of each of three kinds, and you; the mission is the kind to reach, a number, or its colour,
    a vector, in a part of the observation. The wrong one ends the episode, in failure."""

    COLOURS = np.array([(0.9, 0.1, 0.2), (0.1, 0.8, 0.3), (0.2, 0.2, 0.9)], np.float32)
    action_space = gym.spaces.Discrete(4)

    def __init__(self, vector: bool = False) -> None:
        self.vector = vector
        grid = gym.spaces.Box(np.uint8(0), np.broadcast_to(np.array([3, 1], np.uint8), (5, 5, 2)), dtype=np.uint8)
        asked = gym.spaces.Box(0, 1, (3,), np.float32) if vector else gym.spaces.Discrete(3)
        self.observation_space = gym.spaces.Dict({"grid": grid, "mission": asked})

    def reset(self, *, seed: int | None = None, options: Any = None) -> Seen:
        super().reset(seed=seed)
        self.things = np.zeros((5, 5), np.uint8)
        for kind, column in enumerate(self.np_random.permutation(3) * 2, 1):  # there is always a way between them
            self.things[self.np_random.integers(2), column] = kind
        self.here = (int(self.np_random.integers(2, 5)), int(self.np_random.integers(5)))
        self.number, self.steps = int(self.np_random.integers(3)), 0
        return self.seen(), {}

    def seen(self) -> Any:
        you = np.zeros_like(self.things)
        you[self.here] = 1
        said = self.COLOURS[self.number] if self.vector else self.number
        return {"grid": np.stack([self.things, you], -1), "mission": said}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        down, right = ((1, 0), (-1, 0), (0, 1), (0, -1))[action]
        row, column = self.here[0] + down, self.here[1] + right
        self.here = (min(max(row, 0), 4), min(max(column, 0), 4))
        found, self.steps = int(self.things[self.here]), self.steps + 1
        success = found == self.number + 1
        return self.seen(), float(success), found > 0, self.steps >= 40, {"success": success}


class Pictured(Corners):
    """The mission is a picture of the square with the corner bright."""

    def said(self) -> Any:
        image = np.zeros((16, 16, 3), np.uint8)
        vertical, horizontal = divmod(self.number, 2)
        image[12 * vertical :, 12 * horizontal :][:4, :4] = 255
        return image


class PaidThings(Things):
    """The same, where the right thing pays and the wrong one costs: nothing is called success."""

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        seen, _, ended, cut, info = super().step(action)
        return seen, 2.0 * info["success"] - 1.0 if ended else 0.0, ended, cut, {}


class Places(gym.Env):
    """A grid with walls here and there, and you. Success is at a place that looks like any other; which of them counts
    is asked for by number, or by row and column. With a `door`, a wall from top to bottom has one; there is a key."""

    action_space = gym.spaces.Discrete(4)
    FLOOR, WALL, KEY, DOOR = range(4)
    WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1))

    def __init__(self, places: tuple[tuple[int, int], ...], door: bool = False, vector: bool = False) -> None:
        self.places, self.door, self.vector = places, door, vector
        self.shape = (5, 7)
        most = np.broadcast_to(np.array([self.DOOR, 1 + door], np.uint8), (*self.shape, 2))
        self.observation_space = gym.spaces.Box(np.uint8(0), most, dtype=np.uint8)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Seen:
        super().reset(seed=seed)
        random, (rows, columns) = self.np_random, self.shape
        self.ground, self.key, self.steps = np.zeros(self.shape, np.uint8), False, 0
        if self.door:
            self.ground[:, 3] = self.WALL
            self.ground[random.integers(rows), 3] = self.DOOR
            self.ground[random.integers(rows), random.integers(1, 3)] = self.KEY
        else:
            self.ground[random.integers(1, rows - 1, 4), random.integers(1, columns - 1, 4)] = self.WALL
        self.here, self.number = (int(random.integers(rows)), 0), int(random.integers(len(self.places)))
        place = np.array(self.places[self.number], np.float32)
        return self.seen(), {"mission": place if self.vector else self.number} if len(self.places) > 1 else {}

    def seen(self) -> np.ndarray:
        you = np.zeros(self.shape, np.uint8)
        you[self.here] = 1 + self.key
        return np.stack([self.ground, you], -1)

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        cell = tuple(int(np.clip(self.here[i] + self.WAYS[action][i], 0, self.shape[i] - 1)) for i in range(2))
        there = self.ground[cell]
        if there == self.KEY or (there == self.DOOR and self.key):
            self.ground[cell], self.key = self.FLOOR, there == self.KEY
        if self.ground[cell] == self.FLOOR:
            self.here = cell
        success, self.steps = self.here == self.places[self.number], self.steps + 1
        return self.seen(), float(success), success, self.steps >= 60, {"success": success}
