"""A level learns where it cannot know what follows, and the levels above learn it from the levels below."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from levels.line_levels import line_level
from levels.plays import play_of
from levels.small_levels import cells_level

from hplan.levels.heads.uncertainty import ExpectedError, carried_errors, uncertainty_stages
from hplan.levels.level import Level
from hplan.play.play import Play
from hplan.training.fit import Run
from hplan.training.train import run_stages


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


def learned(play: Play, certain: torch.Tensor, out: Path) -> Level:
    """A level 0 over positions on a line, moved by the action, that knows of its errors."""
    level = line_level(0)
    torch.manual_seed(0)
    level.uncertainty_head = ExpectedError(seen=1, macro=1, hidden=16)
    run_stages(uncertainty_stages(level, play, carried_errors(level, play, None, 1), certain), Run(0, out))
    assert not any(weight.requires_grad for weight in level.parameters())
    return level


@pytest.mark.training
def test_uncertainty_is_wide_where_luck_decides_and_nowhere_else(tmp_path: Path) -> None:
    play = play_with_a_gamble()
    level = learned(play, play.remaining, tmp_path)
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
    level = learned(play, certain, tmp_path)
    sure, gamble = level.uncertainty(torch.tensor([[5.0], [14.0]]), torch.ones(2, 1)).tolist()
    assert sure < 1 < 10 < gamble


def test_a_level_above_carries_what_the_levels_below_could_not_predict() -> None:
    play, above = play_with_a_gamble(), line_level(1, stride=4)
    above.space.unit.fill_(torch.inf)  # wherever it is said to lead is near enough: it makes no error of its own
    below = carried_errors(line_level(0), play, None, 1)
    carried = carried_errors(above, play, below, 1)
    rows = play.starts(4)
    assert torch.equal(torch.isnan(carried), play.remaining < 4)
    on_the_way = torch.stack([below[rows + i] for i in range(4)]).sum(0)
    assert bool((on_the_way > 19).any()) and torch.allclose(carried[rows], on_the_way)


def test_a_level_of_symbols_is_uncertain_where_its_world_is() -> None:
    level = cells_level()
    z, macro = torch.zeros(2, 4, 5, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    assert level.uncertainty(z, macro).tolist() == [0.0, 0.0]
    level.uncertainty_head.certainty.fill_(0.5)
    expected = level.uncertainty(z, macro)
    assert bool((expected > 0).all()) and bool((expected < 20 / level.space.typical_change).all())


def test_a_level_without_such_a_head_is_certain() -> None:
    assert line_level(0).uncertainty(torch.zeros(3, 1), torch.zeros(3, 1)).tolist() == [0.0] * 3
