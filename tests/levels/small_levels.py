"""Untrained levels and stacks over vocabularies that are small enough to know by heart."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from hplan.codec import Codec
from hplan.levels.calibration import Calibration
from hplan.levels.level import Level
from hplan.levels.stack import Stack
from hplan.training.vectors import base_level, level_above
from hplan.types import ActionSpec, ObservationSpec

CELLS = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [2, 1]])  # a kind of 3, a colour of 2
GRID = ObservationSpec("symbols", (4, 5, 2), (3, 2))
MOVES = ActionSpec("discrete", 3, names=("left", "right", "toggle"))
MERGE = torch.tensor([0, 0, 1, 1, 2, 2])  # the symbols that level 1 tells apart
EDITS = torch.tensor([[0, 1], [1, 0], [1, 2]])  # the events that level 1 knows; nothing begins with symbol 2
PLANE = ObservationSpec("vector", (2,))
PUSH = ActionSpec("continuous", 2, low=(-2.0, -1.0), high=(2.0, 1.0))
SIZES = {"channels": 8, "hidden": 16}


def cells_level(
    seed: int = 0,
    cells: torch.Tensor = CELLS,
    cardinalities: tuple[int, ...] = GRID.cardinalities,
    moves: ActionSpec = MOVES,
    wild: bool = True,
    window: int = 0,
) -> Level:
    """Level 0 over these cells, untrained. `wild`: its dynamics makes something of every action. `window`: cells around
    a mover that it sees alone, 0 for all of the map."""
    torch.manual_seed(seed)
    vocabulary, actions = len(cells), moves.size
    parts: dict[str, dict[str, Any]] = {
        "prior": {"kind": "affordance", "channels": 8, "hidden": 5, "macros": actions},
        "encoder": {
            "kind": "cells",
            "inputs": (len(cardinalities),),
            "latent": 8,
            "cardinalities": cardinalities,
            "vocabulary": vocabulary,
        },
        "dynamics": {"kind": "local-window", "macros": actions, "radius": window, **SIZES}
        if window
        else {"kind": "local-convolution", "macros": actions, "pointed": False, **SIZES},
        "success": {"kind": "map", "channels": 8, "hidden": 8},
        "space": {"kind": "discrete-map", "vocabulary": vocabulary, "channels": 8},
        "macros": {"kind": "actions", "action": "discrete", "size": actions, "names": moves.names},
        "uncertainty": {"kind": "outcomes"},
    }
    level = Level(index=0, parts=parts)
    level.encoder.cells.copy_(cells)
    if wild:
        nn.init.normal_(level.dynamics.change.weight, std=2.0)  # it starts as "nothing changes"
    level.space.set_codes(*level.encoder.codes())
    return level.eval().requires_grad_(False)


def events_level(below: Level) -> Level:
    """Level 1 over MERGE and EDITS."""
    torch.manual_seed(1)
    types, vocabulary = len(EDITS), 3
    parts: dict[str, dict[str, Any]] = {
        "encoder": {"kind": "slow-symbols", "vocabulary": len(below.space.symbols)},
        "prior": {"kind": "event", "types": types, "channels": 3, "hidden": 16},
        "dynamics": {
            "kind": "local-convolution",
            "macros": types,
            "pointed": True,
            "channels": 3,
            "hidden": 16,
        },
        "success": {"kind": "map", "channels": 3, "hidden": 8},
        "space": {"kind": "discrete-map", "vocabulary": vocabulary, "channels": 3},
        "macros": {"kind": "events", "types": types},
    }
    level = Level(index=1, stride=6.5, parts=parts)
    level.encoder.table.copy_(MERGE)
    level.space.set_codes(torch.eye(3))
    level.macros.edits.copy_(EDITS)
    return level.eval().requires_grad_(False)


def map_stack(task: str = "toy/Grid") -> Stack:
    base, high = cells_level(), np.broadcast_to(np.array([2, 1]), GRID.shape).astype(np.uint8)
    codec = Codec.of(
        spaces.Box(np.zeros_like(high), high, dtype=np.uint8), spaces.Discrete(3), task, action_names=MOVES.names
    )
    upper = events_level(base)
    upper.success_head = None
    return _stack(task, codec, (base, upper))


def vector_stack() -> Stack:
    torch.manual_seed(0)
    low, high = np.array(PUSH.low, np.float32), np.array(PUSH.high, np.float32)
    codec = Codec.of(spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(low, high), "toy/Plane")
    base = base_level(PLANE, PUSH, latent=6, hidden=16)
    upper = level_above(base, stride=4, codes=8, latent=6)
    upper.success_head = None
    return _stack("toy/Plane", codec, (base.eval(), upper.eval()))


def _stack(task: str, codec: Codec, levels: tuple[Level, ...]) -> Stack:
    return Stack(
        task=task,
        codec=codec,
        levels=levels,
        calibration=(Calibration(np.full((2, 99), 0.5, np.float32)), Calibration(np.zeros((1, 0), np.float32))),
        tolerance=(0.0, 1.0),
        success_rule="terminated",
        train={"env_steps": 10, "device": "cpu"},
        versions={"hplan": "0"},
    )
