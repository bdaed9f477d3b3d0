"""A level learns how play goes about its hops, by hindsight (`hplan.levels.policy`)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hplan.levels.vector import VectorLevel
from hplan.training.balance import EvenDraws
from hplan.training.fit import Progress, fit
from hplan.training.trained import Curves
from hplan.training.vector import Play

STEPS, BATCH = 2000, 512
RARE = 4.0  # times that a row counts at the most: what play did in rare places is as good as elsewhere, and less sure


def train_policy(
    level: VectorLevel, below: VectorLevel, play: Play, *, seed: int, out: Path, device: str, progress: Progress | None
) -> Curves:
    """Train `level.policy` on frozen latents: the likelihood of what play did at a row, given where it was up to a step
    of the level later. `play` as `level` sees it. Nothing for a level that has none."""
    policy = level.policy
    if policy is None:
        return {}
    stride, name = round(level.stride), f"level{level.index}-policy"
    rows = play.starts(stride)
    even = EvenDraws(rows, play.below[rows], RARE)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at = even(BATCH, generator)
        end = at + torch.randint(1, stride + 1, (BATCH,), generator=generator)
        taken = (play.actions[at] - below.middle) / below.reach
        mean, deviation = policy(play.at(at, level), play.below[at], level.encode(play.below[end]))
        off = (taken - mean).square()
        value = (off / deviation.square() / 2 + deviation.log()).mean()
        return value, {"action": off.detach().mean()}

    policy.requires_grad_(True)
    curve = fit(policy, loss, name=name, steps=STEPS, seed=seed, out=out, lr=2e-3, device=device, progress=progress)
    policy.requires_grad_(False)
    return {name: curve}
