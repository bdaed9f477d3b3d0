"""The success energy of a level: a classifier of latents that play was rewarded in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.training.fit import Progress, fit
from hplan.training.trained import Curves

STEPS, BATCH = 600, 128


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
    """Train `level.success`, (B, *z) -> (B,) logits, on frozen latents; half of each batch was rewarded.

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
    curve = fit(
        level.success,
        classification,
        name=name,
        steps=STEPS,
        seed=seed,
        out=out,
        lr=1e-2,
        device=device,
        progress=progress,
    )
    return {name: curve}
