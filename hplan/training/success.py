"""The success energy of a level: a classifier of latents that play was rewarded in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.training.fit import Progress, fit, stage_seed
from hplan.training.trained import Curves

STEPS, BATCH = 600, 128
TOLD = 0.1  # loss at the end, above which a classifier may have begun badly
BEGINNINGS = 4  # at the most, of which the best is kept
LATEST = 5  # points of a curve that tell the loss at its end


def train_success(
    level: Any,
    latents: Callable[[Tensor], Tensor],
    success: Tensor,
    *,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
) -> Curves:
    """Train `level.success`, (B, *z) -> (B,) logits, on frozen latents; half of each batch was rewarded. Where it does
    not tell the two halves apart, it begins again from other parameters, a few times.

    latents(rows) gives those of rows of play; success (N,) tells which rows a rewarded step ended in. Without any there
    is nothing to learn, and no curve.
    """
    positive, negative = torch.nonzero(success)[:, 0], torch.nonzero(~success)[:, 0]
    if not len(positive):
        return {}
    name = f"level{level.index}-success"

    def classification(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = torch.cat(
            [part[torch.randint(len(part), (BATCH // 2,), generator=generator)] for part in (positive, negative)]
        )
        logits = level.success(latents(rows))
        loss = F.binary_cross_entropy_with_logits(logits, success[rows].float())
        return loss, {"accuracy": ((logits > 0) == success[rows]).float().mean()}

    level.success.requires_grad_(True)
    curves: Curves = {}
    found: list[tuple[float, dict[str, Tensor]]] = []
    for beginning in range(BEGINNINGS):
        stage = f"{name}-{beginning + 1}" if beginning else name
        if beginning:
            _begin_again(level.success, stage_seed(seed, stage, 0))
        curves[stage] = curve = fit(
            level.success,
            classification,
            name=stage,
            steps=STEPS,
            seed=seed,
            out=out,
            lr=1e-2,
            device=device,
            progress=progress,
        )
        loss = sum(point["loss"] for point in curve[-LATEST:]) / LATEST
        found.append((loss, {key: value.clone() for key, value in level.success.state_dict().items()}))
        if loss <= TOLD:
            break
    level.success.load_state_dict(min(found, key=lambda each: each[0])[1])
    return curves


def _begin_again(head: nn.Module, seed: int) -> None:
    """Other parameters, as if it had just been made."""
    torch.manual_seed(seed)
    for part in head.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
