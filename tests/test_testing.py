"""The public checks: what hplan ships passes them, and each finds the fault that it is there for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from hplan.planning.cem import CrossEntropy
from hplan.planning.mppi import PathIntegral
from hplan.planning.search import BestFirstSearch
from hplan.registry import load_task, make_world
from hplan.testing import check_energy, check_planner, check_task
from hplan.testing.planners import Line
from hplan.types import Planner, PlanResult


class Wrapped(gymnasium.Wrapper):
    """A sound environment in which one thing can be made wrong."""

    def __init__(self, **faults: Any) -> None:
        super().__init__(make_world(load_task("minigrid/DoorKey-5x5")))
        self._faults = faults
        self._calls = 0
        for name in ("name", "codec", "max_steps", "render"):
            setattr(self, name, faults.get(name, getattr(self.env, name)))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._calls += 1
        observation, info = self.env.reset(seed=self._calls if "unseeded" in self._faults else seed)
        return self._faults.get("view", lambda o: o)(observation), info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return (
            observation,
            self._faults.get("reward", reward),
            terminated,
            truncated,
            info | self._faults.get("info", {}),
        )


@pytest.mark.parametrize(
    ("faults", "said"),
    [
        ({"unseeded": True}, "two observations"),
        ({"view": lambda o: o + 0.5}, "not whole"),
        ({"view": lambda o: o[:-1]}, r"shape \(4, 5, 6\)"),
        ({"view": lambda o: o + np.uint8(200)}, "out of bounds"),
        ({"reward": float("nan")}, "finite"),
        ({"info": {"success": np.bool_(False)}}, "bool"),
        ({"max_steps": 0}, "max_steps"),
        ({"render": lambda: ""}, "render"),
    ],
)
def test_check_task_finds_faults(faults: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_task(Wrapped(**faults))


def test_a_sound_world_passes() -> None:
    check_task(Wrapped())
    check_task(lambda: gymnasium.make("FrozenLake-v1"))


@pytest.mark.parametrize(
    ("planner", "macro"),
    [(BestFirstSearch(), "discrete"), (CrossEntropy(), "continuous"), (PathIntegral(), "continuous")],
    ids=lambda value: type(value).__name__,
)
def test_shipped_planners_pass(planner: Planner, macro: str) -> None:
    check_planner(planner, macro=macro)


class Broken(BestFirstSearch):
    """The search, with one field of its answer changed."""

    change: Any = None

    def plan(self, *args: Any, **options: Any) -> PlanResult:
        return self.change(super().plan(*args, **options))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: replace(r, evaluations=r.evaluations + 1), "saw"),
        (lambda r: replace(r, reached=not r.reached), "reached is"),
        (lambda r: replace(r, latents=r.latents + 1), "latents|energies"),
        (lambda r: replace(r, energies=r.energies[:-1]), "rows"),
        (lambda r: replace(r, energies=r.energies + 1), "energies"),
    ],
)
def test_check_planner_finds_faults(change: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "change", staticmethod(change))
    with pytest.raises(AssertionError, match=said):
        check_planner(Broken())


class Quadratic:
    threshold = 0.1

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z.square().mean(-1)


class Summed(Quadratic):
    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z.square().mean()


class Batchwise(Quadratic):
    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return super().__call__(z) - super().__call__(z).min()


class Writing(Quadratic):
    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return z.abs_().mean(-1)


LATENTS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def test_check_energy_passes_what_is_sound() -> None:
    check_energy(Quadratic(), LATENTS)


@pytest.mark.parametrize(("energy", "said"), [(Summed(), "one each"), (Batchwise(), "batch"), (Writing(), "input")])
def test_check_energy_finds_faults(energy: Quadratic, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_energy(energy, LATENTS.clone())


def test_the_line_is_what_it_says() -> None:
    line = Line()
    z = torch.zeros(3, 1)
    assert line.predict(z, torch.tensor([0, 1, 2])).flatten().tolist() == [-1, 0, 1]
    assert line.evaluations == 3
