"""What is as real steps are, in two worlds that are small enough to know: a diagonal, and a ring."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hplan.levels.heads.compatibility import Contrastive, InDistribution
from hplan.levels.level import Level

AROUND = torch.arange(12) * torch.pi / 6
RING = torch.stack([AROUND.cos(), AROUND.sin()], 1)  # twelve places; a step leads to the next one


def learned(head: nn.Module, loss: Callable[[Level, torch.Generator], Tensor]) -> Level:
    """A level whose latents are the two numbers that are seen, with this head trained."""
    level = Level(index=1, parts={"encoder": {"kind": "identity"}, "space": {"kind": "vector", "latent": 2}})
    level.compatibility_head = head
    optimizer, generator = torch.optim.Adam(head.parameters(), lr=1e-2), torch.Generator().manual_seed(0)
    for _ in range(200):
        optimizer.zero_grad()
        loss(level, generator).backward()
        optimizer.step()
    return level.eval().requires_grad_(False)


def test_where_play_has_been_is_told_by_which_features_go_together() -> None:
    """Each number alone is anything between -1 and 1, and in play the two were always equal."""
    torch.manual_seed(0)
    head = InDistribution(seen=2, hidden=32)

    def loss(level: Level, generator: torch.Generator) -> Tensor:
        z = (2 * torch.rand(256, 1, generator=generator) - 1).expand(-1, 2)
        return head.loss(level, z, z, generator)

    level = learned(head, loss)
    on = torch.tensor([[-0.8, -0.8], [0.0, 0.0], [0.7, 0.7]])
    off = torch.tensor([[-0.8, 0.8], [0.6, -0.4], [0.9, 0.0]])
    assert level.compatibility is not None
    assert float(level.compatibility(off, on).max()) < float(level.compatibility(on, off).min()), "the second is judged"
    before = level.compatibility(on, on)
    head.threshold.fill_(0.5)
    assert torch.allclose(level.compatibility(on, on), before - 0.5)


def test_what_follows_is_told_from_all_else_in_the_batch() -> None:
    torch.manual_seed(0)
    head = Contrastive(seen=2, latent=2, hidden=32)
    level = learned(head, lambda level, generator: head.loss(level, RING, RING.roll(-1, 0)))
    assert level.compatibility is not None
    energies = level.compatibility(RING.repeat_interleave(12, 0), RING.repeat(12, 1)).view(12, 12)
    assert energies.argmin(1).tolist() == [(place + 1) % 12 for place in range(12)]
