"""One episode of an agent: the stack in its layout, its controller, and what was seen."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from hplan.control.controller import Controller
from hplan.levels.stack import Stack
from hplan.planning.constraints import Guard
from hplan.types import SymbolWarning, UsageError


class Session:
    """`seen`: observations in canonical form, the newest first, as many as level 0 looks at. `asks`: what they ask for,
    where the agent goes by it (`hplan.goals.follows`). `told`: what was strange in them, which is warned of once."""

    def __init__(self, here: Stack, controller: Controller, seen: tuple[np.ndarray, ...] = ()) -> None:
        self.here, self.controller, self.seen = here, controller, seen
        self.asks: np.ndarray | None = None
        self.told = set[object]()

    def act(self, observation: np.ndarray) -> tuple[tuple[Tensor, ...], Tensor]:
        """An observation in canonical form -> its latents, and the action."""
        self.seen = (observation, *self.seen)[: self.here.history]
        latents = self.here.encode(self.seen[0], self.seen[1:])
        encoder = getattr(self.here.levels[0], "encoder", None)  # a level of one's own need not have one
        for what, text in getattr(encoder, "strange", {}).items():
            if what not in self.told:
                self.told.add(what)
                warnings.warn(text, SymbolWarning, stacklevel=4)
        guard = self.controller.guard
        if not self.controller.execution.step and (rules := broken(guard, self.here, *self.seen)):
            named = ", ".join(f"number {i + 1}" for i in rules)
            raise UsageError(
                f"constraints: {named} of those given forbids the observation that the episode begins with: begin "
                "elsewhere, or leave it out"
            )
        return latents, self.controller.act(latents)


@torch.inference_mode()
def broken(guard: Guard, here: Stack, observation: np.ndarray, *before: np.ndarray) -> tuple[int, ...]:
    """Which of the given constraints an observation breaks, after those `before` it, the newest first."""
    if not guard.given:
        return ()
    seen = here.together(observation[None], [one[None] for one in before])
    return guard.broken(seen, here.levels[0].encode(seen))
