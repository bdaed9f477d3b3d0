"""Has a level collapsed? Measured on its latents, judged by stated bounds, and warned of by name and figure.

A collapsed level predicts well, because there is little left to predict: its losses do not tell.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hplan.objectives.diagnostics import dead, deviation, effective_rank, spectrum
from hplan.types import CollapseWarning, WorldModel

if TYPE_CHECKING:
    from hplan.levels.level import Level

LEAST_RANK = 1 / 4  # of the rank that there could be
MOST_DEAD = 1 / 4  # of the dimensions
LEAST_DEVIATION = 0.05  # of the middle dimension: a cloud that shrinks from all sides at once keeps its rank
LEAST_SENSITIVITY = 0.05  # steps of the level that another macro-action has to move the prediction by
CLOSEST = 0.99  # cosine above which two symbols are one, as far as a predictor can tell
POSSIBLE = 0.01  # macro-actions of less probability are not compared: what never happens may well do nothing
At = Callable[[Tensor], WorldModel]
MACROS, SAMPLE = 8, 256  # macro-actions compared at a latent, the likeliest; latents at which they are


@dataclass(frozen=True)
class Health:
    """rank, of rank_of at most; spectrum and deviation (D,) of each dimension; dead: number of dimensions that hardly
    vary; closest: largest cosine of two symbols, NaN for vectors; sensitivity: see `macro_sensitivity`."""

    rank: float
    rank_of: int
    spectrum: Tensor
    deviation: Tensor
    dead: int
    closest: float
    sensitivity: float

    @property
    def symptoms(self) -> dict[str, str]:
        """What is wrong, in words with the figure, by the name of the figure; empty where nothing is."""
        found = {}
        if self.rank < LEAST_RANK * self.rank_of:
            found["effective_rank"] = f"effective rank {self.rank:.1f} of {self.rank_of}"
        if self.dead > MOST_DEAD * len(self.deviation):
            found["dead"] = f"{self.dead} of {len(self.deviation)} dimensions hardly vary"
        middle = float(self.deviation.median())
        if middle < LEAST_DEVIATION and math.isnan(self.closest):  # codes of symbols are of length one
            found["deviation"] = f"latents shrink to a point (median deviation {middle:.2g})"
        if self.closest > CLOSEST:
            found["closest"] = f"two symbols share a latent (cosine {self.closest:.3f})"
        if self.sensitivity < LEAST_SENSITIVITY:
            found["macro_sensitivity"] = f"macro-actions move the prediction by {self.sensitivity:.2f} of a step"
        return found


@torch.no_grad()
def examine(level: Level, z: Tensor, at: At | None = None) -> Health:
    """The health of a level on latents (N, *z) of play. Of maps, each different cell counts once. `at`: rows of z ->
    the level as it is there, if that depends on where."""
    some_rows = some(torch.arange(len(z)), SAMPLE)
    symbols = level.space.discrete
    rows = level.space.kinds(z) if symbols else z
    frames = getattr(getattr(level, "dynamics", None), "frames", 1)
    rows = rows[:, : rows.shape[1] // frames]  # of a window the newest: the others were so once
    cosines = torch.nn.functional.normalize(rows, dim=1) @ torch.nn.functional.normalize(rows, dim=1).T
    return Health(
        rank=effective_rank(rows),
        rank_of=max(min(len(rows) - 1, rows.shape[1]), 1),
        spectrum=spectrum(rows),
        deviation=deviation(rows),
        dead=int(dead(rows).sum()),
        closest=float(cosines.fill_diagonal_(-1).max()) if symbols and len(rows) > 1 else math.nan,
        sensitivity=macro_sensitivity(at(some_rows) if at else level, z[some_rows]),
    )


@torch.no_grad()
def macro_sensitivity(level: WorldModel, z: Tensor, generator: torch.Generator | None = None) -> float:
    """How far apart, in steps of the level, its predictions under different macro-actions at one latent (B, *z) are.

    The mean over pairs of the likeliest possible discrete macro-actions, or of random continuous ones, and over
    latents. NaN where no latent has two possible ones.
    """
    count = len(z)
    if level.macro.kind == "continuous":
        generator = generator or torch.Generator().manual_seed(0)
        low, high = torch.tensor(level.macro.low), torch.tensor(level.macro.high)
        macros = low + (high - low) * torch.rand(count, MACROS, level.macro.size, generator=generator)
        possible = torch.ones(count, MACROS, dtype=torch.bool)
    else:
        log_p = level.prior(z)
        likeliest = log_p.topk(min(MACROS, log_p.shape[1]), dim=1)
        macros, possible = likeliest.indices, likeliest.values > math.log(POSSIBLE)
    each = macros.shape[1]
    first, second = torch.combinations(torch.arange(each)).T
    pairs = possible[:, first] & possible[:, second]
    if not bool(pairs.any()):
        return math.nan
    ends = torch.stack([level.predict(z, macros[:, i]) for i in range(each)], 1)
    apart = level.distance(ends[:, first].flatten(0, 1), ends[:, second].flatten(0, 1)).view(count, -1)
    return float(apart[pairs].mean())


def warn_of_collapse(level: WorldModel, health: Health) -> None:
    """`CollapseWarning` with the level, the figures and what to try, if they show a collapse."""
    if symptoms := health.symptoms:
        advice = "Try another objective (--set objective=NAME), more gradient steps, or play in which more happens"
        found = "; ".join(symptoms.values())
        warnings.warn(f"level {level.index} collapsed: {found}. {advice}", CollapseWarning, stacklevel=2)


def some(rows: Tensor, count: int) -> Tensor:
    """About `count` of the rows (N, ...), evenly."""
    return rows[:: max(len(rows) // count, 1)]
