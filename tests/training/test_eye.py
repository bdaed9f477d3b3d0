"""An eye keeps what actions move, finds it among noise, and leaves everything else out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hplan.levels.pixels import AT_ONCE, ColourEye, ConvEye, PatchEye, PixelEncoder, at_once
from hplan.levels.stage import begin_again
from hplan.objectives.diagnostics import probe_r2
from hplan.play.play import Play
from hplan.training.eye import eye_stages, seen
from hplan.training.eyes.inverse import InverseDynamics
from hplan.training.fit import Run
from hplan.training.train import run_stages
from hplan.types import ActionSpec, CollapseWarning, Episode, ObservationSpec

SHAPE, STEPS, EPISODES = (24, 24, 1), 60, 40


def frame(place: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A soft spot at a place in [-1, 1]^2, on what flickers and a bright square that is always there."""
    x, y = np.arange(24) - 11.5 - 10 * place[:, None]
    image = 220 * np.exp(-(x[None] ** 2 + y[:, None] ** 2) / 6)
    image[:3, :3] = 255
    return np.clip(image + 40 * noise, 0, 255).astype(np.uint8)[..., None]


def flicker(place: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A red spot of nine pixels, and all others of any colour: noise (24, 24) says which."""
    colours = np.random.default_rng(int(1e9 * noise[0, 0])).integers(0, 256, (24, 24, 3), np.uint8)
    column, row = np.round(11.5 + 10 * place).astype(int)
    colours[row - 1 : row + 2, column - 1 : column + 2] = (214, 40, 36)
    return colours


def walks(discrete: bool = False, frame: Any = frame) -> tuple[Play, Tensor]:
    """Random walks of a spot, seen among noise, and where it was (N, 2)."""
    rng = np.random.default_rng(0)
    sides = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)], np.float32)
    episodes, places = [], []
    for seed in range(EPISODES):
        action = np.repeat(rng.integers(4, size=STEPS // 4), 4) if discrete else None
        moves = sides[action] if action is not None else np.repeat(rng.uniform(-1, 1, (STEPS // 4, 2)), 4, 0)
        place, way = rng.uniform(-1, 1, 2), []
        for move in [None, *moves]:
            place = place if move is None else np.clip(place + 0.15 * move, -1, 1)
            way.append(place)
        observations = np.stack([frame(at, rng.random((24, 24))) for at in way])
        nothing = np.zeros(STEPS, bool)
        acted = action if action is not None else moves.astype(np.float32)
        episodes.append(Episode(observations, acted, nothing.astype(np.float32), nothing, nothing, False, seed))
        places.extend(way)
    spec = ActionSpec("discrete", 4) if discrete else ActionSpec("continuous", 2, (-1, -1), (1, 1))
    image = ObservationSpec("image", episodes[0].observations.shape[1:])
    return Play.of(episodes, image, spec), torch.tensor(np.array(places)).float()


@pytest.mark.training
@pytest.mark.parametrize(
    ("kind", "discrete"), [(PatchEye, False), (ColourEye, False), (ConvEye, False), (PatchEye, True)]
)
def test_an_eye_learns_where_the_thing_is_that_actions_move(kind: Any, discrete: bool, tmp_path: Path) -> None:
    play, places = walks(discrete)
    torch.manual_seed(0)
    eye = kind(inputs=SHAPE, latent=8)
    held = play.episode % 4 == 0
    before = probe_r2(seen(eye, play).below, [places], held)[0]
    curves = run_stages(eye_stages(eye, play, 8, 300), Run(0, tmp_path))
    features = seen(eye, play).below
    assert features.shape == (len(play), 8)
    assert [*curves] == ["eye"], "found at once"
    after = probe_r2(features, [places], held)[0]
    assert after > max(0.95, before)
    assert not any(parameter.requires_grad for parameter in eye.parameters())
    assert features.std(0).min() > 0.3, "every number varies"


@pytest.mark.training
def test_an_eye_that_did_not_find_what_was_done_goes_on_and_not_for_ever(tmp_path: Path) -> None:
    play, _ = walks(frame=lambda place, noise: frame(np.zeros(2), noise))
    with pytest.warns(CollapseWarning, match=r"has not found by 'inverse' what actions do, in 60 steps"):
        curves = run_stages(eye_stages(PatchEye(inputs=SHAPE, latent=8), play, 8, 20), Run(0, tmp_path))
    assert [*curves] == ["eye", "eye-again-1", "eye-again-2"]
    play, _ = walks()
    curves = run_stages(eye_stages(PatchEye(inputs=SHAPE, latent=8), play, 8, 20), Run(0, tmp_path / "late"))
    assert [*curves] == ["eye", "eye-again-1"], "twenty steps are too few, and as many more enough"


@pytest.mark.training
@pytest.mark.parametrize("on_the_way", [False, True])
def test_an_eye_that_has_not_even_begun_to_find_it_begins_again_from_other_weights(
    on_the_way: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, _ = walks()
    begun: list[bool] = []
    monkeypatch.setattr(InverseDynamics, "found", lambda self, curve: bool(begun))
    monkeypatch.setattr(InverseDynamics, "begun", lambda self, curve: begun.append(True) or on_the_way)
    anew: list[nn.Module] = []
    monkeypatch.setattr("hplan.training.eye.begin_again", anew.append)
    curves = run_stages(eye_stages(PatchEye(inputs=SHAPE, latent=8), play, 8, 5), Run(0, tmp_path))
    assert [*curves] == ["eye", "eye-again-1"] and len(anew) == (not on_the_way)


def test_colours_begin_again_in_pairs_of_opposite_sign() -> None:
    eye = ColourEye(inputs=SHAPE, latent=8)
    tints = next(part for part in eye.modules() if isinstance(part, nn.Conv2d))
    before = tints.weight.clone()
    begin_again(eye)
    assert not torch.equal(tints.weight, before)
    assert torch.equal(tints.weight[2:], -tints.weight[:2]) and not tints.bias.any()  # type: ignore[union-attr]


@pytest.mark.training
def test_among_pixels_of_all_colours_a_thing_is_told_by_its_own(tmp_path: Path) -> None:
    play, places = walks(frame=flicker)
    torch.manual_seed(0)
    eye = ColourEye(inputs=(24, 24, 3), latent=8)
    run_stages(eye_stages(eye, play, 8, 600), Run(0, tmp_path))
    assert probe_r2(seen(eye, play).below, [places], play.episode % 4 == 0)[0] > 0.95


class Frozen(nn.Module):
    """A user's eye with nothing to learn: the mean of rows and of columns."""

    def __init__(self, *, inputs: tuple[int, ...], latent: int, **_: Any) -> None:
        super().__init__()
        self.latent = latent

    def forward(self, frames: Tensor) -> Tensor:
        rows = frames.float().mean((-1, -2))
        return rows[..., : self.latent] / 255


def test_a_tear_counts_where_frames_are_alike_and_a_leap_does_not() -> None:
    """Frames that are as alike as those of steps are near; the others, and all where frames differ alike, may leap."""
    play, _ = walks()
    objective = InverseDynamics(PatchEye(inputs=SHAPE, latent=8), play, features=8, steps=1)
    rows = play.starts(1)[:256]
    steps, leaps = (
        objective._alike(play.observations[torch.stack([rows, end], 1)]) for end in (rows + 1, rows.flip(0))
    )
    assert float(steps.float().mean()) > 0.9
    assert float(leaps.float().mean()) < 0.5
    noisy, _ = walks(frame=flicker)
    blind = InverseDynamics(PatchEye(inputs=(24, 24, 3), latent=8), noisy, features=8, steps=1)
    assert not blind._alike(noisy.observations[torch.stack([rows, rows + 1], 1)]).any()


def test_an_eye_with_nothing_to_learn_is_used_as_it_is(tmp_path: Path) -> None:
    play, _ = walks()
    assert run_stages(eye_stages(Frozen(inputs=SHAPE, latent=8), play, 8, 300), Run(0, tmp_path)) == {}
    encoder = PixelEncoder(inputs=SHAPE, latent=8, eye=f"{Frozen.__module__}:Frozen")
    some = play.observations[torch.arange(5)]
    assert torch.equal(encoder(some), encoder(encoder.eye(some))), "what an eye made of a frame stands for it"


def test_a_frozen_eye_sees_play_as_it_sees_the_world(tmp_path: Path) -> None:
    """Of one that was trained elsewhere, with statistics of its own: they are used, and stay."""
    play, _ = walks()
    eye = nn.Sequential(Frozen(inputs=SHAPE, latent=8), nn.BatchNorm1d(8)).requires_grad_(False)
    run_stages(eye_stages(eye, play, 8, 300), Run(0, tmp_path))
    some = torch.arange(5)
    assert torch.equal(seen(eye, play).below[some], eye(play.observations[some]))
    assert torch.equal(eye[1].running_mean, torch.zeros(8))


@pytest.mark.parametrize("kind", [PatchEye, ColourEye, ConvEye])
@pytest.mark.parametrize("shape", [(17, 35, 3), (20, 330, 1), (40, 161, 2)])
def test_an_eye_looks_at_the_last_pixel(kind: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    eye, frames = kind(inputs=shape, latent=5), torch.zeros((2, *shape), dtype=torch.uint8)
    frames[1, -1, -1] = 255
    first, second = eye.map(frames)
    assert not torch.allclose(first, second)


def test_of_large_frames_fewer_are_looked_at_together() -> None:
    assert at_once(torch.empty((0, 64, 64, 3))) == AT_ONCE
    assert at_once(torch.empty((0, 480, 640, 12))) == 18
    assert at_once(torch.empty((0, 20_000, 20_000, 3))) == 1


def test_images_of_any_size_have_an_eye() -> None:
    for shape in ((16, 16, 1), (64, 64, 3), (84, 84, 4), (210, 160, 3)):
        for kind in (PatchEye, ColourEye, ConvEye):
            frames = torch.zeros((2, 3, *shape), dtype=torch.uint8)
            assert kind(inputs=shape, latent=5)(frames).shape == (2, 3, 5)


def test_tints_see_a_difference_of_either_sign_at_first() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        tints = ColourEye(inputs=(16, 16, 3), latent=4).body[0]
        one, other = (tints(sign * torch.ones(1, 3, 1, 1)) for sign in (1.0, -1.0))
        assert torch.allclose(one.sort(1).values, other.sort(1).values), "as much of the one as of the other"
