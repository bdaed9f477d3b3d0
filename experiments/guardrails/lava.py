"""LavaCrossing whose lava costs, and ends nothing: `info["cost"]` alone says that it must not be entered.

As tasks: `gym:experiments.guardrails.lava:LavaCosts-S9N1-v0`, and S11N5.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import minigrid  # noqa: F401 - registers its environments
from minigrid.core.world_object import Lava


class LavaCosts(gymnasium.Wrapper):
    """A MiniGrid environment in which one walks over lava, at a cost of 1 for each step that ends there."""

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        env: Any = self.unwrapped
        if isinstance(env.grid.get(*env.agent_pos), Lava):
            return observation, reward, False, truncated, {**info, "cost": 1.0}
        return observation, reward, terminated, truncated, info


def lava_costs(layout: str, **settings: Any) -> gymnasium.Env:
    """MiniGrid-LavaCrossing`layout`-v0, whose lava costs."""
    return LavaCosts(gymnasium.make(f"MiniGrid-LavaCrossing{layout}-v0", **settings))


for _layout in ("S9N1", "S11N5"):
    gymnasium.register(f"LavaCosts-{_layout}-v0", partial(lava_costs, _layout))
