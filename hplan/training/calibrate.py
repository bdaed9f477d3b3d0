"""What surprise the levels meet on held-out play, by look-ahead: what their thresholds are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hplan.levels.calibration import AHEAD, Calibration, surprise
from hplan.levels.level import Level
from hplan.levels.steps import Steps, latents_of, steps_of
from hplan.play.play import Play
from hplan.types import is_spelled

CHECKED, FEW = 2000, 300  # windows of steps that are looked at; a look-ahead with fewer than a few has no row


@torch.inference_mode()
def calibrate_stack(levels: Sequence[Level], held: Play, seed: int) -> tuple[Calibration, ...]:
    """One for every level, the finest first, from play that none was trained on."""
    found = []
    for level in levels:
        latents = latents_of(level, held)
        found.append(Calibration(surprises(steps_of(level, held, latents), seed)))
        held = held.with_latents(latents)
    return tuple(found)


@torch.inference_mode()
def surprises(steps: Steps, seed: int) -> np.ndarray:
    """What the controller watches, (H, n) float16: row h - 1 after an open-loop prediction of h steps.

    How far play is from what was predicted. Where a step above level 0 takes its time, the last of the steps is looked
    at in a random moment, and play may also still be near where that step began.
    """
    level, generator = steps.level, torch.Generator().manual_seed(seed)
    gradual = level.index > 0 and not level.capabilities.events and not is_spelled(level)
    ahead = max((h for h in range(1, AHEAD + 1) if int((steps.follows >= h).sum()) >= FEW), default=1)
    at = torch.nonzero(steps.follows >= ahead)[:, 0]
    at = at[torch.randperm(len(at), generator=generator)[:CHECKED]]
    if not len(at):
        return np.zeros((1, 0), np.float16)
    return np.concatenate([_errors_ahead(steps, part, ahead, gradual, generator) for part in at.split(256)], 1)


def _errors_ahead(steps: Steps, at: torch.Tensor, ahead: int, gradual: bool, generator: torch.Generator) -> np.ndarray:
    level, found = steps.at(steps.begin[at]), []
    start = predicted = steps.latents[steps.begin[at]]
    expected = torch.zeros(len(at))
    for _ in range(ahead):
        end, macros = steps.latents[steps.end[at]], steps.macros[at]
        expected = expected + level.uncertainty(predicted, macros)
        predicted = level.predict(predicted, macros)
        error = level.distance(predicted, end)
        if gradual:
            moment = steps.begin[at] + torch.randint(1, round(level.stride) + 1, (len(at),), generator=generator)
            z = steps.latents[moment]
            error = torch.minimum(level.distance(z, start), level.distance(z, predicted))
        found.append(surprise(error, expected))
        start, at = end, steps.successor[at]
    return torch.stack(found).half().numpy()  # as agents keep them
