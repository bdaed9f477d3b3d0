"""Where to be is told from what an episode says, by a few successes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hplan.levels.heads.target import TargetSuccess, _told, features
from hplan.levels.level import Level
from hplan.levels.tables import SURE


def far(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, 2, generator=generator) * 2 - 1


def test_numbers_are_told_by_those_that_say_them_and_no_others() -> None:
    generator = torch.Generator().manual_seed(0)
    said = far(40, generator)
    there = torch.stack([2 * said[:, 1] + 1, torch.randn(40, generator=generator)], 1)
    found = _told(there + 0.01 * far(40, generator), said, torch.arange(40))
    assert found is not None
    told, products, weights, width = found
    assert told.tolist() == [True, False] and not products
    assert weights[:, 0].tolist() == pytest.approx([0, 2, 1], abs=0.01) and 0 < float(width) < 0.02
    assert _told(there[:5], said[:5], torch.arange(5)) is None, "too few to tell anything"


def test_a_direction_and_a_distance_say_a_place_by_their_products() -> None:
    generator = torch.Generator().manual_seed(0)
    angle, length = 6.3 * torch.rand(100, generator=generator), torch.rand(100, generator=generator)
    way = torch.stack([angle.cos(), angle.sin()], 1)
    place = length[:, None] * way
    found = _told(place, torch.cat([way, length[:, None]], 1), torch.arange(100))
    assert found is not None and found[0].tolist() == [True, True]
    assert found[1], "no sum of the three is near enough"
    assert float(found[3].max()) < 1e-3


def test_a_target_is_a_distance_and_without_a_mission_any_of_play_will_do() -> None:
    head = TargetSuccess(latent=2, columns=2, mission=2, targets=2)
    head.read = torch.nn.Identity()  # type: ignore[assignment]
    head.weights[:2] = torch.eye(2)
    head.targets.copy_(torch.tensor([[0.0, 0], [5, 5]]))
    z = torch.tensor([[1.0, 1], [1, 2], [5, 5]])
    assert head.away(z, torch.tensor([1.0, 1])).tolist() == pytest.approx([0, 1, 32**0.5])
    assert head.away(z, None).tolist() == pytest.approx([2**0.5, 5**0.5, 0])
    level = Level.__new__(Level)
    torch.nn.Module.__init__(level)
    level.mission = torch.tensor([1.0, 1])
    assert head(level, z)[0] == SURE and head(level, z)[1] == 0.0


def test_features_are_the_numbers_one_and_products() -> None:
    x = torch.tensor([[2.0, 3.0]])
    assert features(x, False).tolist() == [[2, 3, 1]]
    assert features(x, True).tolist() == [[2, 3, 1, 4, 6, 9]]
