"""A user's own planner or energy, held against types.Planner on a world model with known answers, and types.Energy."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.types import Budget, Capabilities, Energy, MacroSpec, Planner, PlanResult


class Line:
    """A WorldModel with known answers: positions on a line, moved by -1, 0 or 1 or by any number between. It counts."""

    index, stride, capabilities = 0, 1.0, Capabilities()
    obstruction = outcomes = process = policy = returns = landmarks = possible = approach = relaxation = None

    def __init__(self, kind: str = "discrete") -> None:
        self.macro = (
            MacroSpec("discrete", 3, names=("back", "stay", "on"))
            if kind == "discrete"
            else MacroSpec("continuous", 1, low=(-1.0,), high=(1.0,))
        )
        self.evaluations = 0

    def encode(self, below: Tensor) -> Tensor:
        return below

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        self.evaluations += len(z)
        move = macro[:, None] - 1 if self.macro.kind == "discrete" else macro.clamp(-1, 1)
        return z + move.to(z.dtype)

    def prior(self, z: Tensor) -> Tensor:
        return torch.full((len(z), self.macro.size), -float(np.log(self.macro.size)))

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z - other).abs().sum(-1)

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        return self.distance(z, following) - 1.0

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def keys(self, z: Tensor) -> Tensor:
        return z.mul(1000).round().long()


class _At:
    """Goal of a Line: to be at a position."""

    threshold = 0.25

    def __init__(self, position: float) -> None:
        self.position = position

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, 0] - self.position).abs()


def check_planner(planner: Planner, *, macro: str = "discrete", evaluations: int = 4096, horizon: int = 8) -> None:
    """A planner keeps to types.Planner on a line whose best plans are known: it reaches what is near, says so of
    nothing else, stays within its budget, counts truthfully, is pure, and returns latents that its macros give.

    `macro`: "discrete" or "continuous", the macro-actions that it is made for.
    """
    name, budget, start = type(planner).__name__, Budget(evaluations, horizon), torch.zeros(1)
    for goal, reachable in ((4.0, True), (-3.0, True), (0.0, True), (100.0, False)):
        level, energy, where = Line(macro), _At(goal), f"{name}, start 0, goal {goal:g}"
        result = _plan(planner, level, start, energy, budget)
        _check_path(result, Line(macro), energy, where)
        assert result.reached == reachable, (
            f"{where}: reached is {result.reached}, expected {reachable} within {budget}"
        )
        assert len(result) <= horizon, f"{where}: {len(result)} steps, the budget's horizon is {horizon}"
        assert result.evaluations <= evaluations, (
            f"{where}: {result.evaluations} evaluations, the budget is {evaluations}"
        )
        count = level.evaluations
        assert result.evaluations == count, (
            f"{where}: reports {result.evaluations} evaluations, predict() saw {count} rows"
        )
        again = _plan(planner, Line(macro), start, energy, budget)
        assert torch.equal(result.macros, again.macros), (
            f"{where}: same arguments, two answers; draw from `generator` only"
        )
    assert torch.equal(start, torch.zeros(1)), f"{name} wrote into its `start`; clone it first"


def _plan(planner: Planner, level: Any, start: Tensor, goal: Energy, budget: Budget) -> PlanResult:
    return planner.plan(level, start, goal, budget=budget, generator=torch.Generator().manual_seed(0))


def _check_path(result: PlanResult, level: Line, goal: Energy, where: str) -> None:
    steps = len(result.macros)
    shapes = {
        "latents": (result.latents, steps + 1),
        "energies": (result.energies, steps + 1),
        "costs": (result.costs, steps),
    }
    for field, (value, length) in shapes.items():
        assert len(value) == length, f"{where}: {steps} macros, so {field} must have {length} rows, not {len(value)}"
    if steps:
        following = level.predict(result.latents[:-1], result.macros)
        same = torch.allclose(following, result.latents[1:], atol=1e-4)
        assert same, f"{where}: latents[i + 1] must be predict(latents[i], macros[i])"
    same = torch.allclose(goal(result.latents), result.energies, atol=1e-4)
    assert same, f"{where}: energies must be those of the latents, start included"
    met = bool(result.energies[-1] <= goal.threshold)
    assert result.reached == met, f"{where}: reached is {result.reached}, but the last energy says {met}"


def check_energy(energy: Energy, latents: Tensor) -> None:
    """An energy keeps to types.Energy on `latents` (B, *z), B of at least 2: (B,) finite numbers, the same for a latent
    alone and in a batch, with nothing written into its input."""
    name, before = type(energy).__name__, latents.clone()
    values = energy(latents)
    assert values.shape == (len(latents),), (
        f"{name}: {tuple(values.shape)} for {len(latents)} latents, expected one each"
    )
    assert torch.isfinite(values).all(), f"{name}: NaN or infinity; bound it, a planner must be able to compare"
    assert torch.equal(latents, before), f"{name} wrote into its input; clone it first"
    alone = torch.cat([energy(latents[i : i + 1]) for i in range(len(latents))])
    assert torch.allclose(values, alone, atol=1e-4), f"{name}: a latent's energy depends on the others in its batch"
    assert np.isfinite(float(energy.threshold)), f"{name}: threshold is {energy.threshold}, expected a finite number"
