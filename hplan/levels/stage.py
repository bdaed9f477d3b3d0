"""What training consists of, as data: a stage is one module, the loss that it minimises, and for how long."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Loss = Callable[[int, torch.Generator], tuple[Tensor, dict[str, Tensor]]]
"""(step, generator) -> the value to minimise, and figures to show. All that is random comes from the generator."""

Curve = list[dict[str, float]]
"""Points of a learning curve: step, loss and its parts."""


@dataclass(frozen=True)
class Stage:
    """`name` is unique in a run: it names the snapshot and seeds the batches. `steps` of the optimiser, at rate
    `lr`."""

    name: str
    module: nn.Module
    loss: Loss
    steps: int
    lr: float = 1e-3


Stages = Generator[Stage, Curve, None]
"""Stages in order. Each is trained before the next one is asked for; its learning curve is the value of `yield`."""


def stage_seed(seed: int, name: str, step: int = 0) -> int:
    """A seed of its own for every (seed, stage, step): no stream of random numbers is shared or has to be saved."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}/{step}".encode()).digest()[:7], "little")


def begin_again(module: nn.Module) -> None:
    """Other parameters, as if it had just been made, by torch's global generator."""
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
