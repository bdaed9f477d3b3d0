"""Priors learn how often play did what, and where it changed anything."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from levels.small_levels import cells_level
from torch import Tensor, nn

from hplan.levels.heads.prior import NOISE, RISK, AffordancePrior, CategoricalPrior
from hplan.levels.level import Level


def train(head: nn.Module, loss: Callable[[], Tensor]) -> None:
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


def test_of_vectors_it_is_the_share_of_play_that_took_a_code_there() -> None:
    torch.manual_seed(0)
    level = Level(index=1, parts={"space": {"kind": "vector", "latent": 1}})
    head = level.prior_head = CategoricalPrior(seen=1, macros=3, hidden=16)
    z = torch.tensor([[-1.0], [1.0]]).repeat_interleave(8, 0)
    macro = torch.tensor([0] * 6 + [1] * 2 + [2] * 8)  # three times in four one way at -1, always the same at 1
    train(head, lambda: head.loss(level, z[:, None], macro))
    here, there = level.prior(torch.tensor([[-1.0], [1.0]])).exp().tolist()
    assert here == pytest.approx([0.75, 0.25, 0.0], abs=0.03)
    assert there == pytest.approx([0.0, 0.0, 1.0], abs=0.03)


def test_of_maps_and_actions_it_is_the_chance_of_changing_anything() -> None:
    """Action 0 does something wherever symbol 4 is, action 1 in one case of four there, action 2 never. None fails."""
    torch.manual_seed(0)
    level = cells_level()
    head = level.prior_head = AffordancePrior(channels=8, macros=3)
    maps = torch.zeros(24, 3, 3, dtype=torch.long)
    maps[:12, 1, 1] = 4
    macro, happened = torch.arange(24) % 3, torch.zeros(24)
    happened[:12][macro[:12] == 0] = 1.0
    happened[1] = 1.0  # by action 1, as in rows 4, 7 and 10, where nothing happened
    codes = level.space.embed(maps)
    train(head, lambda: head.loss(codes, macro, happened, torch.zeros(24)))
    able = level.prior(maps[[0, 12]]).exp()
    assert able[0].tolist() == pytest.approx([1.0, 0.25, 0.0], abs=0.05)
    assert able[1].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=0.05)


def test_what_may_end_in_failure_costs_by_its_chance() -> None:
    """Every action changes something wherever symbol 4 is; action 1 fails there in three cases of four, action 2 in
    one."""
    torch.manual_seed(0)
    level = cells_level()
    head = level.prior_head = AffordancePrior(channels=8, macros=3)
    maps = torch.zeros(24, 3, 3, dtype=torch.long)
    maps[:12, 1, 1] = 4
    macro, happened, failed = torch.arange(24) % 3, torch.zeros(24), torch.zeros(24)
    happened[:12] = 1.0
    failed[[1, 4, 7, 2]] = 1.0
    codes = level.space.embed(maps)
    train(head, lambda: head.loss(codes, macro, happened, failed))
    assert float(level.prior(maps[:1]).detach()[0, 1]) > -1, "what is not risky is not feared"
    head.risky[[1, 2]] = True
    able, nothing = level.prior(maps[[0, 12]]).detach()
    wanted = [0.0, RISK * (math.log(1 / 4) + NOISE), RISK * (math.log(3 / 4) + NOISE)]
    assert able.tolist() == pytest.approx(wanted, rel=0.1, abs=0.05)
    assert nothing.exp().tolist() == pytest.approx([0.0, 0.0, 0.0], abs=0.05)
