"""Success that one action declares, which changes nothing: learned from where it was taken, and done where it holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pointing_out
import pytest
import torch
from levels.plays import play_of

import hplan
from hplan.agent import Agent
from hplan.levels.heads.success import STOPS, stop_action
from hplan.registry import load_task

MAPS = {"base_steps": 200, "channels": 8, "hidden": 32}
NUMBERS = {"base_steps": 600, "above_steps": 200, "hidden": 32, "latent": 4}


def learned(name: str, out: Path, training: dict[str, Any]) -> Agent:
    task = load_task(f"gym:pointing_out:{name}")
    task = replace(task, play=replace(task.play, steps={"quick": 6000}, episode_steps=40), training={"quick": training})
    return hplan.learn(task, out=out, seed=3, levels=1)


@pytest.mark.training
@pytest.mark.parametrize(
    ("name", "training", "beside"), [("PointOut-v0", MAPS, 2), ("NextTo-v0", MAPS, 1), ("SayWhere-v0", NUMBERS, 0)]
)
def test_it_is_said_where_it_is_right(name: str, training: dict[str, Any], beside: int, tmp_path: Path) -> None:
    agent = learned(name, tmp_path / "run", training)
    (level,) = agent.stack.levels
    assert level.stop == pointing_out.SAY
    assert getattr(level.success_head, "beside", 0) == beside
    assert hplan.evaluate(agent, episodes=40, seed=60).success_rate >= 0.95
    random = hplan.evaluate(agent, episodes=40, seed=60, method="random").success_rate
    assert random <= 0.5, "or the world shows nothing"


def test_an_action_declares_success_where_it_always_did_and_changed_nothing() -> None:
    count = 4 * STOPS
    actions = torch.arange(count) % 3
    remaining = torch.tensor([1, 0]).repeat(count // 2)
    success = (actions == 2) & (remaining == 1)
    observations = torch.arange(count // 2).repeat_interleave(2)[:, None].float()
    assert int(success.sum()) < STOPS
    assert stop_action(play_of(observations, actions, remaining, success=success)) is None, "too few to tell"
    play = play_of(*(part.repeat(4, *(1,) * (part.ndim - 1)) for part in (observations, actions, remaining)))
    play = replace(play, success=success.repeat(4))
    assert stop_action(play) == 2
    other = replace(play, actions=torch.where(torch.arange(len(play)) < 40, 1, play.actions))
    assert stop_action(replace(other, success=play.success)) is None, "others succeed, too"
    moved = replace(play, observations=torch.arange(len(play))[:, None].float())
    assert stop_action(moved) is None, "something changed, which may be why"
