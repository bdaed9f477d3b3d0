"""What stands for latents that nobody draws are frames of play, and in noise what is under it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import hplan
from hplan.evaluation.episode import begin, trace_episode
from hplan.levels import gallery as module
from hplan.levels.gallery import BYTES, Gallery, _packed
from hplan.play.play import Play
from hplan.registry import load_task, make_world
from hplan.types import ActionSpec, Episode, ObservationSpec

SIZE, STEPS = 32, 600


class Column:
    """Which column the white bar is in, from the frame's lowest row, which has no noise; half of that above."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def encode(self, below: Tensor) -> Tensor:
        if below.dtype == torch.uint8:
            return (below[:, -1, :, 0] == 255).float().argmax(1, keepdim=True).float()
        return below * self.scale

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z - other).abs()[..., 0]


def bars(noise: float, steps: int = STEPS) -> Play:
    """A white bar that goes to and fro on black."""
    rng = np.random.default_rng(0)
    at = np.abs((np.arange(steps + 1) % (2 * SIZE - 2)) - (SIZE - 1))
    frames = np.zeros((steps + 1, SIZE, SIZE, 3), np.uint8)
    frames[np.arange(steps + 1), :, at] = 255
    new = rng.random(frames.shape[:3]) < noise
    new[:, -1] = False
    frames[new] = rng.integers(0, 255, (int(new.sum()), 3))
    nothing = np.zeros(steps, bool)
    one = Episode(frames, np.zeros(steps, np.int64), nothing.astype(np.float32), nothing, nothing, False, 0)
    return Play.of([one], ObservationSpec("image", (SIZE, SIZE, 3)), ActionSpec("discrete", 2))


def gallery(noise: float, steps: int = STEPS) -> tuple[Gallery, tuple[Any, ...]]:
    levels = Column(1.0), Column(0.5)
    return Gallery.of(levels, bars(noise, steps), (SIZE, SIZE, 3)), levels  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_the_nearest_frame_shows_what_a_latent_is(noise: float) -> None:
    found, levels = gallery(noise)
    step = SIZE // found.frames.shape[1]
    for column in range(0, SIZE, step):
        for k, level in enumerate(levels):
            shown = found.nearest(k, level, torch.tensor([column * (0.5 if k else 1.0)]))
            brightest = shown[:-1].astype(float).mean((0, 2)).argmax()
            assert abs(brightest * step - column) <= 2 * step


def test_noise_is_not_shown_and_the_file_stays_small() -> None:
    found, _ = gallery(0.4)
    dark = np.median(found.frames[:, :-1], (1, 2, 3))
    assert (dark == 0).all()
    assert len(_packed(found.frames)) <= BYTES
    assert len(found.frames) >= SIZE // 2


def test_a_few_frames_are_a_gallery_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BYTES", 1000)
    for steps in (1, 5, 20):
        found, levels = gallery(0.4, steps)
        assert 1 <= len(found.frames) == len(found.latents[0]) <= steps + 1
        assert found.nearest(1, levels[1], torch.zeros(1)).dtype == np.uint8


def test_a_gallery_comes_back_from_its_tensors_and_a_damaged_one_does_not() -> None:
    found, _ = gallery(0.0)
    tensors = found.tensors()
    again = Gallery.from_tensors(tensors)
    assert np.array_equal(again.frames, found.frames)
    assert all(torch.equal(a, b) for a, b in zip(again.latents, found.latents, strict=True))
    tensors["frames"][5:] = 0
    with pytest.raises(ValueError, match="frames of play"):
        Gallery.from_tensors(tensors)


def test_what_the_levels_of_a_maze_of_images_aim_for_is_shown() -> None:
    agent, env = hplan.load("visual/pointmaze-medium-navigate"), hplan.make("visual/pointmaze-medium-navigate")
    steps = []
    for step in trace_episode(agent, env, 50_000_000):
        steps.append(step)
        if len(steps) == 3:
            break
    assert all("▀" in step.imagined[1] for step in steps)


def test_tiles_draw_what_they_saw_and_what_an_event_will_change() -> None:
    agent, env = hplan.load("visual/DoorKey-8x8"), make_world(load_task("visual/DoorKey-8x8"), split="eval")
    for seed in range(50_000_000, 50_000_005):
        observation, _ = begin(agent, env, seed)
        agent.act(observation)
        drawn = agent.stack.draw(0, agent.stack.encode(observation)[0])
        assert drawn is not None and np.array_equal(drawn, observation)
        expected = agent.stack.draw(1, agent.subgoals[1])
        assert expected is not None
        changed = (expected != observation).reshape(8, 8, 8, 8, 3).any((1, 3, 4)).sum()
        assert 1 <= changed <= 4, "the mover goes, and a thing is taken or opened"


def test_an_agent_without_images_has_no_gallery() -> None:
    stack = hplan.load("ogbench/pointmaze-medium-navigate").stack
    assert stack.draw(1, torch.zeros(16)) is None
    assert stack.with_gallery(SimpleNamespace()) is stack  # type: ignore[arg-type]
