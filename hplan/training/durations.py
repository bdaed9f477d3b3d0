"""How long a step of a level of events takes when it is wanted: found by planning it, since play takes its time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hplan.levels.spatial import SpatialLevel
from hplan.planning.energy import Lifted, NearLatent
from hplan.planning.search import BestFirstSearch
from hplan.training.maps import Events
from hplan.types import Budget

EVENTS = 50  # that are planned, but for those left when all plans together have spent too much
ONE, ALL, HORIZON = 2048, 20_000, 256  # evaluations, and steps ahead


@torch.inference_mode()
def wanted_stride(
    level: SpatialLevel, below: SpatialLevel, symbols_below: Tensor, happened: Events, seed: int
) -> float:
    """Environment steps: the mean over plans of the level below for events that play showed, from where the event
    before had left it. Play's own mean where no plan is found.

    symbols_below (N, H, W) are all of play as the level below sees it.
    """
    planner, lengths, spent = BestFirstSearch(), [], 0
    some = torch.randperm(len(happened.rows), generator=torch.Generator().manual_seed(seed))[:EVENTS]
    for i in some.tolist():
        if spent >= ALL:
            break
        goal = Lifted(level, NearLatent(level, level.decode(happened.after[i][None])[0], 0.0))
        start = below.decode(symbols_below[happened.rows[i] + 1 - int(happened.duration[i])][None])[0]
        result = planner.plan(below, start, goal, budget=Budget(ONE, HORIZON))
        spent += result.evaluations
        lengths += [len(result)] * result.reached
    return float(np.mean(lengths)) * below.stride if lengths else float(happened.duration.mean())
