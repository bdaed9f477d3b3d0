"""Which steps there can be in a layout is learned as a rule about walls, and holds in layouts that were never seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hplan.play.layouts import Layouts
from torch import Tensor, nn

from hplan.levels.level import Level
from hplan.training import fits
from hplan.training.vectors import Play

SIDES = torch.tensor([(0, 1), (1, 0), (0, -1), (-1, 0)])


class Places(Level):
    """Latents are places: column and row."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(index=1, inputs=2, macros=4, stride=1, latent=2, hidden=32, window=2, view=1)
        assert self.sight is not None
        self.sight.where = nn.Identity()

    def encode(self, below: Tensor) -> Tensor:
        return below


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
    monkeypatch.setattr(fits, "STEPS", 200)
    monkeypatch.setattr(fits, "BATCH", 256)
    generator = torch.Generator().manual_seed(0)
    images = torch.stack([layout(generator) for _ in range(8)])
    pairs, of = [], []
    for number, walls in enumerate(images):
        start, end, blocked = steps(walls)
        pairs.append(torch.stack([start, end], 1)[~blocked].flatten(0, 1))  # episodes of one step
        of += [number] * len(pairs[-1])
    below = torch.cat(pairs)
    remaining = torch.tensor([1, 0]).repeat(len(below) // 2)
    play = Play(below, torch.zeros(len(below), 2), remaining, Layouts(images, torch.tensor(of), below))
    level = Places().eval().requires_grad_(False)
    new = layout(generator.manual_seed(99), middle=0.0)  # where all others have a wall
    unseen = level.given(new[None])
    start, end, blocked = steps(new)
    assert bool((unseen.misfit(start, end) < 0).all())  # before it is trained it says nothing
    curves = train_fits(level, play, seed=0, out=tmp_path, device="cpu", progress=None)
    assert list(curves) == ["level1-fits"]
    energy = unseen.misfit(start, end)
    assert float((energy[blocked] > 0).float().mean()) > 0.95
    assert float((energy[~blocked] <= 0).float().mean()) > 0.9
    into = ~blocked & (end == 4.0).all(1)
    assert bool(into.any()) and bool((energy[into] <= 0).all())
    assert torch.equal(unseen.compatibility(start, end), energy)


def test_there_is_nothing_to_learn_where_no_layout_is_seen(tmp_path: Path) -> None:
    play = Play(torch.zeros(4, 2), torch.zeros(4, 2), torch.tensor([1, 0, 1, 0]))
    assert train_fits(Places(), play, seed=0, out=tmp_path, device="cpu", progress=None) == {}
