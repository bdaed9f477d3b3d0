"""What surprise the levels meet on held-out play, by look-ahead: what their thresholds are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from hplan.levels.calibration import AHEAD, Calibration, surprise
from hplan.levels.stack import TrainedLevel
from hplan.play.play import Play
from hplan.play.steps import Steps, encode_rows, steps_of

CHECKED, FEW = 2000, 300  # windows of steps that are looked at; a look-ahead with fewer than a few has no row


@torch.inference_mode()
def calibrate_stack(levels: Sequence[TrainedLevel], held: Play, seed: int) -> tuple[Calibration, ...]:
    """One for every level, the finest first, from episodes that none was trained on."""
    found, rows = [], held.observations.__getitem__
    for level in levels:
        rows = encode_rows(level, rows, len(held))
        found.append(Calibration(surprises(steps_of(level, rows, held), seed)))
    return tuple(found)


@torch.inference_mode()
def surprises(steps: Steps, seed: int) -> np.ndarray:
    """What the controller watches, (H, n) float16: row h - 1 after an open-loop prediction of h steps.

    How far play is from what was predicted. Where a step takes its time (latents that change by and by, above level 0)
    the last of the steps is looked at in a random moment, and play may also still be near where that step began.
    """
    level, generator = steps.level, torch.Generator().manual_seed(seed)
    gradual = level.index > 0 and not level.exact
    ahead = max((h for h in range(1, AHEAD + 1) if int((steps.follows >= h).sum()) >= FEW), default=1)
    at = torch.nonzero(steps.follows >= ahead)[:, 0]
    at = at[torch.randperm(len(at), generator=generator)[:CHECKED]]
    if not len(at):
        return np.zeros((1, 0), np.float16)
    return np.concatenate([_errors_ahead(steps, part, ahead, gradual, generator) for part in at.split(256)], 1)


def _errors_ahead(steps: Steps, at: torch.Tensor, ahead: int, gradual: bool, generator: torch.Generator) -> np.ndarray:
    level, found = steps.at(steps.begin[at]), []
    start = predicted = steps.latents(steps.begin[at])
    expected = torch.zeros(len(at))
    for _ in range(ahead):
        end, macros = steps.latents(steps.end[at]), steps.macros[at]
        expected = expected + level.uncertainty(predicted, macros)
        predicted = level.predict(predicted, macros)
        error = level.distance(predicted, end)
        if gradual:
            moment = steps.begin[at] + torch.randint(1, round(level.stride) + 1, (len(at),), generator=generator)
            z = steps.latents(moment)
            error = torch.minimum(level.distance(z, start), level.distance(z, predicted))
        found.append(surprise(error, expected))
        start, at = end, steps.successor[at]
    return torch.stack(found).half().numpy()  # as agents keep them
