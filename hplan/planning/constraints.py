"""Constraints: energies with a hard threshold that every step of every plan keeps to, while it is searched for.

To every planner they are one `StepCost`, infinite for a step that breaks any. So what is forbidden is never expanded,
sampled or walked along, whoever plans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hplan.levels.calibration import Calibration
from hplan.levels.level import Level
from hplan.levels.readout import Readout, readout_of
from hplan.types import Pairwise, StepCost, UsageError

BETWEEN = 1.1  # times the way of a step: what makes it no longer than that lies between its ends
ERRORS, FEW = 256, 20  # latest errors of predictions that a margin is learned from; below the second, calibration alone


@dataclass
class Margin:
    """Steps of level 0 that plans keep away from what is forbidden: the error that one prediction of level 0 exceeds at
    the nominal rate. Every action is judged anew right before it is taken, so that no more than one error counts.

    At first as calibration on held-out play has it; where an episode is noisier than play was, as it shows (adaptive
    conformal inference; Gibbs and Candès, 2021, arXiv 2106.00170; here by the quantile of the latest errors).
    """

    calibrated: float
    alpha: float
    wanted: bool = True  # False: none is kept
    errors: list[float] = field(default_factory=list)

    def add(self, error: float) -> None:
        self.errors = [*self.errors, error][-ERRORS:]

    @property
    def steps(self) -> float:
        if not self.wanted:
            return 0.0
        if len(self.errors) < FEW:
            return self.calibrated
        return max(self.calibrated, float(torch.tensor(self.errors).quantile(1 - self.alpha)))


@dataclass(frozen=True)
class Learned:
    """What play called a violation, as the level's own head learned it, as `hplan.types.StepCost`."""

    violation: Pairwise

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.where(self.violation(z, following) > 0, torch.inf, 0.0)


@dataclass(frozen=True)
class Given:
    """A caller's constraint at level 0, as `hplan.types.StepCost`: no step ends where it is broken, or may be by an
    error of `margin`. From within, steps that lessen its energy are allowed.

    excess: (N, B, ...) -> (N, B), above 0 where it is broken, of what `readout.around` gives; without a readout of
    latents (B, *z), and no margin is known."""

    excess: Callable[[Tensor], Tensor]
    readout: Readout | None
    margin: Margin

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        after = self.worst(following)
        broken = after > 0
        if bool(broken.any()):
            broken &= ~(after < self.worst(z))
        return torch.where(broken, torch.inf, 0.0)

    def worst(self, z: Tensor, *, exactly: bool = False) -> Tensor:
        """(B, *z) -> (B,): the excess there, and within the margin unless `exactly`."""
        if self.readout is None:
            return self.excess(z)
        return self.excess(self.readout.around(z, 0.0 if exactly else self.margin.steps)).amax(0)


@dataclass(frozen=True)
class Lifted:
    """A caller's constraint seen from a level above over vectors, as `hplan.types.StepCost`: no step ends near or leads
    past `forbidden` (K, *z), real latents that break it. near: steps of the level that count as there."""

    level: Level
    forbidden: Tensor
    near: float

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        unit = self.level.space.unit
        before, after = (torch.cdist(each, self.forbidden) / unit for each in (z, following))
        way = self.level.distance(z, following)[:, None]
        past = (before + after < BETWEEN * way) | (after < self.near)
        past &= before >= self.near  # from within, anything that leads out
        return torch.where(past.any(1), torch.inf, 0.0)


@dataclass(frozen=True)
class Every:
    """Several constraints of one level."""

    costs: tuple[StepCost, ...]

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.stack([cost(z, following) for cost in self.costs]).sum(0)


@dataclass(frozen=True)
class Guard:
    """All constraints of an episode: `costs`, by level, None where nothing is forbidden or nobody can tell."""

    costs: tuple[StepCost | None, ...]
    given: tuple[Given, ...]
    margin: Margin

    def __bool__(self) -> bool:
        return any(cost is not None for cost in self.costs)

    def at(self, k: int) -> StepCost | None:
        return self.costs[k] if k < len(self.costs) else None

    @torch.inference_mode()
    def allows(self, z: Tensor, following: Tensor) -> bool:
        """Whether level 0 may take a step from z (*z) to `following` (*z)."""
        cost = self.at(0)
        return cost is None or bool(cost(z[None], following[None])[0].isfinite())

    @torch.inference_mode()
    def broken(self, z: Tensor) -> tuple[int, ...]:
        """Which of the given constraints a latent (*z) of level 0 breaks, without any margin."""
        return tuple(i for i, each in enumerate(self.given) if float(each.worst(z[None], exactly=True)[0]) > 0)


NOTHING = Guard((), (), Margin(0.0, 0.0))


@torch.inference_mode()
def guard_of(
    levels: Sequence[Level],
    calibration: Sequence[Calibration],
    given: Sequence[Any] = (),
    *,
    learned: bool = True,
    alpha: float,
    keeps_away: bool = True,
    newest: int | None = None,
) -> Guard:
    """given: constraints of a caller, each an energy over level-0 latents (`hplan.types.Energy`), which is kept where
    it is at most its `threshold`; or a function of observations in canonical form, (B, ...) -> (B,), kept where that is
    at most 0 (or False). learned: whether what play called a violation is forbidden too. alpha: nominal rate at which
    errors of predictions exceed the margin; there is none without `keeps_away`. newest: features of an observation,
    where level 0 sees several at once.

    Raises UsageError for what is neither, and where latents cannot be read."""
    bottom = levels[0]
    known = calibration[0].thresholds(alpha)[0]
    margin = Margin(known, alpha, wanted=keeps_away and not bottom.capabilities.discrete)
    costs: list[list[StepCost]] = [[] for _ in levels]
    if learned:
        for k, level in enumerate(levels):
            violation = getattr(level, "violation", None)  # a level of one's own need not have one
            if violation is not None:
                costs[k].append(Learned(violation))
    rules = tuple(_rule(bottom, each, margin, newest) for each in given)
    for rule in rules:
        costs[0].append(rule)
        real = None if rule.readout is None else rule.readout.real
        z = None if real is None else real[rule.worst(real, exactly=True) > 0]
        if z is None or not len(z):
            continue
        for k, level in enumerate(levels[1:], 1):
            z = level.encode(z)
            if level.capabilities.discrete:
                break
            costs[k].append(Lifted(level, z, margin.steps / level.stride))
    joined = tuple(None if not each else each[0] if len(each) == 1 else Every(tuple(each)) for each in costs)
    return Guard(joined, rules, margin)


def _rule(level: Level, given: Any, margin: Margin, newest: int | None) -> Given:
    made = given() if isinstance(given, type) else given
    constraint: Any = made
    if not callable(made):
        raise UsageError(
            f"constraint {constraint!r}: expected an energy over level-0 latents with a `threshold`, or a function of "
            "observations that is above 0 where they are forbidden"
        )
    threshold = getattr(constraint, "threshold", None)
    if threshold is None:
        return Given(lambda seen: _asked(constraint, seen[..., :newest]), readout_of(level), margin)
    if getattr(constraint, "level", 0) != 0:
        raise UsageError(f"constraint {constraint!r} is for level {constraint.level}; expected one of level 0")
    readout = None if level.capabilities.discrete or not hasattr(level.encoder, "scale") else readout_of(level)
    if readout is None:
        return Given(lambda z: _asked(constraint, z[None], "latents")[0] - threshold, None, margin)

    def excess(seen: Tensor) -> Tensor:
        z = level.encode(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
        return _asked(constraint, z, "latents") - threshold

    return Given(excess, readout, margin)


def _asked(constraint: Callable[[Tensor], Any], about: Tensor, what: str = "observations") -> Tensor:
    """(N, B, ...) -> (N, B). Raises UsageError where it fails, and for answers of another shape."""
    each = about.flatten(0, 1)
    try:
        said = torch.as_tensor(constraint(each)).float()
    except Exception as error:  # whatever a caller's function may raise
        raise UsageError(
            f"a constraint raised {type(error).__name__}: {error}, of {what} {tuple(each.shape)}; expected one number "
            "for each, above 0 where it is forbidden"
        ) from error
    if said.shape != each.shape[:1]:
        raise UsageError(
            f"a constraint said {tuple(said.shape)} of {len(each)} {what}; expected one number for each, above 0 where "
            "it is forbidden"
        )
    if bool(said.isnan().any()):
        raise UsageError("a constraint said NaN, which is neither forbidden nor allowed; expected a number for each")
    return said.view(about.shape[:2])
