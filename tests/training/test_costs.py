"""Where every step costs the same and nothing counts as success, what is aimed for is the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from levels.plays import play_of

import hplan
from hplan.training.aims import _ends_that_pay
from hplan.types import NoSuccessWarning

SEED = 50


class Costly(gym.Env):
    """Nobody tells you from what you stand on: a floor, you and an exit, each a number of one map. -1 a step."""

    observation_space = gym.spaces.Box(0, 2, (5, 5), np.uint8)
    action_space = gym.spaces.Discrete(4)
    WAYS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        here, there = self.np_random.choice(25, 2, replace=False)
        self.here, self.exit = np.array(divmod(int(here), 5)), np.array(divmod(int(there), 5))
        self.steps = 0
        return self.seen(), {"distance": int(np.abs(self.here - self.exit).sum())}

    def seen(self) -> np.ndarray:
        seen = np.zeros((5, 5), np.uint8)
        seen[tuple(self.exit)] = 2
        seen[tuple(self.here)] = 1
        return seen

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.here, self.steps = (self.here + self.WAYS[action]).clip(0, 4), self.steps + 1
        out = bool((self.here == self.exit).all())
        return self.seen(), -1.0, out, self.steps >= 40, {}


@pytest.mark.training
def test_the_exit_is_the_goal_where_steps_cost_and_nothing_succeeds(tmp_path: Path) -> None:
    with pytest.warns(NoSuccessWarning, match="each costs 1: the agent aims to end episodes soon"):
        agent = hplan.learn(Costly, tmp_path / "run", steps=6000, seed=SEED, settings={"base_steps": 600})
    result = hplan.evaluate(agent, Costly, episodes=20, seed=SEED)
    assert result.return_mean >= -5, "3.3 steps are the fewest on average; by chance it takes 30"


@pytest.mark.parametrize(
    ("rewards", "terminated", "pays"),
    [([-1, -1, -1], True, True), ([-1, -1, -1], False, False), ([-1, -1, -9], True, False), ([1, 1, 1], True, False)],
    ids=["costs", "never-ends", "costs-more", "pays"],
)
def test_ends_pay_only_where_all_steps_cost_the_same(rewards: list[float], terminated: bool, pays: bool) -> None:
    play = play_of(torch.zeros(4, 1), torch.zeros(4).long(), torch.tensor([3, 2, 1, 0]))
    ended = torch.tensor([False, False, False, terminated])
    ends = _ends_that_pay(replace(play, rewards=torch.tensor([*rewards, 0.0]), terminated=ended))
    assert (None if ends is None else ends.tolist()) == ([False, False, True, False] if pays else None)
