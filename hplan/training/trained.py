"""What training hands on, whatever the kind of latent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field

from hplan.levels.calibration import Calibration
from hplan.levels.landmark_edges import LandmarkEdges
from hplan.levels.stack import TrainedLevel

Curves = dict[str, list[dict[str, float]]]  # stage -> points of its learning curve: step, loss and its parts
Ratio = Literal[0] | Annotated[int, Field(ge=2, le=1_000_000)]  # of two levels; no play is as long as the largest


@dataclass(frozen=True)
class Trained:
    """One entry per level in every tuple, as in `hplan.levels.stack.Stack`."""

    levels: tuple[TrainedLevel, ...]
    calibration: tuple[Calibration, ...]
    tolerance: tuple[float, ...]
    succeeds: tuple[bool, ...]
    curves: Curves
    facts: dict[str, Any] = field(default_factory=dict)  # what decided the levels, for people
    edges: Mapping[int, LandmarkEdges] = field(default_factory=dict)  # of the levels that have landmarks to plan on
