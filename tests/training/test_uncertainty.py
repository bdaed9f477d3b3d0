"""A level learns where it cannot know what follows, and the levels above learn it from the levels below."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hplan.training.uncertainty import carried_errors, train_uncertainty

from hplan.levels.level import Level
from hplan.training.vectors import Play


class Line(Level):
    """Positions on a line, moved by the action; latents are positions."""

    def __init__(self, index: int = 0, stride: int = 1) -> None:
        torch.manual_seed(0)
        kind = {"macro_kind": "continuous", "macro_low": (-9.0,), "macro_high": (9.0,)} if index == 0 else {}
        super().__init__(index=index, inputs=1, macros=1, stride=stride, latent=1, hidden=32, window=4 * index, **kind)

    def encode(self, below: torch.Tensor) -> torch.Tensor:
        return below

    def predict(self, z: torch.Tensor, macro: torch.Tensor) -> torch.Tensor:
        return z + macro if self.index == 0 else z + self.stride


def play_with_a_gamble(episodes: int = 60) -> Play:
    """Episodes go on by 1 from somewhere below 10; who leaves 10 lands 20 to 40 farther than the action says."""
    generator = torch.Generator().manual_seed(0)
    at = 10 * torch.rand(episodes, generator=generator)
    path = [at]
    for _ in range(12):
        leaps = (path[-1] >= 10) & (path[-1] < 11)
        path.append(path[-1] + 1 + leaps * (20 + 20 * torch.rand(episodes, generator=generator)))
    below = torch.stack(path, 1)
    return Play(below.flatten()[:, None], torch.ones(below.numel(), 1), torch.arange(12, -1, -1).repeat(episodes))


@pytest.mark.training
def test_uncertainty_is_wide_where_luck_decides_and_nowhere_else(tmp_path: Path) -> None:
    level, play = Line().eval().requires_grad_(False), play_with_a_gamble()
    errors = carried_errors(level, play, None, 1)
    train_uncertainty(level, play, errors, play.remaining, seed=0, out=tmp_path, device="cpu", progress=None)
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
    play = Play(below.flatten(0, 1), torch.ones(2400, 1), torch.tensor([1, 0]).repeat(1200))
    certain = play.remaining.clone()
    certain[0] = 0
    level = Line().eval().requires_grad_(False)
    errors = carried_errors(level, play, None, 1)
    train_uncertainty(level, play, errors, certain, seed=0, out=tmp_path, device="cpu", progress=None)
    sure, gamble = level.uncertainty(torch.tensor([[5.0], [14.0]]), torch.ones(2, 1)).tolist()
    assert sure < 1 < 10 < gamble


def test_a_level_above_carries_what_the_levels_below_could_not_predict() -> None:
    play = play_with_a_gamble()
    below = carried_errors(Line(), play, None, 1)
    above = carried_errors(Above(), play, below, 1)
    rows = torch.nonzero(play.remaining >= 4)[:, 0]
    assert torch.equal(torch.isnan(above), play.remaining < 4)
    on_the_way = torch.stack([below[rows + i] for i in range(4)]).sum(0)
    assert bool((on_the_way > 19).any()) and torch.allclose(above[rows], on_the_way)


class Above(Line):
    """Steps of four, whose macro-actions say in hindsight where they led: no error of its own."""

    def __init__(self) -> None:
        super().__init__(index=1, stride=4)

    def distance(self, z: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(z))
