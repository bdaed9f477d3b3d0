"""What latents look like: encoders are inverted, of level 0 and of a level above it."""

from __future__ import annotations

import pytest
import torch

from hplan.levels.level import Level
from hplan.levels.readout import VectorReadout, readout_of
from hplan.training.vectors import base_level, level_above
from hplan.types import ActionSpec, ObservationSpec


def levels(count: int) -> list[Level]:
    torch.manual_seed(0)
    push = ActionSpec("continuous", 2, low=(-1.0, -1.0), high=(1.0, 1.0))
    found = [base_level(ObservationSpec("vector", (2,)), push, encoder="standard")]
    found[0].encoder.mean.copy_(torch.tensor([10.0, -2.0]))
    found[0].encoder.scale.copy_(torch.tensor([5.0, 0.5]))
    if count > 1:
        found.append(level_above(found[0], stride=4, codes=8, latent=6, hidden=64))
    for level in found:
        level.space.unit.fill_(0.2)
    return [level.eval().requires_grad_(False) for level in found]


def places(count: int) -> torch.Tensor:
    drawn = torch.rand(count, 2, generator=torch.Generator().manual_seed(1))
    return torch.tensor([10.0, -2.0]) + torch.tensor([5.0, 0.5]) * (4 * drawn - 2)


@pytest.mark.parametrize(("count", "least"), [(1, 1e-4), (2, 0.1)])
def test_latents_are_read_as_what_was_encoded(count: int, least: float) -> None:
    readout, seen = VectorReadout(levels(count)), places(200)
    off = ((readout.read(readout.encode(seen)) - seen) / readout.scale).norm(dim=-1)
    assert float(off.quantile(0.9)) < least


def test_a_margin_goes_as_far_as_so_many_steps_of_the_level() -> None:
    readout, seen = VectorReadout(levels(1)), places(50)
    z = readout.encode(seen)
    around = readout.around(z, 0.1)
    assert around.shape == (5, 50, 2)
    away = (readout.encode(around[1:]) - readout.encode(around[:1])).norm(dim=-1) / readout.level.space.unit
    assert 0.05 < float(away.median()) < 0.2
    assert readout.around(z, 0.0).shape == (1, 50, 2)
    unknown = readout.around(z, float("inf"))  # play was too short to tell: a deviation, and no NaN
    assert torch.allclose((unknown[1:] - unknown[0]).abs().amax(0), readout.scale.expand(50, 2), rtol=1e-3)


def test_what_has_no_statistics_cannot_be_read() -> None:
    level = levels(1)[0]
    level.encoder = torch.nn.Identity()
    assert readout_of([level]) is None
