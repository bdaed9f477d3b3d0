"""Numbers of a vector that latents of level 0 lost, and how they come back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from levels.plays import play_of
from raw_worlds import Point
from torch import nn

import hplan
from hplan.levels.level import Level
from hplan.play.play import Play
from hplan.training import told
from hplan.training.fit import Run
from hplan.training.told import lawful_numbers, lost_stages
from hplan.training.train import run_stages
from hplan.training.vectors import base_level

EPISODES, STEPS = 20, 50


@pytest.fixture(scope="module")
def walks() -> Play:
    """Two numbers walk by the action, one is noise, one is always the same, one is never the same twice but known."""
    rng = np.random.default_rng(0)
    rows, acts, left = [], [], []
    for _ in range(EPISODES):
        actions = rng.integers(0, 4, STEPS + 1)
        moves = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])[actions]
        place = rng.normal(0, 5, 2) + np.concatenate([np.zeros((1, 2)), moves[:-1].cumsum(0)])
        noise, same, clock = rng.normal(size=STEPS + 1), np.full(STEPS + 1, 3.0), np.arange(STEPS + 1)
        rows.append(np.column_stack([place, noise, same, clock]))
        acts.append(actions)
        left.append(np.arange(STEPS, -1, -1))
    seen, actions, remaining = np.concatenate(rows), np.concatenate(acts), np.concatenate(left)
    return play_of(torch.tensor(seen).float(), torch.tensor(actions), torch.tensor(remaining))


class Sees(nn.Module):
    """Some of the numbers, a little bent."""

    def __init__(self, columns: list[int]) -> None:
        super().__init__()
        self.columns = columns

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        seen = observation[..., self.columns] / 5
        return torch.cat([seen, seen.tanh()], -1)


def seeing(play: Play, columns: list[int]) -> Level:
    level = base_level(play.observation_spec, play.action_spec, latent=2 * len(columns), hidden=16)
    level.encoder = Sees(columns)
    return level


def test_noise_and_what_never_changes_are_not_lawful(walks: Play) -> None:
    assert lawful_numbers(walks, 0).tolist() == [True, True, False, False, True]
    assert lawful_numbers(replace(walks, asking=(1,)), 0).tolist() == [True, False, False, False, True], "not looked at"
    short = replace(walks, remaining=torch.where(walks.episode < 2, walks.remaining, 0))
    assert not lawful_numbers(short, 0).any(), "too short to judge by"


@pytest.mark.parametrize(("sees", "lost"), [([0, 1, 4], []), ([0, 4], [1]), ([2, 3], [0, 1, 4]), ([0, 1, 2, 3, 4], [])])
def test_what_is_lawful_and_not_told_is_lost(walks: Play, sees: list[int], lost: list[int], tmp_path: Path) -> None:
    stages, found = lost_stages(seeing(walks, sees), walks, 0), []

    def kept():
        found.extend((yield from stages))

    run_stages(kept(), Run(0, tmp_path))
    assert torch.nonzero(found[1])[:, 0].tolist() == lost
    assert found[0].tolist() == lawful_numbers(walks, 0).tolist()


@pytest.mark.training
def test_a_level_that_lost_something_is_trained_again_to_tell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"base_steps": 400}
    monkeypatch.setattr(told, "LOST", 0.0)
    agent = hplan.learn(Point, tmp_path / "again", steps=3000, seed=50, settings=settings, levels=1)
    assert agent.train_info["lost"] == [0, 1, 2, 3], "all that is lawful: the last number is always the same"
    assert (tmp_path / "again/stages/level0-again-support.safetensors").exists(), "what lies on new latents is new"
    assert hplan.evaluate(agent, Point, episodes=5, seed=50).success_rate == 1
    monkeypatch.undo()
    agent = hplan.learn(Point, tmp_path / "once", steps=3000, seed=50, settings=settings, levels=1)
    assert "lost" not in agent.train_info
