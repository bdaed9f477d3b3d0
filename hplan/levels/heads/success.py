"""The success energy of a level: a classifier of latents that play was rewarded in, (B, *z) -> (B,) logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.stage import Stage, Stages, stage_seed

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

STEPS, BATCH = 600, 128
TOLD = 0.1  # loss at the end, above which a classifier may have begun badly
BEGINNINGS = 4  # at the most, of which the best is kept
LATEST = 5  # points of a curve that tell the loss at its end


class VectorSuccess(nn.Module):
    """Of a vector: a small network."""

    def __init__(self, *, latent: int, hidden: int = 64) -> None:
        super().__init__()
        self.network = nn.Sequential(mlp(latent, hidden, 1), nn.Flatten(0))

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return self.network(z)


class MapSuccess(nn.Module):
    """Of a map: the log-sum-exp over cells, so that one cell can say so.

    Cells speak for themselves alone: with their neighbours in view, a few dozen rewards of play are learned by heart.
    """

    def __init__(self, *, channels: int, hidden: int = 24) -> None:
        super().__init__()
        self.cell = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1))
        self.bias = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Of its own; those of its parts are theirs."""
        nn.init.constant_(self.bias, -3.0)

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return self.cell(level.space.embed(z).movedim(-1, 1)).flatten(1).logsumexp(-1) + self.bias


def success_rows(play: Play) -> Tensor:
    """(N,) bool: the rows that a rewarded step ended in."""
    found = torch.zeros(len(play), dtype=torch.bool)
    found[play.outcomes()[0]] = True
    return found


def success_stages(level: Level, latents: Callable[[Tensor], Tensor], success: Tensor, seed: int) -> Stages:
    """Train the level's success head on frozen latents; half of each batch was rewarded. Where it does not tell the two
    halves apart, it begins again from other parameters, a few times.

    latents(rows) gives those of rows of play; success (N,) bool tells which rows a rewarded step ended in. Without any
    there is nothing to learn, and no stage: the level has no such head.
    """
    positive, negative = (torch.nonzero(rows)[:, 0] for rows in (success, ~success))
    head = level.success_head
    if not len(positive) or head is None:
        level.success_head = None
        return
    name = f"level{level.index}-success"

    def classification(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = torch.cat(
            [part[torch.randint(len(part), (BATCH // 2,), generator=generator)] for part in (positive, negative)]
        )
        logits, rewarded = head(level, latents(rows)), success[rows]
        loss = F.binary_cross_entropy_with_logits(logits, rewarded.float())
        return loss, {"accuracy": ((logits > 0) == rewarded).float().mean()}

    head.requires_grad_(True)
    found: list[tuple[float, dict[str, Tensor]]] = []
    for beginning in range(BEGINNINGS):
        stage = f"{name}-{beginning + 1}" if beginning else name
        if beginning:
            _begin_again(head, stage_seed(seed, stage, 0))
        curve = yield Stage(stage, head, classification, STEPS, lr=1e-2)
        loss = sum(point["loss"] for point in curve[-LATEST:]) / LATEST
        found.append((loss, {key: value.clone() for key, value in head.state_dict().items()}))
        if loss <= TOLD:
            break
    head.load_state_dict(min(found, key=lambda each: each[0])[1])
    head.requires_grad_(False)


def _begin_again(head: nn.Module, seed: int) -> None:
    """Other parameters, as if it had just been made."""
    torch.manual_seed(seed)
    for part in head.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
