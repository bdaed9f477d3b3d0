"""MiniGrid with the whole grid in view, *and* what the agent carries and where it looks, at over 10,000 steps a second.

What costs time in MiniGrid is its picture of what the agent sees, and encoding every cell; neither happens here. The
encoded grid is kept, and after each step only cells whose object changed are encoded again.
"""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX
from minigrid.minigrid_env import MiniGridEnv

from hplan.types import ActionSpec, ObservationSpec, Start, Transition

FEATURES = ("object", "colour", "state", "agent", "carried object", "carried colour")
TYPE, COLOUR, STATE, AGENT, CARRIED_TYPE, CARRIED_COLOUR = range(6)
CARDINALITIES = (len(OBJECT_TO_IDX), len(COLOR_TO_IDX), len(STATE_TO_IDX), 5, len(OBJECT_TO_IDX), len(COLOR_TO_IDX))
ACTIONS = ("left", "right", "forward", "pickup", "drop", "toggle", "done")
_EMPTY = (OBJECT_TO_IDX["empty"], 0, 0)
_LETTERS = {"wall": "#", "floor": ".", "key": "k", "ball": "o", "box": "b", "goal": "G", "lava": "~"}
_DOORS = {0: "_", 1: "D", 2: "L"}  # open, closed, locked
_ARROWS = ">v<^"


def _no_view() -> dict[str, Any]:
    """Stands in for MiniGridEnv.gen_obs: the agent's partial view, which nobody here looks at."""
    return {}


def full_view(env: MiniGridEnv) -> np.ndarray:
    """The `symbols` view of a MiniGrid environment, encoded from scratch: uint8 (H, W, 6), row y, column x.

    Features (FEATURES): object type, colour and state of the cell, also *under* the agent; agent (0, or 1 + direction);
    type and colour of what it carries, at its own cell (type 0: nothing). What a box hides stays hidden.
    """
    view = np.zeros((env.height, env.width, len(FEATURES)), np.uint8)
    cells = view.reshape(-1, len(FEATURES))
    for index, thing in enumerate(env.grid.grid):
        cells[index, :AGENT] = _EMPTY if thing is None else thing.encode()
    x, y = env.agent_pos
    carried = (0, 0) if env.carrying is None else env.carrying.encode()[:2]
    view[y, x, AGENT:] = (1 + env.agent_dir, *carried)
    return view


class MiniGridWorld:
    """A MiniGrid environment, or a wrapper of one (changing.py), as a World. `env` is this world's own from now on: its
    partial view is switched off.

    at_least: raises the environment's limit of steps to this; play needs longer stays than some tasks allow.
    """

    def __init__(self, env: gymnasium.Env, name: str, *, ending_succeeds: bool = False, at_least: int = 0) -> None:
        self.name = name
        self._wear(env)
        self._env.gen_obs = _no_view
        self._ending_succeeds = ending_succeeds
        self._at_least = at_least
        self._set_limit()
        size = int(env.action_space.n)  # type: ignore[attr-defined]  # always Discrete
        self.action_spec = ActionSpec("discrete", size, names=ACTIONS[:size])
        shape = (self._env.height, self._env.width, len(FEATURES))
        self.observation_spec = ObservationSpec("symbols", shape, CARDINALITIES)

    def reset(self, *, seed: int) -> Start:
        self._outer.reset(seed=seed)
        self._set_limit()  # BabyAI's environments choose theirs for each mission
        self._encode()
        return Start(self._view.copy())

    def step(self, action: int | np.ndarray) -> Transition:
        _, reward, terminated, truncated, info = self._outer.step(int(action))
        self._refresh()
        reward = float(reward)
        success = self.succeeds(reward, terminated, info)
        violation = terminated and self._view[self._at][TYPE] == OBJECT_TO_IDX["lava"]
        return Transition(self._view.copy(), reward, bool(terminated), bool(truncated), success, bool(violation))

    def succeeds(self, reward: float, terminated: bool, info: dict[str, Any]) -> bool:
        """Whether a step of the environment that returned these is the task's success."""
        if self._ending_succeeds:
            return bool(terminated)
        return bool(info["success"]) if "success" in info else bool(terminated and reward > 0)

    def draw(self) -> str:
        """One character a cell: walls #, the agent an arrow, doors _ open, D closed, L locked, letters for things."""
        env = self._env
        rows = []
        for y in range(env.height):
            things = [env.grid.get(x, y) for x in range(env.width)]
            row = [
                " " if t is None else _DOORS[t.encode()[2]] if t.type == "door" else _LETTERS[t.type] for t in things
            ]
            rows.append(row)
        x, y = env.agent_pos
        rows[y][x] = _ARROWS[env.agent_dir]
        carrying = f"\ncarries a {env.carrying.color} {env.carrying.type}" if env.carrying else ""
        return "\n".join("".join(row) for row in rows) + carrying

    def close(self) -> None:
        self._env.close()

    def snapshot(self) -> bytes:
        """The state as it is now. The environment goes whole: copies of its parts would break `carrying is obj`."""
        return pickle.dumps(self._outer, protocol=pickle.HIGHEST_PROTOCOL)

    def restore(self, snapshot: bytes) -> None:
        """A new episode that starts in that state: `max_steps` counts from here."""
        self._wear(pickle.loads(snapshot))
        self._env.step_count = 0
        self._encode()

    def _wear(self, env: gymnasium.Env) -> None:
        self._outer = env
        self._env: MiniGridEnv = env.unwrapped  # type: ignore[assignment]

    def _set_limit(self) -> None:
        self.max_steps = self._env.max_steps = max(self._env.max_steps, self._at_least)

    def _encode(self) -> None:
        """Everything from scratch."""
        self._view = full_view(self._env)
        self._cells = self._view.reshape(-1, len(FEATURES))
        self._at = self._position()
        self._things = list(self._env.grid.grid)
        self._doors = self._find_doors()

    def _refresh(self) -> None:
        """What one step may have changed: which object lies where, a door's state, the agent."""
        env, cells = self._env, self._cells
        things = env.grid.grid
        if things != self._things:  # objects compare by identity, so this is fast
            for index, (thing, before) in enumerate(zip(things, self._things, strict=True)):
                if thing is not before:
                    cells[index, :AGENT] = _EMPTY if thing is None else thing.encode()
            self._things = list(things)
            self._doors = self._find_doors()
        for index, door in self._doors:
            cells[index, STATE] = 0 if door.is_open else 2 if door.is_locked else 1
        self._view[self._at][AGENT:] = 0
        self._at = self._position()
        carried = env.carrying
        here = self._view[self._at]
        here[AGENT] = 1 + env.agent_dir
        if carried is not None:
            here[CARRIED_TYPE] = OBJECT_TO_IDX[carried.type]
            here[CARRIED_COLOUR] = COLOR_TO_IDX[carried.color]

    def _find_doors(self) -> list[tuple[int, Any]]:
        return [(i, thing) for i, thing in enumerate(self._things) if thing is not None and thing.type == "door"]

    def _position(self) -> tuple[int, int]:
        x, y = self._env.agent_pos
        return int(y), int(x)
