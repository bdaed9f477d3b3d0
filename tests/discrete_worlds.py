"""Small worlds of several discrete variables, with policies that are known to be best, for tests and measurements.

Each is a Gymnasium environment whose observations do not say what is next to what: which variable an action changes,
and on what that depends, is only to be had from play.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Deliveries(gym.Env):
    """A ring of 12 places, a load (nothing, a parcel, a letter) and a door (shut, open).

    Actions: one place on; one place back; take (a parcel at place 3, a letter at place 8); turn the key (at place 6 the
    door opens or shuts); hand over. Between places 9 and 10 is the door, and between 11 and 0 a wall. To hand over a
    parcel at place 11 is success; to hand over a letter anywhere ends the episode, in failure.
    """

    PLACES, DOOR = 12, 10
    observation_space = gym.spaces.Dict(
        {"door": gym.spaces.Discrete(2), "load": gym.spaces.Discrete(3), "place": gym.spaces.Discrete(PLACES)}
    )
    action_space = gym.spaces.Discrete(5)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.load, self.door = int(self.np_random.integers(10)), int(self.np_random.integers(3)), 0
        return self.seen(), {}

    def seen(self) -> dict[str, int]:
        return {"door": self.door, "load": self.load, "place": self.place}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        success = failure = False
        if action in (0, 1):
            there = self.place + (1 if action == 0 else -1)
            passes = {self.place, there} == {self.DOOR - 1, self.DOOR}
            if 0 <= there < self.PLACES and (self.door or not passes):
                self.place = there
        elif action == 2:
            self.load = {3: 1, 8: 2}.get(self.place, self.load)
        elif action == 3 and self.place == 6:
            self.door = 1 - self.door
        elif action == 4:
            success, failure = self.load == 1 and self.place == 11, self.load == 2
        return self.seen(), float(success), success or failure, False, {"success": success}

    def shortest(self) -> int:
        """Steps to success from here, at least."""
        to_key, key = abs(self.place - 6), 0 if self.door else 1
        if self.load == 1:
            return (to_key + key + 5 if key else abs(11 - self.place)) + 1
        first = abs(self.place - 3) + 1  # take the parcel
        return first + 8 + key + 1


class Switches(gym.Env):
    """Ten switches, MultiBinary. Action i turns switch i, if the one before it is on (the first one always turns).
    Action 10 is to press: success where the last two are on, and the first one is off; else the episode ends."""

    COUNT = 10
    observation_space = gym.spaces.MultiBinary(COUNT)
    action_space = gym.spaces.Discrete(COUNT + 1)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.on = self.np_random.integers(2, size=self.COUNT).astype(np.int8)
        return self.on.copy(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        success = False
        if action == self.COUNT:
            success = bool(self.on[-1] and self.on[-2] and not self.on[0])
        elif action == 0 or self.on[action - 1]:
            self.on[action] = 1 - self.on[action]
        return self.on.copy(), float(success), action == self.COUNT, False, {"success": success}


class InOrder(gym.Env):
    """Two levers, and a shaky hand: pull the left one and then the right one is success, the right one first ends the
    episode. MultiDiscrete: the place of the hand (6), left pulled, right pulled. Action 0 and 1 move the hand, with a
    chance of 0.2 the wrong way; action 2 pulls the lever at hand: the left one at place 0, the right one at place 5."""

    observation_space = gym.spaces.MultiDiscrete([6, 2, 2])
    action_space = gym.spaces.Discrete(3)
    SLIP = 0.2

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.hand, self.left, self.right = int(self.np_random.integers(6)), 0, 0
        return self.seen(), {}

    def seen(self) -> np.ndarray:
        return np.array([self.hand, self.left, self.right])

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        success = failure = False
        if action < 2:
            way = 1 if (action == 1) != (self.np_random.random() < self.SLIP) else -1
            self.hand = min(max(self.hand + way, 0), 5)
        elif self.hand == 0:
            self.left = 1
        elif self.hand == 5:
            self.right = 1
            success, failure = bool(self.left), not self.left
        return self.seen(), float(success), success or failure, False, {"success": success}


class Detour(gym.Env):
    """Five by five cells, from a corner to the next one: four steps, and six round the cell half way, where stepping on
    is a violation if it is `mined`. `spread`: of row and column as one number, as two, or as two in a row of four."""

    action_space = gym.spaces.Discrete(4)
    SPACES = {  # noqa: RUF012
        "one": gym.spaces.Discrete(25),
        "two": gym.spaces.MultiDiscrete([5, 5]),
        "row": gym.spaces.MultiDiscrete([5, 5, 20, 20]),
    }

    def __init__(self, spread: str = "one", mined: bool = True) -> None:
        self.observation_space, self.spread, self.mined = self.SPACES[spread], spread, mined

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.row = self.column = 0
        return self.seen(), {}

    def seen(self) -> Any:
        place = [self.row, self.column]
        return 5 * self.row + self.column if self.spread == "one" else np.array(place + [7, 7] * (self.spread == "row"))

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        down, right = ((-1, 0), (1, 0), (0, -1), (0, 1))[action]
        self.row, self.column = min(max(self.row + down, 0), 4), min(max(self.column + right, 0), 4)
        there = (self.row, self.column)
        return self.seen(), float(there == (0, 4)), there == (0, 4), False, {"cost": self.mined and there == (0, 2)}


for name, world, steps in (("Deliveries", Deliveries, 100), ("Switches", Switches, 100), ("InOrder", InOrder, 100)):
    if f"{name}-v0" not in gym.registry:
        gym.register(f"{name}-v0", world, max_episode_steps=steps)
