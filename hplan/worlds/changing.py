"""Worlds that change while somebody acts in them, as Gymnasium wrappers. Nothing announces a change: it is only seen.

What changes is drawn from the environment's own reset seed, but apart from its own numbers: the same seed begins the
same episode as in the undisturbed task. `info["changes"]` counts, for tests and reports; no agent is given it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from minigrid.core.world_object import Door, Lava, Wall, WorldObj

from hplan.config import ChangeConfig
from hplan.types import UsageError

STREAM = 1  # of random numbers, beside those that the layout is drawn from
_AHEAD = 3  # cells in front of the agent, where a wall may appear
_SIDES = ((-1, 0), (0, -1), (1, 0), (0, 1))
Cell = tuple[int, int]  # column, row: MiniGrid's x, y


class Changing(gymnasium.Wrapper, ABC):
    """What the changes have in common. chance: of one, before each step."""

    def __init__(self, env: gymnasium.Env, chance: float) -> None:
        super().__init__(env)
        self.chance, self.changes = chance, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.changes = 0
        self._random = np.random.default_rng(None if seed is None else (seed, STREAM))
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(self.change(action))
        return observation, reward, terminated, truncated, info | {"changes": self.changes}

    @abstractmethod
    def change(self, action: Any) -> Any:
        """Disturb the world, or not, before a step; returns the action that is taken."""


class SlipperyActions(Changing):
    """With `chance`, the action that is taken is another one, each as likely; of a box, any. Raises UsageError for
    actions that are neither one of several nor of a box with bounds."""

    def __init__(self, env: gymnasium.Env, chance: float) -> None:
        super().__init__(env, chance)
        space = env.action_space
        self._box = space if isinstance(space, spaces.Box) and space.is_bounded() else None
        if self._box is None and (not isinstance(space, spaces.Discrete) or space.n < 2):
            raise UsageError(
                f"changes.kind 'slippery' needs one of several discrete actions or a box with bounds, not {space}"
            )
        if isinstance(space, spaces.Discrete):
            self._actions, self._first = int(space.n), int(space.start)

    def change(self, action: Any) -> Any:
        slips = self._random.random() < self.chance
        if self._box is not None:
            drawn = self._random.uniform(self._box.low, self._box.high).astype(self._box.dtype)
            self.changes += slips
            return drawn if slips else action
        other = int(self._random.integers(1, self._actions))  # drawn anyway: step n slips alike whatever went before
        self.changes += slips
        return (int(action) - self._first + slips * other) % self._actions + self._first


class ClosingDoors(Changing):
    """MiniGrid: each open door that nobody stands in falls shut with `chance` before a step. It is not locked."""

    def change(self, action: Any) -> Any:
        env: Any = self.unwrapped
        for index, thing in enumerate(env.grid.grid):
            if isinstance(thing, Door) and thing.is_open and _cell(env, index) != tuple(env.agent_pos):
                closes = self._random.random() < self.chance
                thing.is_open = not closes
                self.changes += closes
        return action


class MovingWall(Changing):
    """MiniGrid: a block of wall comes up, with `chance` before a step, in one of the free cells straight in front of
    the agent, and leaves where it was. Whatever could be reached still can: a way round always remains."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._at: Cell | None = None
        return super().reset(seed=seed, options=options)

    def change(self, action: Any) -> Any:
        moves, where = self._random.random(2)
        if moves < self.chance and (cells := [cell for cell in self._ahead() if self._way_round(cell)]):
            grid = self.unwrapped.grid  # type: ignore[attr-defined]
            if self._at is not None:
                grid.set(*self._at, None)
            self._at = cells[int(where * len(cells))]
            grid.set(*self._at, Wall())
            self.changes += 1
        return action

    def _ahead(self) -> Iterator[Cell]:
        """Cells in front of the agent, up to the first that is not empty."""
        env: Any = self.unwrapped
        (x, y), (right, down) = env.agent_pos, env.dir_vec
        for steps in range(1, _AHEAD + 1):
            cell = int(x + steps * right), int(y + steps * down)
            if env.grid.get(*cell) is not None:
                return
            yield cell

    def _way_round(self, cell: Cell) -> bool:
        return len(self._reach(cell)) == len(self._reach(None)) - 1

    def _reach(self, blocked: Cell | None) -> set[Cell]:
        """Where the agent can come to, through any door, with the block at `blocked`; things are met, not passed."""
        env: Any = self.unwrapped
        here = (int(env.agent_pos[0]), int(env.agent_pos[1]))
        found, edge = {here}, [here]
        while edge:
            x, y = edge.pop()
            for right, down in _SIDES:
                cell = x + right, y + down
                thing: WorldObj | None = None if cell == self._at else env.grid.get(*cell)
                if cell == blocked or cell in found or isinstance(thing, Wall | Lava):
                    continue
                found.add(cell)
                if thing is None or isinstance(thing, Door):
                    edge.append(cell)
        return found


KINDS: dict[str, type[Changing]] = {
    "slippery": SlipperyActions,
    "closing-doors": ClosingDoors,
    "moving-wall": MovingWall,
}


def changing(env: gymnasium.Env, changes: ChangeConfig) -> gymnasium.Env:
    """`env` with the changes of a task; `env` itself where there are none."""
    return env if changes.kind == "none" else KINDS[changes.kind](env, changes.chance)


def _cell(env: Any, index: int) -> Cell:
    """Where the thing at `index` of a MiniGrid's list is."""
    return index % env.width, index // env.width
