"""How an eye learns: from play, by an objective with a name (`hplan.training.eyes`), before any level does."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import torch
from torch import nn

from hplan.levels.pixels import at_once
from hplan.levels.stage import Loss, Stage, Stages, begin_again
from hplan.parts import find
from hplan.play.play import Play
from hplan.types import CollapseWarning

RATE = 3e-3  # of learning
AGAIN = 2  # times at the most that an eye learns for as long again which has not found what it was asked for


class EyeObjective(Protocol):
    """A `torch.nn.Module` that holds an eye and what is learned beside it and thrown away, found by name in
    `hplan.parts`. Where it may miss what it asks for, `found` (curve) says whether it did not, and `begun` (curve)
    whether it is on the way. Where not every eye will do, `check` (eye), a static method, raises UsageError for another
    one, before anything is played."""

    actions: bool
    """Whether it asks what was done: of play that has labels in part, it is then given what has them."""

    loss: Loss | None
    """Of a step of training; None where nothing is learned."""

    def __init__(self, eye: Any, play: Play, *, features: int, steps: int) -> None:
        """An eye that makes `features` numbers of a frame, and learns for so many steps."""
        ...


def eye_stages(
    eye: Any, play: Play, features: int, steps: int, objective: str = "inverse", *, again: int = AGAIN
) -> Stages:
    """Train an eye, which makes `features` numbers of a frame, on play, then freeze it. One that has nothing to learn
    stays as it is. One that has not found what its objective asks for learns for as long again, `again` times at the
    most: from where it is, or from other weights where it has not even begun to. It warns (`CollapseWarning`) where
    that does not help. Raises UsageError for an unknown objective, or one that this eye cannot be trained by."""
    eye.eval()
    if not any(parameter.requires_grad for parameter in eye.parameters()):
        return
    if hasattr(eye, "measure"):
        some = torch.linspace(0, len(play) - 1, min(len(play), at_once(play.observations))).long()
        eye.measure(play.observations[some])
    module = find("eye_objective", objective)(eye, play, features=features, steps=steps)
    if module.loss is not None:
        curve = yield Stage("eye", module, module.loss, steps, lr=RATE)
        found, begun = (getattr(module, name, lambda curve: True) for name in ("found", "begun"))
        time = 0
        while not found(curve) and time < again:
            time += 1
            if not begun(curve):
                begin_again(module)
            curve = yield Stage(f"eye-again-{time}", module, module.loss, steps, lr=RATE)
        if not found(curve):
            warnings.warn(
                f"the eye has not found by {objective!r} what actions do, in {(again + 1) * steps:,} steps: levels on "
                "top of it may be of no use; let it learn longer (--set eye_steps=N), try another encoder (--encoder), "
                "or look whether images show what actions do",
                CollapseWarning,
                stacklevel=2,
            )
    eye.requires_grad_(False).eval()


@torch.no_grad()
def seen(eye: nn.Module, play: Play) -> Play:
    """The same play as levels see it: what the eye makes of every frame."""
    return play.with_latents(torch.cat([eye(part) for part in play.observations.split(at_once(play.observations))]))
