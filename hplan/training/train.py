"""The one recipe of training: take the next level, run its stages, turn play into its latents, stop where one more is
not worth it; then measure the surprise that every level meets on play that none was trained on.

How levels are cut out of play is an `Abstraction`: events at gaps between time scales (`hplan.training.events`),
strides with codes (`hplan.training.strides`), or one of the user's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

import torch
from pydantic import Field

from hplan.levels.calibration import Calibration
from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.levels.level import Level
from hplan.levels.stage import Curve, Stages
from hplan.play.play import Play
from hplan.reading import Reading
from hplan.training.calibrate import calibrate_stack
from hplan.training.fit import Run, fit
from hplan.validation import Count, Integer

Ratio = Literal[0] | Annotated[Integer, Field(ge=2, le=1_000_000)]  # of two levels; no play is as long as the largest
History = Literal["auto"] | Count
HELD_OUT = 0.15  # of the layouts are kept for calibration: moments of one are alike, so it takes many for a threshold


class Abstraction(Protocol):
    """What a step of the next level is, how it is learned, and how many levels are worth it. Made for one training.

    settings: a `Settings`, the frozen dataclass of a class attribute. play, held: to learn from and to check on, apart
    by layout. count: levels that are wanted, None for as many as are worth it.
    """

    facts: dict[str, Any]
    """What decided the levels, for people."""

    history: int
    """Observations that level 0 sees at once: the last one, and those before it."""

    beginning: bool
    """Whether levels see their layout in the first observation of the episode."""

    edges: Mapping[int, LandmarkEdges]
    """Landmark graphs, of the levels that have landmarks to plan on."""

    held: Play
    """As it was given; `remaining` may end windows earlier, where chance decided what came next."""

    def __init__(self, settings: Any, play: Play, held: Play, *, count: int | None, seed: int) -> None: ...

    def prepare(self, stack: tuple[Level, ...]) -> Stages:
        """What has to be learned before the next level above `stack` can be drafted."""
        ...

    def draft(self, stack: tuple[Level, ...]) -> Level | None:
        """The next level, untrained; None where one more is not worth it."""
        ...

    def stages(self, level: Level, stack: tuple[Level, ...]) -> Stages:
        """What a drafted level learns, in order."""
        ...

    def finish(self, level: Level) -> bool:
        """Whether a trained level is kept; where it is not, it is the last one."""
        ...

    def tolerance(self, level: Level) -> float:
        """Steps of the level within which a goal observation counts as reached."""
        ...


@dataclass(frozen=True)
class Trained:
    """What training hands on. One entry per level in every tuple, as in `hplan.levels.stack.Stack`; curves by stage, of
    the levels that were kept."""

    levels: tuple[Level, ...]
    calibration: tuple[Calibration, ...]
    tolerance: tuple[float, ...]
    curves: Mapping[str, Curve]
    facts: Mapping[str, Any] = field(default_factory=dict)
    edges: Mapping[int, LandmarkEdges] = field(default_factory=dict)
    history: int = 1
    beginning: bool = False
    reading: Reading | None = None
    asking: tuple[int, ...] = ()


def train_stack(abstraction: Abstraction, run: Run) -> Trained:
    """Train levels bottom up, each frozen before the next one begins, and calibrate them."""
    stack: tuple[Level, ...] = ()
    curves: dict[str, Curve] = {}
    torch.manual_seed(run.seed)
    while True:
        curves |= run_stages(abstraction.prepare(stack), run)
        level = abstraction.draft(stack)
        if level is None:
            break
        learned = run_stages(abstraction.stages(level, stack), run)
        if not abstraction.finish(level):
            break
        curves |= learned
        stack = (*stack, level.eval().requires_grad_(False))
    return Trained(
        levels=stack,
        calibration=calibrate_stack(stack, abstraction.held, run.seed),
        tolerance=tuple(abstraction.tolerance(level) for level in stack),
        curves=curves,
        facts=abstraction.facts,
        edges=abstraction.edges,
        history=abstraction.history,
        beginning=abstraction.beginning,
    )


def run_stages(stages: Stages, run: Run) -> dict[str, Curve]:
    """Train stages in order; each is told its learning curve. Returns the curves by name."""
    curves: dict[str, Curve] = {}
    curve: Curve | None = None
    while True:
        try:
            stage = stages.send(curve)  # type: ignore[arg-type]  # a generator begins with None
        except StopIteration:
            return curves
        if stage.name in curves:
            raise ValueError(f"two stages are called {stage.name}: the second would go on with the first one's weights")
        curve = curves[stage.name] = fit(stage, run)
