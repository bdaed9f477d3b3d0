"""A world that a stack of two levels learns in seconds: a corridor with two doors, registered as TwoDoors-v0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hplan.config import TaskConfig
from hplan.registry import load_task

LENGTH, DOORS = 9, (3, 6)
EMPTY, AGENT, CLOSED, OPEN, AGENT_IN_DOOR = range(5)
LEFT, RIGHT, TOGGLE = range(3)
SMALL = {"base_steps": 40, "above_steps": 20, "batch": 32, "channels": 8, "hidden": 16}


class TwoDoors(gymnasium.Env):
    """Start at the left end; the right end pays 1 and ends the episode. Toggling opens or closes the door ahead."""

    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it
    observation_space = spaces.Box(0, 4, (1, LENGTH), np.int64)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.opened = 0, dict.fromkeys(DOORS, False)
        return self._observe(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if action == TOGGLE and self.at + 1 in DOORS:
            self.opened[self.at + 1] = not self.opened[self.at + 1]
        to = min(max(self.at + (-1, 1, 0)[action], 0), LENGTH - 1)
        if self.opened.get(to, True):
            self.at = to
        done = self.at == LENGTH - 1
        return self._observe(), float(done), done, False, {}

    def _observe(self) -> np.ndarray:
        row = np.full(LENGTH, EMPTY)
        for door, opened in self.opened.items():
            row[door] = OPEN if opened else CLOSED
        row[self.at] = AGENT_IN_DOOR if self.at in DOORS else AGENT
        return row[None]


gymnasium.register("TwoDoors-v0", TwoDoors, max_episode_steps=80)


def two_doors(steps: int = 2000, training: Mapping[str, float] = SMALL) -> TaskConfig:
    """The task, with so little play and training that a test can wait for it."""
    task = load_task("gym:two_doors:TwoDoors-v0")
    return replace(
        task, play=replace(task.play, steps={"quick": steps}, episode_steps=80), training={"quick": training}
    )
