"""Goals as energies: a latent to come near, a subgoal seen through the level above, or the task's own success."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from hplan.types import Energy, WorldModel

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
    """Whatever the task calls success, as each level's success head learned it from play."""

    energies: tuple[Energy | None, ...]
    label: str = "success"

    def at(self, index: int) -> Energy | None:
        return self.energies[index]


@dataclass(frozen=True)
class GivenEnergy:
    """A caller's own energy over level-0 latents, and for the levels above what `lifted` made of it."""

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
    """An energy of level 0 as every level estimates it: to be near a latent that meets it, or comes nearest to it,
    among real ones of play.

    Level 0's landmarks are such latents, and encoders say what each is to the levels above. None where level 0 has no
    more than one, or where layouts differ between episodes: then level 0 plans alone.
    """
    landmarks = levels[0].landmarks
    seen = landmarks is None or len(landmarks) < 2 or any(level.obstruction for level in levels)
    if seen or landmarks is None:
        return (energy, *(None for _ in levels[1:]))
    real = landmarks.float().unique(dim=0)
    values = energy(real)
    met = values <= max(energy.threshold, float(values.min()))
    z = real[met][torch.linspace(0, int(met.sum()) - 1, min(int(met.sum()), MET)).long()]
    found: list[Energy | None] = [energy]
    for level, close in zip(levels[1:], tolerance[1:], strict=True):
        z = level.encode(z)
        found.append(NearAny(level, z, close))
    return tuple(found)


def reached(energy: Energy, z: Tensor) -> bool:
    """Whether one latent (*z) meets the goal."""
    with torch.inference_mode():
        return bool(energy(z[None])[0] <= energy.threshold)
