"""A pit ends an episode and pays nothing. Over vectors no plan leads through it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from levels.plays import play_of

import hplan
from hplan.levels.heads.violation import dead_ends

SEED = 50


class Pit(gymnasium.Env):
    """From anywhere on the left of a square to the right: between them is a pit, and a way past it."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = np.array([self.np_random.uniform(-1, -0.3), self.np_random.uniform(-0.9, 0.9)])
        self.steps = 0
        return self.place.astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.place = np.clip(self.place + 0.12 * action, -1, 1)
        there = bool(self.place[0] > 0.7)
        fallen = bool(abs(self.place[0]) < 0.15 and self.place[1] < 0.5)
        seen = self.place.astype(np.float32)
        return seen, float(there), there or fallen, self.steps >= 100, {"is_success": there}


def test_ends_without_success_are_dead_ends() -> None:
    remaining, success = torch.tensor([2, 1, 0, 2, 1, 0, 2, 1, 0]), torch.zeros(9, dtype=torch.bool)
    success[4] = True
    play = play_of(torch.zeros(9, 1), torch.zeros(9, 1), remaining, success=success)
    play.terminated[[2, 5]] = True  # a fall, a success, and an episode that was cut
    assert torch.nonzero(dead_ends(play)).flatten().tolist() == [1]


@pytest.mark.training
def test_no_plan_leads_through_a_pit(tmp_path: Path) -> None:
    agent = hplan.learn(Pit, tmp_path / "run", steps=6000, seed=SEED, settings={"base_steps": 1200}, levels=1)
    assert agent.stack.levels[0].violation is not None

    def fell(settings: dict[str, Any] | None = None) -> int:
        acting, env, falls = hplan.load(tmp_path / "run", settings=settings), Pit(), 0
        for seed in range(15):
            observation, _ = env.reset(seed=seed)
            acting.reset(seed=seed)
            ended = cut = False
            while not (ended or cut):
                observation, _, ended, cut, info = env.step(acting.act(observation))
            falls += ended and not info["is_success"]
        return falls

    assert fell() <= 1
    assert fell({"guard": False}) >= 4
