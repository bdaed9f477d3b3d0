"""Goals as energies: a latent to come near, a subgoal seen through the level above, or the task's own success."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from hplan.types import Energy, Returns, UsageError, WorldModel

Guide = Callable[[Tensor], tuple[Tensor, Tensor]]  # (B, *z) -> mean and deviation (B, A) of actions, in half ranges


@dataclass(frozen=True)
class NearLatent:
    """Distance to one latent of the same level, in steps of that level. Where the level sees a map, what is near but
    behind a wall is up to twice as far: within half the threshold it is there, whatever walls there seem to be."""

    level: WorldModel
    target: Tensor  # (*z)
    threshold: float

    def __call__(self, z: Tensor) -> Tensor:
        target = self.target.expand_as(z)
        away = self.level.distance(z, target)
        if self.level.obstruction is None:
            return away
        return away * (1 + self.level.obstruction(z, target).clamp(0, 1))


@dataclass(frozen=True)
class Lifted:
    """An energy of the level above, for latents of the level below it: energy(E_k+1(z_k))."""

    upper: WorldModel
    energy: Energy

    @property
    def threshold(self) -> float:
        return self.energy.threshold

    def __call__(self, z: Tensor) -> Tensor:
        return self.energy(self.upper.encode(z))


@dataclass(frozen=True)
class Guided:
    """An energy with a way there: what to try at a latent that is on it."""

    energy: Energy
    guide: Guide

    @property
    def threshold(self) -> float:
        return self.energy.threshold

    def __call__(self, z: Tensor) -> Tensor:
        return self.energy(z)


@dataclass(frozen=True)
class Informed:
    """An energy, and how many steps are `left` to it at least, (B, *z) -> (B,): an admissible heuristic for search."""

    energy: Energy
    left: Callable[[Tensor], Tensor]

    @property
    def threshold(self) -> float:
        return self.energy.threshold

    def __call__(self, z: Tensor) -> Tensor:
        return self.energy(z)


def informed(energy: Energy, upper: WorldModel, z: Tensor, macro: Tensor) -> Energy:
    """An energy of the level below `upper`, which is at z (*z) and is to take `macro` (), with the steps that are left
    to it, if that one knows."""
    return energy if upper.approach is None else Informed(energy, upper.approach(z, macro))


def guided(energy: Energy, upper: WorldModel, target: Tensor) -> Energy:
    """An energy of the level below `upper`, guided there if that one learned how play goes about its steps. target
    (*z), of `upper`."""
    policy = upper.policy
    return energy if policy is None else Guided(energy, lambda z: policy(z, target.expand(len(z), -1)))


@dataclass(frozen=True)
class Success:
    """How far a latent is from a rewarded one: minus the logit of the level's success head (0 is even odds)."""

    head: Callable[[Tensor], Tensor]
    threshold: float = 0.0

    def __call__(self, z: Tensor) -> Tensor:
        return -self.head(z)


@dataclass(frozen=True)
class Return:
    """Minus what can still be had from a latent: no place is the goal, and more is always better."""

    returns: Returns
    threshold: float = -math.inf

    def __call__(self, z: Tensor) -> Tensor:
        return -self.returns.value(z)


@dataclass(frozen=True)
class Anywhere:
    """Met by every latent: what is left to a level where those above know of nothing to aim for."""

    threshold: float = 0.0

    def __call__(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), device=z.device)


@runtime_checkable
class Goal(Protocol):
    """What an episode is for, said once for every level: `at(k)` is its energy there, None if that one cannot tell."""

    @property
    def label(self) -> str: ...

    def at(self, index: int) -> Energy | None: ...


@dataclass(frozen=True)
class GoalObservation:
    """Be where this observation was made. `tolerance[k]`: steps of level k that count as there."""

    levels: tuple[WorldModel, ...]
    latents: tuple[Tensor, ...]  # one (*z) per level
    tolerance: tuple[float, ...]
    label: str = "goal"

    def at(self, index: int) -> Energy | None:
        return NearLatent(self.levels[index], self.latents[index], self.tolerance[index])


@dataclass(frozen=True)
class TaskSuccess:
    """Whatever the task calls success, as each level's success head learned it from play. stop: what level 0 then has
    to do there; None where it is enough to be there."""

    energies: tuple[Energy | None, ...]
    label: str = "success"
    stop: int | None = None

    def at(self, index: int) -> Energy | None:
        return self.energies[index]


@dataclass(frozen=True)
class TaskReturn:
    """As much reward as can be had, as far as each level learned it."""

    energies: tuple[Energy | None, ...]
    label: str = "return"

    def at(self, index: int) -> Energy | None:
        return self.energies[index]


@dataclass(frozen=True)
class GivenEnergy:
    """A caller's own energy, and for the other levels what `lifted` made of it."""

    energies: tuple[Energy | None, ...]
    label: str = "given energy"

    def at(self, index: int) -> Energy | None:
        return self.energies[index] if index < len(self.energies) else None


@dataclass(frozen=True)
class NearAny:
    """Distance to the nearest of some latents (K, *z) of the same level, in steps of that level."""

    level: WorldModel
    targets: Tensor
    threshold: float

    def __call__(self, z: Tensor) -> Tensor:
        count = len(self.targets)
        away = self.level.distance(z.repeat_interleave(count, 0), self.targets.repeat(len(z), *(1,) * (z.ndim - 1)))
        return away.view(len(z), count).amin(1)


MET = 64  # latents that meet a lifted energy, or come nearest to it, that upper levels aim for at the most


@torch.inference_mode()
def lifted(energy: Energy, levels: tuple[WorldModel, ...], tolerance: tuple[float, ...]) -> tuple[Energy | None, ...]:
    """An energy of one level (`level` of it, 0 where it has none), for every level.

    Below it is asked of what a latent is up there. Above it is estimated: to be near a latent that meets it, or comes
    nearest to it, among the landmarks of its own level, which are real latents of play. None where that level has no
    more than one, or where layouts differ between episodes: then the levels up to its own plan alone.

    Raises UsageError for a level that there is not.
    """
    own = getattr(energy, "level", 0)
    if own not in range(len(levels)):
        raise UsageError(f"the energy is for level {own}, and this agent has levels 0 to {len(levels) - 1}")
    found: list[Energy | None] = [None] * len(levels)
    found[own] = energy
    for k in reversed(range(own)):
        below = found[k + 1]
        assert below is not None
        found[k] = Lifted(levels[k + 1], below)
    landmarks = levels[own].landmarks
    if landmarks is None or len(landmarks) < 2 or any(level.obstruction for level in levels):
        return tuple(found)
    real = landmarks.float().unique(dim=0)
    values = energy(real)
    met = real[values <= max(energy.threshold, float(values.min()))]
    z = met[torch.linspace(0, len(met) - 1, min(len(met), MET)).long()]
    for k in range(own + 1, len(levels)):
        z = levels[k].encode(z)
        found[k] = NearAny(levels[k], z, tolerance[k])
    return tuple(found)


def reached(energy: Energy, z: Tensor) -> bool:
    """Whether one latent (*z) meets the goal."""
    with torch.inference_mode():
        return bool(energy(z[None])[0] <= energy.threshold)
