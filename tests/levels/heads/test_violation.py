"""Energies of steps that break a rule, over maps of which few show what can be broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from levels.plays import play_of
from torch import Tensor

from hplan.levels.heads.violation import violation_stages
from hplan.levels.level import Level
from hplan.training.fit import Run
from hplan.training.train import run_stages

SIDE, TOKENS, LAVA, GOAL, SOLVED = 5, 2, 2, 3, 6


def maps_level(seed: int) -> Level:
    """Maps of floor, walls and lava with a mover on top, by codes that are drawn."""
    torch.manual_seed(seed)
    sizes = {"vocabulary": 4, "channels": 24, "tokens": TOKENS, "token_channels": 24}
    macros = {"kind": "actions", "action": "discrete", "size": 4, "names": ("up", "right", "down", "left")}
    level = Level(index=0, parts={"space": {"kind": "discrete-map", **sizes}, "macros": macros})
    codes = (torch.nn.functional.normalize(torch.randn(count, 24), dim=1) for count in (4, TOKENS))
    level.space.set_codes(*codes)
    return level


def walked(seed: int, steps: int = 12_000) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (2 * steps, side, side), before and after each step; whether it ended on lava, and whether on a goal, as
    very few do. One map in ten has lava, a row of it."""
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.randint(1, SIDE - 1, (2, steps), generator=generator)
    down = torch.randint(2, (steps,), generator=generator)
    maps = torch.ones(2, steps, SIDE, SIDE, dtype=torch.long)
    maps[:, :, 1:-1, 1:-1] = 0
    with_lava = torch.nonzero(torch.rand(steps, generator=generator) < 0.1)[:, 0]
    across = torch.randint(1, SIDE - 1, (len(with_lava),), generator=generator)
    maps[:, with_lava, across, 1:-1] = LAVA
    after = torch.where(down > 0, row + 1, row).clamp(max=SIDE - 2)
    every = torch.arange(steps)
    some = with_lava[:SOLVED]
    maps[:, some, after[some], column[some]] = GOAL
    broke, solved = (maps[1, every, after, column] == kind for kind in (LAVA, GOAL))
    maps = TOKENS * maps
    maps[0, every, row, column] += 1
    maps[1, every, after, column] += 1
    return maps.transpose(0, 1).flatten(0, 1), broke, solved


def test_it_is_not_the_sight_of_lava_that_is_forbidden(tmp_path: Path) -> None:
    level, (maps, broke, solved) = maps_level(0), walked(0)
    actions, remaining = torch.zeros(len(maps), dtype=torch.long), torch.tensor([1, 0]).repeat(len(broke))
    violation, success = (torch.stack([each, torch.zeros_like(each)], 1).flatten() for each in (broke, solved))
    play = replace(play_of(maps, actions, remaining, success=success), violation=violation)
    run_stages(violation_stages(level, play, maps, 0), Run(0, tmp_path, "cpu", None))
    assert level.violation is not None
    fresh, broke, _ = walked(100, 2000)
    with torch.no_grad():
        forbidden = level.violation(fresh[::2], fresh[1::2]) > 0
    assert torch.equal(forbidden, broke)
    large = torch.full((2, 30, 30), TOKENS * LAVA)
    large[:, 10, 10:12] = 0
    large[[0, 1], 10, [10, 11]] += 1
    entered = large[1].clone()
    entered[10, 11], entered[9, 11] = 0, TOKENS * LAVA + 1
    with torch.no_grad():
        assert not level.violation(large[:1], large[1:])[0] > 0, "however much of it there is"
        assert level.violation(large[:1], entered[None])[0] > 0
