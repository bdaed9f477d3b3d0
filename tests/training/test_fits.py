"""Which steps there can be in a layout is learned as a rule about walls, and holds in layouts that were never seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from levels.plays import play_of
from torch import Tensor, nn

from hplan.levels.heads import conditioning
from hplan.levels.heads.conditioning import conditioning_stages
from hplan.levels.level import Level
from hplan.training.fit import Run
from hplan.training.train import run_stages
from hplan.types import ObservationSpec

SIDES = torch.tensor([(0, 1), (1, 0), (0, -1), (-1, 0)])


def places() -> Level:
    """Latents are places: column and row."""
    torch.manual_seed(0)
    parts: dict[str, dict[str, Any]] = {
        "conditioning": {"kind": "map", "latent": 2, "hidden": 32, "reach": 1, "judges": True},
        "encoder": {"kind": "identity"},
        "macros": {"kind": "codes", "size": 4, "width": 2, "latent": 2, "hidden": 32},
        "compatibility": {"kind": "contrastive", "seen": 11, "latent": 2, "hidden": 32},
        "dynamics": {"kind": "residual", "seen": 11, "macro": 2, "latent": 2, "hidden": 32},
        "space": {"kind": "vector", "latent": 2, "landmarks": 1},
    }
    level = Level(index=1, parts=parts)
    level.conditioning.where = nn.Identity()
    return level.eval().requires_grad_(False)


def layout(generator: torch.Generator, middle: float = 1.0) -> Tensor:
    """(9, 9) with walls around and some within; one in the middle, if so."""
    walls = torch.ones(9, 9)
    walls[1:-1, 1:-1] = (torch.rand(7, 7, generator=generator) < 0.3).float()
    walls[4, 4] = middle
    return walls


def steps(walls: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """From every free place to all beside it: (K, 2) column and row, where to, and whether there is a wall."""
    rows, columns = torch.nonzero(walls == 0, as_tuple=True)
    start = torch.stack([columns, rows], 1).repeat_interleave(4, 0)
    end = start + SIDES.repeat(len(rows), 1)
    return start.float(), end.float(), walls[end[:, 1], end[:, 0]] > 0


@pytest.mark.training
def test_steps_into_walls_do_not_fit_in_unseen_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conditioning, "STEPS", 200)
    monkeypatch.setattr(conditioning, "BATCH", 256)
    generator = torch.Generator().manual_seed(0)
    images = torch.stack([layout(generator) for _ in range(8)])
    pairs, of = [], []
    for number, walls in enumerate(images):
        start, end, blocked = steps(walls)
        pairs.append(torch.stack([start, end], 1)[~blocked].flatten(0, 1))  # episodes of one step
        of += [number] * (len(pairs[-1]) // 2)
    below = torch.cat(pairs)
    remaining = torch.tensor([1, 0]).repeat(len(below) // 2)
    spec = ObservationSpec("vector", (2,), context=(9, 9), context_frame=(0.0, 0.0, 1.0))
    play = play_of(below, torch.zeros(len(below), 2), remaining, contexts=images[of].byte(), spec=spec)
    level = places()
    new = layout(generator.manual_seed(99), middle=0.0)  # where all others have a wall
    unseen = level.conditioned(new[None])
    start, end, blocked = steps(new)
    assert unseen.obstruction is not None and bool(
        (unseen.obstruction(start, end) < 0).all()
    )  # before it is trained it says nothing
    curves = run_stages(conditioning_stages(level, play, seed=0), Run(0, tmp_path))
    assert list(curves) == ["level1-fits"]
    energy = unseen.obstruction(start, end)
    assert float((energy[blocked] > 0).float().mean()) > 0.95
    assert float((energy[~blocked] <= 0).float().mean()) > 0.9
    into = ~blocked & (end == 4.0).all(1)
    assert bool(into.any()) and bool((energy[into] <= 0).all())
    assert unseen.compatibility is not None and torch.equal(unseen.compatibility(start, end), energy)


def test_there_is_nothing_to_learn_where_no_layout_is_seen(tmp_path: Path) -> None:
    play = play_of(torch.zeros(4, 2), torch.zeros(4, 2), torch.tensor([1, 0, 1, 0]))
    assert run_stages(conditioning_stages(places(), play, seed=0), Run(0, tmp_path)) == {}
