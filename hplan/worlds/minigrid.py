"""MiniGrid with the whole grid in view, *and* what the agent carries and where it looks, at over 10,000 steps a second.

What costs time in MiniGrid is its picture of what the agent sees, and encoding every cell; neither happens here. The
encoded grid is kept, and after each step only cells whose object changed are encoded again.
"""

from __future__ import annotations

import pickle
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX
from minigrid.minigrid_env import MiniGridEnv

from hplan.codec import Codec
from hplan.worlds.changing import Changing
from hplan.worlds.gym import goes_back
from hplan.worlds.layers import count_anew, layers, own_limit

FEATURES = ("object", "colour", "state", "agent", "carried object", "carried colour")
TYPE, COLOUR, STATE, AGENT, CARRIED_TYPE, CARRIED_COLOUR = range(6)
_OBJECTS = {"unseen", "empty", "wall", "floor", "door", "key", "ball", "box", "goal", "lava", "agent"}  # MiniGrid's own
_HOME = "minigrid.core.world_object"  # where their classes are
_STATES = 64  # that an object of somebody's own may have
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


def cardinalities() -> tuple[int, ...]:
    """How many values each feature has. Objects that are not MiniGrid's own may have states that it does not know."""
    strangers = OBJECT_TO_IDX.keys() - _OBJECTS
    kinds, colours = max(OBJECT_TO_IDX.values()) + 1, max(COLOR_TO_IDX.values()) + 1
    return kinds, colours, _STATES if strangers else len(STATE_TO_IDX), 5, kinds, colours


class MiniGridView(gymnasium.Wrapper):
    """A MiniGrid environment, or wrappers of one, that shows the whole grid; `info["mission"]` is what it asks for, in
    words, and `info["goal"]` too, unless a wrapper has put another goal there or `asks` is False.

    Wrappers act, only what they show is not looked at. quiet: the environment is this view's own, and its partial view
    is switched off where no wrapper of the user's could want it. at_least: raises the environment's limit of steps to
    this; play needs longer stays than some tasks allow.
    """

    def __init__(
        self, env: gymnasium.Env, name: str, *, quiet: bool = True, at_least: int = 0, asks: bool = True
    ) -> None:
        super().__init__(env)
        self._wear(env)
        self._quiet = quiet and all(isinstance(layer, TimeLimit | Changing) for layer in layers(env)[:-1])
        if self._quiet:
            self._grid_env.gen_obs = _no_view  # type: ignore[method-assign]
        self._at_least, self._asks = at_least, asks
        self._set_limit()
        high = np.array(cardinalities(), np.uint8) - np.uint8(1)
        shape = (self._grid_env.height, self._grid_env.width, len(FEATURES))
        self.observation_space = spaces.Box(np.uint8(0), np.broadcast_to(high, shape), shape, np.uint8)
        self.codec = Codec.of(self.observation_space, env.action_space, name, action_names=self._names())
        if goes_back(env):
            self.snapshot, self.restore = self._snapshot, self._restore

    @property
    def max_steps(self) -> int:
        return min(own_limit(self.env), self._grid_env.max_steps)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        _, info = self.env.reset(seed=seed, options=options)
        self._set_limit()  # BabyAI's environments choose theirs for each mission
        self._encode()
        mission = self._grid_env.mission
        asked = {"goal": mission} if self._asks and mission else {}
        return self._view.copy(), {**asked, **info, "mission": mission}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        # MiniGrid compares actions with an enumeration, which takes numpy's integers twice as long
        _, reward, terminated, truncated, info = self.env.step(int(action) if self._quiet else action)
        self._refresh()
        if terminated and self._view[self._at][TYPE] == OBJECT_TO_IDX["lava"]:
            info = {**info, "violation": True}
        return self._view.copy(), reward, terminated, truncated, info

    def draw(self) -> str:
        """One character a cell: walls #, the agent an arrow, doors _ open, D closed, L locked, letters for things."""
        env = self._grid_env
        rows = []
        for y in range(env.height):
            things = [env.grid.get(x, y) for x in range(env.width)]
            rows.append([_letter(thing) for thing in things])
        x, y = env.agent_pos
        rows[y][x] = _ARROWS[env.agent_dir]
        carrying = f"\ncarries a {env.carrying.color} {env.carrying.type}" if env.carrying else ""
        return "\n".join("".join(row) for row in rows) + carrying

    def _names(self) -> tuple[str, ...]:
        """Of the actions, where no wrapper changed what they are."""
        env, names = self._grid_env, [action.name for action in getattr(self._grid_env, "actions", ())]
        same = self.action_space == env.action_space
        size = int(env.action_space.n) if same and isinstance(env.action_space, spaces.Discrete) else 0
        return tuple(names[:size]) if size <= len(names) else ()

    def _snapshot(self) -> bytes:
        """The state as it is now. The environment goes whole: copies of its parts would break `carrying is obj`."""
        return pickle.dumps(self.env, protocol=pickle.HIGHEST_PROTOCOL)

    def _restore(self, snapshot: bytes) -> None:
        """A new episode that starts in that state: `max_steps` counts from here."""
        before = self.env
        self._wear(pickle.loads(snapshot))
        before.close()
        self._grid_env.step_count = 0
        count_anew(self.env)
        self._encode()

    def _wear(self, env: gymnasium.Env) -> None:
        self.env = env
        self._grid_env: MiniGridEnv = env.unwrapped  # type: ignore[assignment]

    def _set_limit(self) -> None:
        self._grid_env.max_steps = max(self._grid_env.max_steps, self._at_least)

    def _encode(self) -> None:
        """Everything from scratch."""
        self._view = full_view(self._grid_env)
        self._cells = self._view.reshape(-1, len(FEATURES))
        self._at = self._position()
        self._look_for_changeable(self._grid_env.grid.grid)

    def _refresh(self) -> None:
        """What one step may have changed: which object lies where, a door's state, the agent."""
        env, cells = self._grid_env, self._cells
        things = env.grid.grid
        if things != self._things:  # objects compare by identity, so this is fast
            for index, (thing, before) in enumerate(zip(things, self._things, strict=True)):
                if thing is not before:
                    cells[index, :AGENT] = _EMPTY if thing is None else thing.encode()
            self._look_for_changeable(things)
        for index, door in self._doors:
            cells[index, STATE] = 0 if door.is_open else 2 if door.is_locked else 1
        for index, thing in self._strangers:
            cells[index, :AGENT] = thing.encode()
        self._view[self._at][AGENT:] = 0
        self._at = self._position()
        carried = env.carrying
        here = self._view[self._at]
        here[AGENT] = 1 + env.agent_dir
        if carried is not None:
            here[CARRIED_TYPE:] = carried.encode()[:2]

    def _look_for_changeable(self, things: list[Any]) -> None:
        """What may look another way without being another thing: doors, and whatever is not MiniGrid's own."""
        self._things = list(things)
        there = [(i, thing) for i, thing in enumerate(things) if thing is not None]
        self._strangers = [(i, thing) for i, thing in there if _is_strange(thing)]
        self._doors = [(i, thing) for i, thing in there if thing.type == "door" and not _is_strange(thing)]

    def _position(self) -> tuple[int, int]:
        x, y = self._grid_env.agent_pos
        return int(y), int(x)


def _is_strange(thing: Any) -> bool:
    return thing is not None and type(thing).__module__ != _HOME


def _letter(thing: Any) -> str:
    if thing is None:
        return " "
    kind: str = thing.type
    return _DOORS.get(thing.encode()[2], "D") if kind == "door" else _LETTERS.get(kind, kind[:1])
