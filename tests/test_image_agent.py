"""An agent that sees images: what it is given has to be one of its own, and an eye has to be of its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from raw_worlds import Canvas, Gauge
from torch import Tensor, nn

import hplan
from hplan.play.exchange import export_minari
from hplan.types import Episode, UsageError

NAME = "visual/pointmaze-medium-navigate"


class Narrow(nn.Module):
    """An eye that makes one number, whatever is asked for."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def forward(self, frames: Tensor) -> Tensor:
        return frames.float().flatten(-3).mean(-1, keepdim=True)


def test_what_is_no_image_of_its_own_is_refused_by_name() -> None:
    agent = hplan.load(NAME)
    agent.reset(goal=np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(UsageError, match=rf"{NAME}: observation .* is outside its space Box.*shape \(32, 32, 3\)"):
        agent.act(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(UsageError, match=rf"{NAME}: observation .* is outside its space Box.*shape \(2,\)"):
        agent.reset(goal=np.zeros(2, np.float32))


def test_episodes_of_other_images_are_refused_by_name() -> None:
    nothing = np.zeros(9, bool)
    seen = np.zeros((10, 32, 32, 3), np.uint8)
    other = Episode(seen, np.zeros((9, 2), np.float32), nothing.astype(np.float32), nothing, nothing, False, 0)
    with pytest.raises(UsageError, match=rf"shows image \(32, 32, 3\); {NAME} sees image \(64, 64, 3\)"):
        hplan.surprise(hplan.load(NAME), other)
    agent = hplan.load("minigrid/DoorKey-8x8")
    agent.stack.check_sees("symbols", (16, 16, 6), "a larger map")
    with pytest.raises(UsageError, match="a larger map shows symbols"):
        agent.stack.check_sees("symbols", (16, 16, 3), "a larger map")


def test_an_encoder_of_another_size_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"test_image_agent:Narrow' makes \(2, 1\) of two observations; expected"):
        hplan.learn(Canvas, out=tmp_path / "run", steps=100, encoder=Narrow)
    assert not (tmp_path / "run").exists()


def test_a_goal_is_told_by_its_image_alone() -> None:
    env, agent = hplan.make(NAME), hplan.load(NAME)
    observation, info = env.reset(seed=5)
    agent.reset(goal=info["goal"], seed=5)
    for _ in range(3):
        observation, *_ = env.step(agent.act(observation))
    tree = agent.tree
    assert tree.root.is_goal
    with torch.inference_mode():
        there = agent.stack.encode(info["goal"])
        here = agent.stack.encode(observation)
    assert float(agent.stack.levels[0].distance(here[0][None], there[0][None])) > 1


TINY = {"base_steps": 20, "batch": 32, "eye_steps": 10}


def test_numbers_beside_an_image_are_seen_by_every_eye_and_some_way_of_learning_it(tmp_path: Path) -> None:
    for name, options in {
        "vicreg": {"objective": "vicreg"},
        "patches": {"encoder": "patches"},
        "frames": {"settings": {"history": 2}},
    }.items():
        given = {"steps": 600, "levels": 1, **options, "settings": TINY | options.get("settings", {})}
        agent = hplan.load(hplan.learn(Gauge, out=tmp_path / name, **given).name)
        assert agent.stack.levels[0].encoder.eye.numbers == 3
        assert agent.stack.gallery is not None
        assert agent.stack.gallery.frames.shape[1:] == agent.stack.observation_spec.picture
        seen, _ = Gauge().reset(seed=0)
        with torch.inference_mode():
            one, other = (
                agent.stack.encode(agent.stack.codec.encode({**seen, "gauge": np.float32([up])}))[0] for up in (-1, 1)
            )
        assert not torch.allclose(one, other), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "i-jepa"}, "images with numbers beside them have no map to hide blocks of"),
        ({"encoder": "films"}, r"encoder 'films' reads no image of shape \(24, 24, 1\)"),
        ({"abstraction": "cellular"}, "shows numbers beside images, which abstraction 'cellular' does not see"),
    ],
)
def test_what_cannot_see_numbers_beside_an_image_is_refused(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        hplan.learn(Gauge, out=tmp_path / "run", steps=300, levels=1, **{"settings": TINY, **options})
    assert not (tmp_path / "run").exists(), "before anything is played"


def test_play_of_images_with_numbers_stays_in_hplan(tmp_path: Path) -> None:
    hplan.learn(Gauge, out=tmp_path / "run", steps=300, levels=1, settings=TINY)
    with pytest.raises(UsageError, match="Gauge shows images with 3 numbers beside: those stay in hplan"):
        export_minari(tmp_path / "run" / "play", "toy/gauge-v0")
