"""An agent that sees images: what it is given has to be one of its own, and an eye has to be of its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from raw_worlds import Canvas
from torch import Tensor, nn

import hplan
from hplan.types import UsageError

NAME = "visual/pointmaze-medium-navigate"


class Narrow(nn.Module):
    """An eye that makes one number, whatever is asked for."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def forward(self, frames: Tensor) -> Tensor:
        return frames.float().flatten(-3).mean(-1, keepdim=True)


def test_what_is_no_image_of_its_own_is_refused_by_name() -> None:
    agent = hplan.load(NAME)
    agent.reset(goal=np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UsageError, match=rf"{NAME}: observation .* is outside its space Box.*shape \(32, 32, 3\)"):
        agent.act(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UsageError, match=rf"{NAME}: observation .* is outside its space Box.*shape \(2,\)"):
        agent.reset(goal=np.zeros(2, np.float32))


def test_an_encoder_of_another_size_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"test_image_agent:Narrow' makes \(2, 1\) of two observations; expected"):
        hplan.learn(Canvas, out=tmp_path / "run", steps=100, encoder=Narrow)
    assert not (tmp_path / "run").exists()


def test_a_goal_is_told_by_its_image_alone() -> None:
    env, agent = hplan.make(NAME), hplan.load(NAME)
    observation, info = env.reset(seed=5)
    agent.reset(goal=info["goal"], seed=5)
    for _ in range(3):
        observation, *_ = env.step(agent.act(observation))
    tree = agent.tree
    assert tree.root.is_goal
    with torch.inference_mode():
        there = agent.stack.encode(info["goal"])
        here = agent.stack.encode(observation)
    assert float(agent.stack.levels[0].distance(here[0][None], there[0][None])) > 1
