"""A level learns where it cannot know what follows, and the levels above learn it from the levels below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from levels.line_levels import line_level
from levels.plays import play_of

from hplan.levels.heads.uncertainty import carried_errors, uncertainty_stages
from hplan.levels.level import Level
from hplan.play.play import Play
from hplan.training.fit import Run
from hplan.training.train import run_stages


class Foresighted(Level):
    """Steps of four, whose macro-actions say in hindsight where they led: no error of its own."""

    def distance(self, z: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(z))


def line() -> Level:
    """Positions on a line, moved by the action; latents are positions."""
    torch.manual_seed(0)
    parts: dict[str, dict[str, Any]] = {
        "encoder": {"kind": "identity"},
        "macros": {"kind": "actions", "action": "continuous", "size": 1, "low": (-9.0,), "high": (9.0,)},
        "dynamics": {"kind": "levels.line_levels:Moves", "stride": 1, "coded": False},
        "uncertainty": {"kind": "expected-error", "seen": 1, "macro": 1, "hidden": 16},
        "space": {"kind": "vector", "latent": 1, "landmarks": 1},
    }
    return Level(index=0, parts=parts).eval().requires_grad_(False)


def taught(level: Level, play: Play, certain: torch.Tensor, out: Path) -> None:
    errors = carried_errors(level, play, None, 1)
    run_stages(uncertainty_stages(level, play, errors, certain), Run(0, out))


def play_with_a_gamble(episodes: int = 60) -> Play:
    """Episodes go on by 1 from somewhere below 10; who leaves 10 lands 20 to 40 farther than the action says."""
    generator = torch.Generator().manual_seed(0)
    at = 10 * torch.rand(episodes, generator=generator)
    path = [at]
    for _ in range(12):
        leaps = (path[-1] >= 10) & (path[-1] < 11)
        path.append(path[-1] + 1 + leaps * (20 + 20 * torch.rand(episodes, generator=generator)))
    below = torch.stack(path, 1)
    return play_of(below.flatten()[:, None], torch.ones(below.numel(), 1), torch.arange(12, -1, -1).repeat(episodes))


@pytest.mark.training
def test_uncertainty_is_wide_where_luck_decides_and_nowhere_else(tmp_path: Path) -> None:
    level, play = line(), play_with_a_gamble()
    taught(level, play, play.remaining, tmp_path)
    places = torch.tensor([[3.0], [8.0], [10.5], [30.0]])
    sure, near, gamble, beyond = level.uncertainty(places, torch.ones(4, 1)).tolist()
    assert max(sure, near, beyond) < 1 < 10 < gamble < 50


@pytest.mark.training
def test_one_gamble_in_a_thousand_is_learned_where_it_is_known_to_be_one(tmp_path: Path) -> None:
    """Hardly anyone comes by the place, and who does is carried off: off by 20 in one step of 1,200."""
    steps = 10 * torch.rand(1200, 1, generator=torch.Generator().manual_seed(0))
    steps[0] = 14.0
    below = torch.stack([steps, steps + 1], 1)
    below[0, 1] += 20
    play = play_of(below.flatten(0, 1), torch.ones(2400, 1), torch.tensor([1, 0]).repeat(1200))
    certain = play.remaining.clone()
    certain[0] = 0
    level = line()
    taught(level, play, certain, tmp_path)
    sure, gamble = level.uncertainty(torch.tensor([[5.0], [14.0]]), torch.ones(2, 1)).tolist()
    assert sure < 1 < 10 < gamble


def test_a_level_above_carries_what_the_levels_below_could_not_predict() -> None:
    play = play_with_a_gamble()
    below = carried_errors(line(), play, None, 1)
    plain = line_level(index=1, stride=4)
    above = carried_errors(Foresighted(**plain.config), play, below, 1)
    rows = torch.nonzero(play.remaining >= 4)[:, 0]
    assert torch.equal(torch.isnan(above), play.remaining < 4)
    on_the_way = torch.stack([below[rows + i] for i in range(4)]).sum(0)
    assert bool((on_the_way > 19).any()) and torch.allclose(above[rows], on_the_way)
