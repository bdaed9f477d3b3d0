"""Objectives of an eye by name: where a spot is that moves, most of them without actions; and the floor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from raw_worlds import Canvas
from torch import Tensor, nn
from training.test_eye import SHAPE, walks

import hplan
from hplan.levels.pixels import ConvEye, PatchEye
from hplan.objectives.diagnostics import deviation, probe_r2
from hplan.objectives.vicreg import VICReg
from hplan.parts import BUILT_IN, find
from hplan.play.play import Play
from hplan.training.events import Events
from hplan.training.eye import eye_stages, seen
from hplan.training.eyes.hidden import HiddenBlocks, HiddenFuture, HiddenTubes
from hplan.training.eyes.nearby import NearbyFrames
from hplan.training.fit import Run
from hplan.training.learn import _objectives
from hplan.training.strides import Strides
from hplan.training.train import run_stages
from hplan.types import ObservationSpec, UsageError

LATENT = 8
FINDS = {
    "inverse": 0.98,
    "vicreg": 0.9,
    "sigreg": 0.6,
    "infonce": 0.9,
    "byol": 0.8,
    "dino": 0.8,
    "i-jepa": 0.6,
    "v-jepa": 0.7,
    "causal-v-jepa": 0.8,
    "reconstruction": 0.8,
}
"""R2 of a probe of where the spot is, after so few steps; untrained it is 0.26."""


@pytest.fixture(scope="module")
def world() -> tuple[Play, Tensor]:
    return walks()


def trained(play: Play, objective: str, out: Path, steps: int = 150) -> Tensor:
    torch.manual_seed(0)
    eye = PatchEye(inputs=SHAPE, latent=LATENT)
    run_stages(eye_stages(eye, play, LATENT, steps, objective), Run(0, out))
    assert not any(parameter.requires_grad for parameter in eye.parameters())
    return seen(eye, play).below


def r2(z: Tensor, world: tuple[Play, Tensor]) -> float:
    play, places = world
    return probe_r2(z, [places], play.episode % 4 == 0)[0]


def test_every_objective_is_one_that_is_tested() -> None:
    assert {*FINDS, "random"} == {*BUILT_IN["eye_objective"]} - {"later-frames"}, "that one is of films"


@pytest.mark.training
@pytest.mark.parametrize("name", FINDS)
def test_it_finds_where_the_spot_is(name: str, world: tuple[Play, Tensor], tmp_path: Path) -> None:
    assert r2(trained(world[0], name, tmp_path), world) > FINDS[name]


def test_random_is_the_floor(world: tuple[Play, Tensor], tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = PatchEye(inputs=SHAPE, latent=LATENT)
    before.measure(world[0].observations[torch.linspace(0, len(world[0]) - 1, 2048).long()])
    z = trained(world[0], "random", tmp_path)
    assert torch.equal(z, seen(before, world[0]).below)
    assert r2(z, world) < 0.4


@pytest.mark.training
def test_without_what_keeps_frames_apart_all_are_one(world: tuple[Play, Tensor], tmp_path: Path) -> None:
    """`NearbyFrames` alone has the objective `none`: agreement is all."""
    alone = trained(world[0], f"{NearbyFrames.__module__}:NearbyFrames", tmp_path / "none")
    apart = trained(world[0], "vicreg", tmp_path / "vicreg")
    assert deviation(alone).mean() < 0.05 * deviation(apart).mean()


class Raw(HiddenFuture):
    """Targets as the slow copy has them."""

    def normalised(self, targets: Tensor) -> Tensor:
        return targets


@pytest.mark.training
def test_without_normalised_targets_all_frames_are_one(world: tuple[Play, Tensor], tmp_path: Path) -> None:
    raw = trained(world[0], f"{__name__}:Raw", tmp_path / "raw")
    normalised = trained(world[0], "causal-v-jepa", tmp_path / "normalised")
    assert deviation(raw).mean() < 0.1 * deviation(normalised).mean()


@pytest.mark.parametrize("name", [name for name in FINDS if not find("eye_objective", name).actions])
def test_what_asks_for_no_actions_reads_none(name: str, world: tuple[Play, Tensor], tmp_path: Path) -> None:
    play = world[0]
    blind = replace(play, actions=torch.full_like(play.actions, torch.nan))
    one, other = (trained(each, name, tmp_path / str(i), steps=3) for i, each in enumerate((play, blind)))
    assert torch.equal(one, other)


@pytest.mark.parametrize("name", FINDS)
def test_other_sizes_and_eyes(name: str) -> None:
    """Frames that no power of two divides, and overlapping convolutions: a step has a loss, and it reaches the eye."""
    play = walks()[0]
    wide = torch.nn.functional.pad(play.observations[torch.arange(len(play))], (0, 0, 0, 11, 0, 3))
    play = replace(play, observations=wide, observation_spec=replace(play.observation_spec, shape=(27, 35, 1)))
    for kind in (PatchEye, ConvEye):
        eye = kind(inputs=(27, 35, 1), latent=LATENT)
        module = find("eye_objective", name)(eye, play, features=LATENT, steps=10)
        value, figures = module.loss(5, torch.Generator().manual_seed(0))
        value.backward()
        assert value.isfinite()
        assert figures
        assert all(parameter.grad is not None for parameter in eye.parameters())


# ------------------------------------------------------------------------------------------------- what is hidden


def masks(kind: Any) -> tuple[HiddenBlocks, Tensor]:
    module = kind(PatchEye(inputs=SHAPE, latent=LATENT), walks()[0], features=LATENT, steps=10)
    return module, module.hide(200, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [HiddenBlocks, HiddenTubes])
def test_a_rectangle_is_hidden_in_all_frames_of_a_clip(kind: Any) -> None:
    module, hidden = masks(kind)
    assert hidden.shape == (200, module.clip, 3, 3)
    assert torch.equal(hidden, hidden[:, :1].expand_as(hidden))
    rows, columns = hidden[:, 0].any(2), hidden[:, 0].any(1)
    assert torch.equal(hidden[:, 0], rows[:, :, None] & columns[:, None])
    assert not hidden[:, 0].flatten(1).all(1).any(), "something is left to see"
    assert hidden[:, 0].flatten(1).any(1).all(), "something is hidden"
    assert hidden[:, 0].any(0).all(), "each cell sometimes is"


def test_the_future_is_hidden_whole() -> None:
    _, hidden = masks(HiddenFuture)
    assert not hidden[:, :8].any()
    assert hidden[:, 8:].all()


def test_what_is_hidden_is_not_seen() -> None:
    eye = PatchEye(inputs=(64, 64, 3), latent=LATENT)
    frames = torch.randint(256, (2, 64, 64, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    hidden = torch.zeros(2, 4, 4, dtype=torch.bool)
    hidden[:, 1:3, :2] = True
    changed = frames.clone()
    changed[:, 16:48, :32] = 255 - changed[:, 16:48, :32]
    assert torch.equal(eye.map(frames, hidden), eye.map(changed, hidden))
    assert not torch.equal(eye.map(frames), eye.map(changed))
    assert torch.equal(eye.head(eye.map(frames)), eye(frames))


# ---------------------------------------------------------------------------------------------------------- errors


def test_a_name_that_there_is_none_of() -> None:
    stages = eye_stages(PatchEye(inputs=SHAPE, latent=LATENT), walks()[0], LATENT, 10, "vikreg")
    with pytest.raises(UsageError, match=r"eye_objective 'vikreg' is not known: did you mean vicreg"):
        next(stages)


class Flat(nn.Module):
    """A user's eye that learns, and has no map."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(24 * 24, LATENT)

    def forward(self, frames: Tensor) -> Tensor:
        return self.linear(frames.float().flatten(-3) / 255)


@pytest.mark.parametrize("name", FINDS)
def test_an_eye_without_a_map(name: str) -> None:
    stages = eye_stages(Flat(), walks()[0], LATENT, 10, name)
    if "jepa" in name:
        with pytest.raises(UsageError, match="Flat has no map"):
            next(stages)
    else:
        value, _ = next(stages).loss(5, torch.Generator().manual_seed(0))
        assert value.isfinite()


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("i-jepa", {"eye_objective": "i-jepa"}),
        ("byol", {"objective": "byol", "eye_objective": "byol"}),
        ("none", {"objective": "none"}),
        (VICReg, {"objective": "vicreg"}),
        (HiddenTubes, {"eye_objective": "v-jepa"}),
        (f"{HiddenTubes.__module__}:HiddenTubes", {"eye_objective": "v-jepa"}),
    ],
)
def test_a_name_goes_where_it_is_known(given: Any, chosen: dict[str, str]) -> None:
    found = _objectives(given, ObservationSpec("image", SHAPE), Strides, "a task")
    assert {kind: find(kind, name) for kind, name in found.items()} == {
        kind: find(kind, name) for kind, name in chosen.items()
    }


def test_where_there_is_no_eye_a_name_of_one_is_refused() -> None:
    vectors = ObservationSpec("vector", (2,))
    assert _objectives("byol", vectors, Strides, "a task") == {"objective": "byol"}
    with pytest.raises(UsageError, match=r"'i-jepa' is what an eye learns by.*vector.*expected one of vicreg"):
        _objectives("i-jepa", vectors, Strides, "a task")
    with pytest.raises(UsageError, match=r"'i-jepa' is what an eye learns by.*of tiles.*expected one of vicreg"):
        _objectives("i-jepa", ObservationSpec("image", SHAPE), Events, "a task")


def test_a_name_that_nobody_knows_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"eye_objective 'v-jeppa' is not known: did you mean v-jepa"):
        hplan.learn(Canvas, out=tmp_path / "run", steps=100, objective="v-jeppa")
    with pytest.raises(UsageError, match=r"objective 'i-jepa' is what an eye learns by"):
        hplan.learn("gym:CartPole-v1", out=tmp_path / "run", steps=100, objective="i-jepa")
    with pytest.raises(UsageError, match=r"eye_objective 'x' is not known"):
        hplan.learn(Canvas, out=tmp_path / "run", steps=100, settings={"eye_objective": "x"})
    assert not (tmp_path / "run").exists()
