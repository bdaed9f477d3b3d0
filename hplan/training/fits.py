"""A level above 0 learns which steps there can be in a layout that it sees: of play, against the same in other layouts.

Layouts share places and not ways, so what tells the two apart is where there are walls, and it is told by what is seen
around both ends of a step: in every layout, as in unseen ones, by the same rule.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.levels.vector import VectorLevel
from hplan.training.fit import Progress, fit
from hplan.training.trained import Curves
from hplan.training.vector import SAMPLE, Play

STEPS, BATCH = 1000, 1024


def train_fits(
    level: VectorLevel, play: Play, *, seed: int, out: Path, device: str, progress: Progress | None
) -> Curves:
    """Train `level.fits` on frozen latents, and take its threshold. Nothing where no layout is seen, nor for level 0,
    which knows where play has been."""
    layouts = play.layouts
    if layouts is None or not level.judges_steps:
        return {}
    stride, name = round(level.stride), f"level{level.index}-fits"
    rows, count = play.starts(stride), len(layouts.images)

    def some(many: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, their latents and those after a part of a step: what is near has to fit as well."""
        at = rows[torch.randint(len(rows), (many,), generator=generator)]
        end = at + torch.randint(1, stride + 1, (many,), generator=generator)
        with torch.no_grad():
            return at, level.encode(play.below[at]), level.encode(play.below[end])

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at, z, following = some(BATCH, generator)
        other = (layouts.of[at] + torch.randint(1, count, (BATCH,), generator=generator)) % count
        real = -play.at(at, level).logits(z, following)
        unreal = level.given(layouts.images, other).logits(z, following)
        value = F.softplus(real).mean() + F.softplus(unreal).mean()
        return value, {"fits": value.detach()}

    level.fits.requires_grad_(True)
    curve = fit(level.fits, loss, name=name, steps=STEPS, seed=seed, out=out, lr=3e-3, device=device, progress=progress)
    level.fits.requires_grad_(False)
    at, z, following = some(SAMPLE, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        level.fit_threshold.copy_((-play.at(at, level).logits(z, following)).quantile(0.99))
    return {name: curve}
