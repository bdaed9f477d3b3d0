"""An eye of films: it sees frame by frame, remembers by a window, and learns from what comes next."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hplan.levels.pixels import ConvEye, FilmEye, PixelEncoder
from hplan.play.play import Play
from hplan.training.eye import eye_stages, seen
from hplan.training.eyes.later import LaterFrames
from hplan.training.fit import Run
from hplan.training.train import run_stages
from hplan.training.vectors import base_level
from hplan.types import ActionSpec, Episode, ObservationSpec, UsageError

KEPT, SIDE, STEPS, FILMS = 3, 16, 9, 120
SPEC, ACTIONS = ObservationSpec("image", (SIDE, SIDE, 3 * KEPT)), ActionSpec("discrete", 1)


def films() -> tuple[Play, Tensor]:
    """A red or a blue spot that moves evenly; of every moment the last three frames, the newest first. And where it is,
    and which colour it has (N, 2)."""
    rng, episodes, facts = np.random.default_rng(0), [], []
    for seed in range(FILMS):
        blue, place, way = rng.random() < 0.5, rng.uniform(2, 6), rng.uniform(0.5, 1.0)
        at = place + way * np.arange(STEPS + 1)
        x = np.arange(SIDE) - at[:, None]
        spot = 200 * np.exp(-(x[:, None, :] ** 2 + (np.arange(SIDE) - 8)[None, :, None] ** 2) / 4)
        frames = np.zeros((STEPS + 1, SIDE, SIDE, 3), np.uint8)
        frames[..., 2 if blue else 0] = spot
        back = np.clip(np.arange(STEPS + 1)[:, None] - np.arange(KEPT), 0, None)
        shown = np.moveaxis(frames[back], 1, 3).reshape(STEPS + 1, SIDE, SIDE, -1)
        nothing = np.zeros(STEPS, bool)
        episodes.append(Episode(shown, nothing.astype(int), nothing.astype(np.float32), nothing, nothing, False, seed))
        facts += [(place_, float(blue)) for place_ in at]
    return Play.of(episodes, SPEC, ACTIONS), torch.tensor(facts).float()


def test_every_frame_is_seen_for_itself_and_nothing_is_made_of_it_before_level_0() -> None:
    torch.manual_seed(0)
    encoder = PixelEncoder(inputs=SPEC.shape, latent=12, eye="films")
    frames = torch.randint(0, 256, (5, 2, *SPEC.shape), dtype=torch.uint8)
    made = encoder(frames)
    assert made.shape == (5, 2, 12) and torch.equal(encoder(made), made)
    single = torch.cat([encoder.eye.single(one) for one in frames.chunk(KEPT, -1)], -1)
    assert torch.allclose(made, single, atol=1e-6)


@pytest.mark.parametrize(("channels", "latent"), [(4, 12), (9, 10), (2, 12)])
def test_frames_of_other_channels_and_uneven_numbers_are_refused(channels: int, latent: int) -> None:
    with pytest.raises(UsageError, match=f"images of {channels} channels and {latent} numbers"):
        FilmEye(inputs=(SIDE, SIDE, channels), latent=latent)


def test_a_window_moves_on_by_one_frame() -> None:
    level = base_level(SPEC, ACTIONS, encoder="films", latent=12)
    z = torch.randn(7, 12)
    predicted = level.predict(z, torch.zeros(7, dtype=torch.long))
    assert torch.equal(predicted[:, 4:], z[:, :-4]) and not torch.equal(predicted[:, :4], z[:, :4])
    other = z.clone()
    other[:, 8:] += 1  # the oldest frame tells what comes next, too
    assert not torch.allclose(level.predict(other, torch.zeros(7, dtype=torch.long))[:, :4], predicted[:, :4])


def test_each_frame_is_looked_at_once_and_predicted_from_those_before_it() -> None:
    play, _ = films()
    torch.manual_seed(0)
    objective: Any = LaterFrames(FilmEye(inputs=SPEC.shape, latent=12), play, features=12, steps=1)
    looked: list[Tensor] = []

    class Looks(torch.nn.Module):
        def forward(self, frames: Tensor) -> Tensor:
            looked.append(frames)
            return frames.float().mean((2, 3, 4))[..., None].expand(-1, -1, 4)

    class Asked(torch.nn.Module):
        def forward(self, before: Tensor) -> Tensor:
            looked.append(before)
            return torch.zeros(*before.shape[:-1], 4)

    objective.eye.single, objective.predictor = Looks(), Asked()
    objective.loss(0, torch.Generator().manual_seed(0))
    frames, before = looked
    assert frames.shape[1] == KEPT + 8 and before.shape[1:] == (8, 12)
    numbers = frames.float().mean((2, 3, 4))
    for step in range(8):
        newest_first = numbers[:, step : step + KEPT].flip(1)
        assert torch.allclose(before[:, step, ::4], newest_first)


def test_one_frame_alone_may_be_all_that_is_remembered() -> None:
    play, _ = films()
    single = replace(play, observations=play.observations[torch.arange(len(play))][..., :3])
    objective: Any = LaterFrames(FilmEye(inputs=(SIDE, SIDE, 3), latent=4), single, features=4, steps=1)
    assert objective.loss(0, torch.Generator().manual_seed(0))[0].isfinite()


@pytest.mark.training
def test_where_things_are_and_what_they_are_is_kept(tmp_path: Path) -> None:
    play, facts = films()
    torch.manual_seed(0)
    eye = FilmEye(inputs=SPEC.shape, latent=8 * KEPT)
    curve = run_stages(eye_stages(eye, play, 8 * KEPT, 300, "later-frames"), Run(0, tmp_path))["eye"]
    assert curve[0]["contrast"] > 3.5 and curve[-1]["contrast"] < 2.5, "told from all others but those that look alike"
    newest, held = seen(eye, play).below[:, :8], play.episode % 4 == 0
    nearest = torch.cdist(newest[held], newest[~held]).argmin(1)
    off = (facts[~held][nearest] - facts[held]).square().mean(0) / facts[held].var(0)
    assert off.max() < 0.1, "frames that look alike to it show the same"
    assert newest.std(0).min() > 0.3


def test_an_eye_of_single_frames_is_refused(tmp_path: Path) -> None:
    play, _ = films()
    eye = ConvEye(inputs=SPEC.shape, latent=8)
    with pytest.raises(UsageError, match=r"ConvEye sees one frame.*--encoder films"):
        run_stages(eye_stages(eye, play, 8, 10, "later-frames"), Run(0, tmp_path))
