"""Rooms with doors and a dot to be moved, as images from above: Two-Room and FourRoom, drawn here at 64 x 64 pixels.

TwoRoom follows stable-worldmodel (Maes et al., 2026), whose own measures are for 64 pixels, drawn at 224: two rooms,
one door, an episode's goal is where its noisy expert is 25 or 100 steps later. FourRoom follows H-JEPA (2026), divided
by 3.5: four rooms, four doors, one of which is closed in every other episode, and a second dot that nobody moves, which
goes straight and leaps now and then, in goals too. A goal is two doors away, where the expert came in 75 steps.

What differs: the sizes; a dot that meets a wall slides along it; an expert that arrives gets a new target, so that play
never ends; a door's half width is that of the way for the dot's middle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hplan.types import HplanError

PIXELS, MIDDLE = 64, 32.0
BORDER = 4.0  # pixels that the walls around are thick
REACHED = 16 / 3.5  # pixels between dot and goal that count as there
NEAR_DOOR, BEYOND = 3.0, 6.0  # pixels from a door's middle at which the expert goes on, and how far behind it aims
TRIES = 1000  # of the expert, to get somewhere as far away as asked
LEAP = 1 - np.exp(-1 / 35)  # chance, at each step, that the other dot leaps
SMOOTH, DRIVE = 0.9, 0.4  # of the explorer's action the last one makes so much, and so much is new
FLOOR, WALL, RED, BLUE = (255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 0, 255)

Door = tuple[int, float]  # the axis that one goes along through it, and where it is on the other one


@dataclass(frozen=True)
class Plan:
    """A kind of rooms. In pixels: half a wall's thickness, half a door's width, the deviation of the dot's colour, and
    how far an action of one moves it. ahead: steps of the expert from start to goal, steps: of an episode, both
    unless asked otherwise. noise: of the expert's actions; crossings: doors between start and goal, None for any
    number; closes: the chance that one door is closed; explores: the share of play that is an explorer's."""

    doors: tuple[Door, ...]
    thick: float
    wide: float
    dot: float
    speed: float
    ahead: int
    steps: int
    noise: float
    repeat: float = 0.05
    crossings: int | None = None
    closes: float = 0.0
    explores: float = 0.0
    other_dot: bool = False


PLANS = {
    "two": Plan(((0, 14.0),), thick=1.5, wide=4.0, dot=2.0, speed=2.0, ahead=25, steps=50, noise=2.0),
    "four": Plan(
        ((0, 16.0), (0, 48.0), (1, 16.0), (1, 48.0)),
        thick=5 / 3.5,
        wide=16 / 3.5,
        dot=1.0,
        speed=2.5 / 3.5,
        ahead=75,
        steps=210,
        noise=1.0,
        crossings=2,
        closes=0.5,
        explores=0.5,
        other_dot=True,
    ),
}


class Rooms(gymnasium.Env):
    """Shows (64, 64, 3) uint8 and takes (2,) in [-1, 1]: how far the dot goes right and down. `info["goal"]` is an
    image too.

    `evaluation`: an episode's goal is where the expert is `ahead` steps later, and it ends there or after `max_steps`.
    Otherwise: no end.
    """

    def __init__(
        self,
        *,
        kind: str = "two",
        ahead: int | None = None,
        max_steps: int | None = None,
    ) -> None:
        self.plan = plan = PLANS[kind]
        self.ahead, self.max_steps = ahead or plan.ahead, max_steps or plan.steps
        self.evaluation = True
        self.observation_space = spaces.Box(0, 255, (PIXELS, PIXELS, 3), np.uint8)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.position, self.goal_position, self._other, self._way = (np.zeros(2) for _ in range(4))
        self.closed: Door | None = None
        self._steps = 0
        self._draw_rooms()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        rng, self._steps = self.np_random, 0
        self.closed = None
        if rng.random() < self.plan.closes:
            self.closed = self.plan.doors[int(rng.integers(len(self.plan.doors)))]
        self._draw_rooms()
        self._start_and_goal(rng)
        self._leap()
        goal = self.picture(self.goal_position)
        self._leap()
        return self.picture(self.position), {"goal": goal}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        self.position = self.moved(self.position, np.asarray(action, float))
        if self.plan.other_dot:
            self._other = self._other + self._way
            if self.np_random.random() < LEAP or (np.abs(self._other - MIDDLE) > MIDDLE - BORDER).any():
                self._leap()
        success = bool(np.hypot(*(self.position - self.goal_position)) <= REACHED)
        over = self.evaluation and self._steps >= self.max_steps
        return self.picture(self.position), float(success), success and self.evaluation, over, {"success": success}

    def picture(self, place: np.ndarray) -> np.ndarray:
        """(64, 64, 3) uint8: the rooms with the dot at (x, y)."""
        frame = self._rooms.copy()
        if self.plan.other_dot:
            _dot(frame, self._other, self.plan.dot, BLUE)
        _dot(frame, place, self.plan.dot, RED)
        return frame

    def moved(self, place: np.ndarray, action: np.ndarray) -> np.ndarray:
        """Where an action leads from (x, y): as far as there is no wall, sideways or up and down alone if need be."""
        x, y = place + self.plan.speed * np.clip(action, -1.0, 1.0)
        for there in ((x, y), (x, place[1]), (place[0], y)):
            if self.is_free(*there):
                return np.array(there)
        return place

    def is_free(self, x: float, y: float) -> bool:
        """Whether the dot can be there."""
        plan, edge = self.plan, BORDER + self.plan.dot
        if not (edge <= x <= PIXELS - edge and edge <= y <= PIXELS - edge):
            return False
        for axis in {axis for axis, _ in plan.doors}:
            across, along = (x, y) if axis == 0 else (y, x)
            through = any(
                abs(along - at) <= plan.wide for way, at in plan.doors if way == axis and (way, at) != self.closed
            )
            if abs(across - MIDDLE) < plan.thick + plan.dot and not through:
                return False
        return True

    def room(self, place: np.ndarray) -> tuple[bool, ...]:
        """Which one a place is in: on the far side of each wall or not."""
        return tuple(bool(place[axis] > MIDDLE) for axis in sorted({axis for axis, _ in self.plan.doors}))

    def any_place(self, rng: np.random.Generator) -> np.ndarray:
        """(2,): free, and in no doorway."""
        while True:
            place = rng.uniform(BORDER, PIXELS - BORDER, 2)
            inside = all(abs(place[axis] - MIDDLE) > self.plan.thick + self.plan.dot for axis, _ in self.plan.doors)
            if inside and self.is_free(*place):
                return place

    def _start_and_goal(self, rng: np.random.Generator) -> None:
        """Where an expert starts, and where it is `ahead` steps later, as many doors away as the plan says."""
        wanted = self.plan.crossings
        for _ in range(TRIES):
            self.position = place = self.any_place(rng)
            expert = Expert(self, rng)
            while wanted is not None and self._doors(expert.target, place) != wanted:
                expert.target = self.any_place(rng)
            for _ in range(self.ahead):
                place = self.moved(place, expert.act(place))
            if wanted is None or self._doors(place, self.position) == wanted:
                self.goal_position = place
                return
        raise HplanError(f"no place {wanted} doors away is {self.ahead} steps ahead: choose a larger `ahead`")

    def _doors(self, place: np.ndarray, other: np.ndarray) -> int:
        """How many there are between two places at the least."""
        return sum(one != two for one, two in zip(self.room(place), self.room(other), strict=True))

    def _leap(self) -> None:
        angle = self.np_random.uniform(0, 2 * np.pi)
        self._other = self.np_random.uniform(BORDER, PIXELS - BORDER, 2)
        self._way = self.plan.speed * np.array([np.cos(angle), np.sin(angle)])

    def _draw_rooms(self) -> None:
        """Each pixel the mean of 4 x 4 points."""
        points = (np.arange(4 * PIXELS) + 0.5) / 4
        x, y = np.meshgrid(points, points)
        wall = (np.abs(x - MIDDLE) > MIDDLE - BORDER) | (np.abs(y - MIDDLE) > MIDDLE - BORDER)
        for axis in {axis for axis, _ in self.plan.doors}:
            across, along = (x, y) if axis == 0 else (y, x)
            doors = [at for way, at in self.plan.doors if way == axis and (way, at) != self.closed]
            open_ = np.any([np.abs(along - at) <= self.plan.wide for at in doors], axis=0)
            wall |= (np.abs(across - MIDDLE) <= self.plan.thick) & ~open_
        share = wall.reshape(PIXELS, 4, PIXELS, 4).mean((1, 3))[..., None]
        self._rooms = np.round(np.array(FLOOR) + share * (np.array(WALL) - np.array(FLOOR))).astype(np.uint8)


class Expert:
    """Goes to a target through doors that are open, with noise, and then to another one; it knows the rooms."""

    def __init__(self, rooms: Rooms, rng: np.random.Generator) -> None:
        self.rooms, self.rng = rooms, rng
        self.target = rooms.any_place(rng)
        self._last = np.zeros(2)

    def act(self, place: np.ndarray) -> np.ndarray:
        """(2,) in [-1, 1]."""
        plan, rng = self.rooms.plan, self.rng
        if np.hypot(*(place - self.target)) <= REACHED:
            self.target = self.rooms.any_place(rng)
        if rng.random() >= plan.repeat:
            away = self.waypoint(place) - place
            self._last = np.clip(away / (np.hypot(*away) + 1e-6) + rng.normal(0.0, plan.noise, 2), -1.0, 1.0)
        return self._last

    def waypoint(self, place: np.ndarray) -> np.ndarray:
        """(2,): the target, where it is in the same room; else the next door, or what is behind it."""
        here, there = self.rooms.room(place), self.rooms.room(self.target)
        if here == there:
            return self.target
        door = min(
            (door for door in self.rooms.plan.doors if door != self.rooms.closed and self._beside(door, here)),
            key=lambda door: (
                self._doors_after(door, here, there) * 4 * PIXELS + float(np.hypot(*(_middle(door) - place)))
            ),
        )
        middle = _middle(door)
        if np.hypot(*(middle - place)) > NEAR_DOOR:
            return middle
        behind = middle.copy()
        behind[door[0]] += -BEYOND if here[self._wall(door)] else BEYOND
        return behind

    def _wall(self, door: Door) -> int:
        """Which number of a room says on which side of the door's wall it is."""
        return sorted({axis for axis, _ in self.rooms.plan.doors}).index(door[0])

    def _beside(self, door: Door, room: tuple[bool, ...]) -> bool:
        return all(side == (door[1] > MIDDLE) for k, side in enumerate(room) if k != self._wall(door))

    def _doors_after(self, door: Door, here: tuple[bool, ...], there: tuple[bool, ...], most: int = 4) -> int:
        """How many more there are on the way, once through this one."""
        room = tuple(side != (k == self._wall(door)) for k, side in enumerate(here))
        if room == there or not most:
            return 0 if room == there else 2 * PIXELS
        others = [
            other
            for other in self.rooms.plan.doors
            if other not in (door, self.rooms.closed) and self._beside(other, room)
        ]
        return 1 + min((self._doors_after(other, room, there, most - 1) for other in others), default=2 * PIXELS)


class RoomsPlay:
    """Play of rooms, `hplan.play.record.Driver`: an expert, or an explorer whose actions change slowly."""

    def __init__(self, env: gymnasium.Env, rng: np.random.Generator) -> None:
        self._env, self._rng = env, rng
        self._rooms: Any = env.unwrapped
        self._expert: Expert | None = None
        self._action = np.zeros(2)

    def start(self) -> tuple[np.ndarray, None, int]:
        seed = int(self._rng.integers(2**31))
        observation, _ = self._env.reset(seed=seed)
        explores = self._rng.random() < self._rooms.plan.explores
        self._expert, self._action = None if explores else Expert(self._rooms, self._rng), np.zeros(2)
        return observation, None, seed

    def act(self, observation: np.ndarray, step: int) -> np.ndarray:
        if self._expert is not None:
            return self._expert.act(self._rooms.position).astype(np.float32)
        self._action = np.clip(SMOOTH * self._action + DRIVE * self._rng.normal(size=2), -1.0, 1.0)
        return self._action.astype(np.float32)


def _middle(door: Door) -> np.ndarray:
    return np.array([MIDDLE, door[1]] if door[0] == 0 else [door[1], MIDDLE])


def _dot(frame: np.ndarray, centre: np.ndarray, deviation: float, colour: tuple[int, int, int]) -> None:
    """Blend in a dot whose colour fades as a Gaussian of that deviation; centre (x, y), pixels."""
    low = np.clip(np.floor(centre - 3 * deviation), 0, PIXELS).astype(int)
    high = np.clip(np.ceil(centre + 3 * deviation + 1), 0, PIXELS).astype(int)
    x, y = (np.arange(low[axis], high[axis]) + 0.5 - centre[axis] for axis in range(2))
    share = np.exp(-(x[None] ** 2 + y[:, None] ** 2) / (2 * deviation**2))[..., None]
    part = frame[low[1] : high[1], low[0] : high[0]]
    part[:] = np.round(part + share * (np.array(colour) - part))


for _kind, _name in (("two", "TwoRoom"), ("four", "FourRoom")):
    gymnasium.register(f"hplan/{_name}-v0", entry_point="hplan.worlds.rooms:Rooms", kwargs={"kind": _kind})
