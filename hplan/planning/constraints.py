"""Constraints: energies with a hard threshold that every step of every plan keeps to, while it is searched for.

To every planner they are one `StepCost`, infinite for a step that breaks any. So what is forbidden is never expanded,
sampled or walked along, whoever plans.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.levels.calibration import Calibration
from hplan.levels.level import Level
from hplan.levels.readout import Readout, readout_of
from hplan.types import Pairwise, StepCost, UsageError

BETWEEN = 8  # moments of a step of a level above 0 that are judged, at the most
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
    errors: deque[float] = field(default_factory=lambda: deque(maxlen=ERRORS))
    learned: float = 0.0  # from these errors

    def add(self, error: float) -> None:
        self.errors.append(error)
        if len(self.errors) >= FEW:
            self.learned = float(np.quantile(self.errors, 1 - self.alpha))

    @property
    def steps(self) -> float:
        return max(self.calibrated, self.learned) if self.wanted else 0.0


@dataclass(frozen=True)
class Learned:
    """What play called a violation, as the level's own head learned it, as `hplan.types.StepCost`: no step is one, or
    may be by an error of `margin`, if latents can be read."""

    violation: Pairwise
    margin: Margin
    readout: Readout | None = None
    stride: float = 1.0

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        worst = self.violation(z, following)
        if self.readout is not None and self.margin.steps:
            near = self.readout.encode(self.readout.around(following, self.margin.steps / self.stride)[1:])
            ends = near.flatten(0, 1)
            worst = torch.maximum(worst, self.violation(z.repeat(len(near), 1), ends).view(len(near), -1).amax(0))
        return torch.where(worst > 0, torch.inf, 0.0)


@dataclass(frozen=True)
class Given:
    """A caller's constraint, as `hplan.types.StepCost`: no step leads to where it is broken, or may be by an error of
    `margin`. From within, steps that lessen its energy are allowed.

    excess: (N, B, ...) -> (N, B), above 0 where it is broken, of observations as level 0 sees them; without a readout
    of latents (B, *z), and no margin is known. stride: steps of level 0 that one of the level lasts. They are taken to
    lead straight on, and several of them are judged."""

    excess: Callable[[Tensor], Tensor]
    readout: Readout | None
    margin: Margin
    stride: float = 1.0

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        after = self.worst(following) if self.readout is None or self.stride < 2 else self._on_the_way(z, following)
        broken = after > 0
        if bool(broken.any()):
            broken[broken.clone()] = ~(after[broken] < self.worst(z[broken]))
        return torch.where(broken, torch.inf, 0.0)

    def worst(self, z: Tensor) -> Tensor:
        """(B, *z) -> (B,): the excess there and within the margin."""
        if self.readout is None:
            return self.excess(z)
        return self.excess(self.readout.around(z, self.margin.steps / self.stride)).amax(0)

    def _on_the_way(self, z: Tensor, following: Tensor) -> Tensor:
        """(B, *z) twice -> (B,): the worst excess after the first moment."""
        assert self.readout is not None
        moments = min(round(self.stride), BETWEEN)
        ends = self.readout.around(following, self.margin.steps / self.stride)
        shares = torch.arange(1, moments + 1, device=z.device).view(-1, *(1,) * (ends.ndim - 1)) / moments
        start = self.readout.read(z)
        passed = start + shares * (ends[0] - start) + (ends - ends[0])[:, None]  # (N, moments, B, ...)
        return self.excess(passed.flatten(0, 1)).amax(0)


@dataclass(frozen=True)
class Every:
    """Several constraints of one level."""

    costs: tuple[StepCost, ...]

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.stack([cost(z, following) for cost in self.costs]).sum(0)


@dataclass(frozen=True)
class Guard:
    """All constraints of an episode: `costs`, by level, None where nothing is forbidden or nobody can tell. `rules`:
    whether any are more than dead ends, so that a goal may have to be refused."""

    costs: tuple[StepCost | None, ...]
    given: tuple[Given, ...]
    margin: Margin
    rules: bool = True

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
    def broken(self, seen: Tensor, z: Tensor) -> tuple[int, ...]:
        """Which of the given constraints an observation breaks, without any margin: as level 0 sees it, (1, ...), and
        its latent (1, *z) there."""
        seen = seen if seen.is_floating_point() else seen.long()
        shown = (z if each.readout is None else seen[None] for each in self.given)
        return tuple(i for i, (each, x) in enumerate(zip(self.given, shown, strict=True)) if float(each.excess(x)) > 0)


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
                costs[k].append(Learned(violation, margin, readout_of(levels[: k + 1]), level.stride))
    rules = tuple(_rule(bottom, each, margin, newest) for each in given)
    costs[0] += rules
    readable = [rule for rule in rules if rule.readout is not None]
    for k in range(1, len(levels) if readable else 0):
        if (readout := readout_of(levels[: k + 1])) is not None:
            costs[k] += [replace(rule, readout=readout, stride=levels[k].stride) for rule in readable]
    joined = tuple(None if not each else each[0] if len(each) == 1 else Every(tuple(each)) for each in costs)
    heads = (getattr(level, "violation_head", None) for level in levels if learned)
    return Guard(joined, rules, margin, bool(rules) or any(getattr(head, "rules", head is not None) for head in heads))


def _rule(level: Level, given: Any, margin: Margin, newest: int | None) -> Given:
    made = given() if isinstance(given, type) else given
    constraint: Any = made
    if not callable(made):
        raise UsageError(
            f"constraint {constraint!r}: expected an energy over level-0 latents with a `threshold`, or a function of "
            "observations that is above 0 where they are forbidden"
        )
    threshold, readout = getattr(constraint, "threshold", None), readout_of([level])
    if threshold is None:
        if readout is None:
            raise UsageError(
                f"a constraint on observations: what {type(level.encoder).__name__} encodes cannot be read from its "
                "latents; give an energy over level-0 latents (with a `threshold`)"
            )
        return Given(lambda seen: _asked(constraint, seen[..., :newest]), readout, margin)
    if getattr(constraint, "level", 0) != 0:
        raise UsageError(f"constraint {constraint!r} is for level {constraint.level}; expected one of level 0")
    if readout is None or level.capabilities.discrete:
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
