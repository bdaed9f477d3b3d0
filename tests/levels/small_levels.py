"""Untrained levels and stacks over vocabularies that are small enough to know by heart."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from hplan.codec import Codec
from hplan.levels.calibration import Calibration
from hplan.levels.spatial import SpatialLevel
from hplan.levels.stack import Stack, TrainedLevel
from hplan.training.vector import base_level, level_above

CELLS = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [2, 1]])  # a kind of 3, a colour of 2
HIGHEST = np.broadcast_to(np.array([2, 1], np.uint8), (4, 5, 2))
GRID_WORLD = Codec.of(
    spaces.Box(np.uint8(0), HIGHEST, dtype=np.uint8),
    spaces.Discrete(3),
    "toy/Grid",
    action_names=("left", "right", "toggle"),
)
GRID, MOVES = GRID_WORLD.observation_spec, GRID_WORLD.action_spec
MERGE = torch.tensor([0, 0, 1, 1, 2, 2])  # the symbols that level 1 tells apart
EDITS = torch.tensor([[0, 1], [1, 0], [1, 2]])  # the events that level 1 knows; nothing begins with symbol 2
FARTHEST = np.array([2.0, 1.0], np.float32)
PLANE_WORLD = Codec.of(spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-FARTHEST, FARTHEST), "toy/Plane")
PLANE, PUSH = PLANE_WORLD.observation_spec, PLANE_WORLD.action_spec


def cells_level(seed: int = 0) -> SpatialLevel:
    """Level 0 over CELLS, whose predictor makes something of every action."""
    torch.manual_seed(seed)
    level = SpatialLevel(
        index=0,
        vocabulary=len(CELLS),
        macros=3,
        channels=8,
        hidden=16,
        cardinalities=GRID.cardinalities,
        macro_names=MOVES.names,
    )
    level.cells.copy_(CELLS)
    nn.init.normal_(level.predictor.change.weight, std=2.0)  # it starts as "nothing changes"
    level.freeze()
    return level.eval()


def events_level(below: SpatialLevel) -> SpatialLevel:
    """Level 1 over MERGE and EDITS, whose encoder tells exactly the symbols of MERGE apart."""
    torch.manual_seed(1)
    level = SpatialLevel(
        index=1,
        vocabulary=3,
        macros=len(EDITS),
        channels=3,
        hidden=16,
        below=(len(CELLS), below.channels),
    )
    level.inputs.copy_(below.codes)
    level.codes.copy_(torch.eye(3))
    with torch.no_grad():
        level.embed.mix.copy_(torch.linalg.pinv(level.embed.features(below.codes)) @ level.codes[MERGE])
    level.edits.copy_(EDITS)
    level.stride_.fill_(6.5)
    level.freeze()
    return level.eval()


def spatial_stack(task: str = "toy/Grid") -> Stack:
    base = cells_level()
    return _stack(task, GRID_WORLD, (base, events_level(base)))


def vector_stack() -> Stack:
    torch.manual_seed(0)
    base = base_level(PLANE, PUSH, latent=6, hidden=16)
    return _stack("toy/Plane", PLANE_WORLD, (base.eval(), level_above(base, stride=4, codes=8, latent=6).eval()))


def _stack(task: str, codec: Codec, levels: tuple[TrainedLevel, ...]) -> Stack:
    return Stack(
        task=task,
        codec=codec,
        levels=levels,
        calibration=(Calibration(np.full((2, 99), 0.5, np.float32)), Calibration(np.zeros((1, 0), np.float32))),
        tolerance=(0.0, 1.0),
        succeeds=(True, False),
        success_rule="terminated",
        train={"env_steps": 10, "device": "cpu"},
        versions={"hplan": "0"},
    )
