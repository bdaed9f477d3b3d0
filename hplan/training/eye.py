"""How an eye learns: from play, by an objective with a name (`hplan.training.eyes`), before any level does."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn

from hplan.levels.pixels import AT_ONCE
from hplan.levels.stage import Loss, Stage, Stages
from hplan.parts import find
from hplan.play.play import Play

RATE = 3e-3  # of learning
LOOKED = 2048  # frames that tell what never changes
AGAIN = 2  # times at the most that an eye goes on which has not found what it was asked for


class EyeObjective(Protocol):
    """A `torch.nn.Module` that holds an eye and what is learned beside it and thrown away, found by name in
    `hplan.parts`. Where it may miss what it asks for, `found` (curve) says whether it did not: if so, it goes on."""

    actions: bool
    """Whether it asks what was done: of play that has labels in part, it is then given what has them."""

    loss: Loss | None
    """Of a step of training; None where nothing is learned."""

    def __init__(self, eye: Any, play: Play, *, features: int, steps: int) -> None:
        """An eye that makes `features` numbers of a frame, and learns for so many steps."""
        ...


def eye_stages(eye: Any, play: Play, features: int, steps: int, objective: str = "inverse") -> Stages:
    """Train an eye, which makes `features` numbers of a frame, on play, then freeze it. One that has nothing to learn
    stays as it is. One that has not found what its objective asks for goes on from where it is, for as long again.
    Raises UsageError for an unknown objective, or one that this eye cannot be trained by."""
    if not any(parameter.requires_grad for parameter in eye.parameters()):
        return
    if hasattr(eye, "measure"):
        some = torch.linspace(0, len(play) - 1, min(len(play), LOOKED)).long()
        eye.measure(play.observations[some])
    module = find("eye_objective", objective)(eye, play, features=features, steps=steps)
    if module.loss is not None:
        curve = yield Stage("eye", module, module.loss, steps, lr=RATE)
        found = getattr(module, "found", lambda curve: True)
        for time in range(AGAIN):
            if found(curve):
                break
            curve = yield Stage(f"eye-again-{time + 1}", module, module.loss, steps, lr=RATE)
    eye.requires_grad_(False)


@torch.no_grad()
def seen(eye: nn.Module, play: Play) -> Play:
    """The same play as levels see it: what the eye makes of every frame."""
    return play.with_latents(torch.cat([eye(part) for part in play.observations.split(AT_ONCE)]))
