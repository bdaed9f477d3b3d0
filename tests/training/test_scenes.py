"""What images show of the layout that an episode is in, and where in them what is moved is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

from hplan.codec import Codec
from hplan.levels.heads import uncertainty
from hplan.levels.pixels import PatchEye
from hplan.levels.stack import Stack
from hplan.play.play import Play
from hplan.training import scenes, vectors
from hplan.training.eye import eye_stages, seen
from hplan.training.fit import Run
from hplan.training.scenes import OTHER, SHARE, Pointer, place_stages, placed, varying
from hplan.training.strides import Strides
from hplan.training.train import Trained, run_stages, train_stack
from hplan.training.vectors import StrideSettings
from hplan.types import ActionSpec, Episode, ObservationSpec

SIDE, STEPS = 24, 48
SPEC, MOVES = ObservationSpec("image", (SIDE, SIDE, 1)), ActionSpec("continuous", 2, (-1.0,) * 2, (1.0,) * 2)


def walks(
    episodes: int, *, walls: bool, door: bool = False, other: bool = False, noise: float = 0.0
) -> tuple[Play, torch.Tensor]:
    """A spot that is moved about, before walls that are others in every episode; and its places (N, 2), x and y.
    door: a bright place on every second one's floor. other: a darker spot, which leaps."""
    rng = np.random.default_rng(0)
    found, places = [], []
    for seed in range(episodes):
        actions = rng.uniform(-1, 1, (STEPS, 2)).repeat(2, 0)[:STEPS].astype(np.float32)
        at = [rng.uniform(3, SIDE - 4, 2)]
        for action in actions:
            at.append((at[-1] + 2 * action).clip(3, SIDE - 4))
        frames = np.zeros((STEPS + 1, SIDE, SIDE, 1), np.float32)
        frames += 90 * (rng.random((SIDE // 4, SIDE // 4)) < 0.5).repeat(4, 0).repeat(4, 1)[..., None] * walls
        frames[:, 8:12, 8:12] += 90 * (door and seed % 2)
        frames += noise * rng.normal(size=frames.shape)
        y, x = np.mgrid[:SIDE, :SIDE]
        for frame, place in zip(frames, at, strict=True):
            if other:
                leaping = rng.uniform(3, SIDE - 4, 2)
                frame[np.hypot(x - leaping[0], y - leaping[1]) < 1.5] = 150
            frame[np.hypot(x - place[0], y - place[1]) < 2] = 250
        nothing = np.zeros(STEPS, bool)
        shown = frames.clip(0, 255).astype(np.uint8)
        found.append(Episode(shown, actions, nothing.astype(np.float32), nothing, nothing, False, seed))
        places += at
    return Play.of(found, SPEC, MOVES), torch.tensor(np.array(places)).float()


def test_walls_that_are_others_in_every_episode_are_a_layout_and_nothing_else_is() -> None:
    assert varying(walks(30, walls=True)[0], 0) > OTHER
    assert varying(walks(30, walls=True, other=True, noise=10)[0], 0) > OTHER
    assert varying(walks(30, walls=False)[0], 0) < SHARE
    assert varying(walks(30, walls=False, other=True, noise=40)[0], 0) < SHARE
    assert varying(walks(1, walls=True)[0], 0) == 0
    assert SHARE < varying(walks(30, walls=False, door=True)[0], 0) < OTHER, "a door is something else in this world"


@pytest.mark.training
def test_what_is_moved_is_found_before_any_walls_and_beside_what_leaps(tmp_path: Path) -> None:
    torch.manual_seed(0)
    play, places = walks(60, walls=True, other=True)
    beside = play.with_history(1, beginning=True)
    assert beside.observation_spec.shape == (SIDE, SIDE, 2)
    eye = PatchEye(inputs=SPEC.shape, latent=8)
    run_stages(eye_stages(eye, beside, 8, 400), Run(0, tmp_path / "eye"))
    latents = seen(eye, beside).below
    pointer = Pointer(8, SIDE, SIDE)
    run_stages(place_stages(pointer, beside.with_latents(latents)), Run(0, tmp_path / "places"))
    found = placed(pointer, play.with_latents(latents), alike=False)
    assert found.places is not None and found.layouts is not None
    assert float((found.places - places).norm(dim=1).median()) < 1.5, "pixels; who points to the middle is off by 7"
    assert found.observation_spec.context == SPEC.shape and len(found.layouts.images) == 60
    assert torch.equal(found.layouts.images[found.layouts.of[49]], play.observations[torch.tensor(49)].float())
    assert found.reach(1) <= 8, "steps are of two pixels at the most, and most places are off by less than one"


def test_what_is_where_it_began_is_seen() -> None:
    play, _ = walks(2, walls=True)
    begins = play.observations[play.begins]
    eye = PatchEye(inputs=SPEC.shape, latent=8)
    eye.measure(play.with_history(1, beginning=True).observations[torch.arange(len(play))])
    one, other = eye(torch.cat([begins, begins], -1))
    assert (one - other).norm() > 0.01


def trained_on(play: Play, out: Path, monkeypatch: pytest.MonkeyPatch, *, levels: int = 1) -> Trained:
    """For a few steps."""
    for module, name in ((vectors, "SUPPORT_STEPS"), (uncertainty, "STEPS"), (scenes, "STEPS")):
        monkeypatch.setattr(module, name, 3)
    settings = StrideSettings(eye_steps=5, base_steps=5, above_steps=5, batch=16, hidden=16, latent=6)
    return train_stack(Strides(settings, play, play, count=levels, seed=0), Run(0, out))


@pytest.mark.filterwarnings("ignore::hplan.types.CollapseWarning")
@pytest.mark.parametrize("what", ["walls", "door", "nothing"])
def test_levels_see_a_layout_of_colours_where_layouts_vary(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walls, vary = what == "walls", what != "nothing"
    grey, _ = walks(30, walls=walls, door=what == "door")
    coloured = grey.observations[torch.arange(len(grey))].repeat(1, 1, 1, 3)
    play = replace(grey, observations=coloured, observation_spec=replace(SPEC, shape=(SIDE, SIDE, 3)))
    trained = trained_on(play, tmp_path, monkeypatch)
    (level,) = trained.levels
    assert trained.beginning == vary == (level.conditioning is not None) == trained.facts["layouts_vary"]
    assert level.encoder.eye.channels == 3, "of a frame, which the first one lies beside"
    assert level.encoder.beginning == walls, "an eye sees what moves beside it where all else may be other"
    assert level.encoder(play.with_history(1, beginning=walls).observations[torch.arange(2)]).shape == (2, 6)


def stack_of(trained: Trained) -> Stack:
    return Stack(
        task="spots",
        codec=Codec.of(spaces.Box(0, 255, SPEC.shape, np.uint8), spaces.Box(-1, 1, (2,), np.float32), "spots"),
        levels=trained.levels,
        calibration=trained.calibration,
        tolerance=trained.tolerance,
        edges=trained.edges,
        beginning=trained.beginning,
    )


@pytest.mark.filterwarnings("ignore::hplan.types.CollapseWarning")
def test_a_door_is_seen_by_levels_and_ways_are_those_of_all_episodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, _ = walks(30, walls=False, door=True)
    trained = trained_on(play, tmp_path, monkeypatch, levels=2)
    assert len(trained.edges[1]), "landmarks of all episodes"
    shut, open_ = (play.observations[play.begins[[episode]]][0].numpy() for episode in (1, 0))
    stack = stack_of(trained).begun(shut)
    assert torch.equal(stack.together(shut[None]), torch.from_numpy(shut[None])), "an eye sees each frame alone"
    for level in stack.levels:
        assert level.conditioning is not None and level.conditioning.images is not None
        assert (level.conditioning.images[0].numpy() == shut).all() and (shut != open_).any()


@pytest.mark.filterwarnings("ignore::hplan.types.CollapseWarning")
def test_an_episode_is_seen_beside_its_first_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play, _ = walks(30, walls=True)
    frames = play.observations[torch.arange(3)].numpy()
    stack = stack_of(trained_on(play, tmp_path, monkeypatch)).begun(frames[0])
    for later in (frames[1:], frames[1:2]):
        beside = np.concatenate([later, frames[[0] * len(later)]], -1)
        assert torch.equal(stack.together(later), torch.from_numpy(beside))
