"""Levels of both kinds trained by every objective: what collapses, what a kill changes, what an ablation leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hplan.training.trained import Curves
from levels.test_vector import PUSH, play_in_a_box, stack
from torch import nn
from two_doors import SMALL, two_doors

from hplan.levels.level import Level
from hplan.objectives.objective import NAMES
from hplan.training import success
from hplan.training.learn import learn
from hplan.training.vectors import encoded, train_vector_level
from hplan.types import UsageError

pytestmark = pytest.mark.training
EVERY = pytest.mark.parametrize("name", NAMES)
PLAY = play_in_a_box(PUSH)


def train(out: Path, steps: int, count: int = 1, **options) -> tuple[list[Level], Curves]:
    levels, play, curves = stack(PUSH, count), PLAY, {}
    for level in levels:
        curves |= train_vector_level(level, play, steps=steps, seed=0, out=out, batch=32, rollout=2, **options)
        play = encoded(level, play)
    return levels, curves


@EVERY
def test_vector_levels_learn_by_it(name: str, tmp_path: Path) -> None:
    """Every part of a level moves. A loss need not fall at once: targets of a copy move too."""
    levels, _ = train(tmp_path, 10, count=2, objective=name)
    for level, untrained in zip(levels, stack(PUSH, 2), strict=True):
        for part in ("encoder", "predictor"):
            trained, first = (nn.utils.parameters_to_vector(getattr(k, part).parameters()) for k in (level, untrained))
            assert bool(torch.isfinite(trained).all())
            assert not torch.allclose(trained, first, atol=1e-4)


@EVERY
def test_spatial_levels_learn_by_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success, "STEPS", 20)
    agent = learn(
        two_doors(400, SMALL | {"objective": name, "base_steps": 10, "above_steps": 5}), tmp_path / "run", device="cpu"
    )
    base = agent.stack.levels[0]
    assert isinstance(base, Level)
    assert bool(torch.isfinite(base.codes).all())
    assert not [key for key in base.state_dict() if "criterion" in key or "copy" in key]  # trained, and not kept


def test_by_prediction_error_alone_latents_shrink_and_vicreg_keeps_them_apart(tmp_path: Path) -> None:
    """Seen by how much they vary: a cloud that shrinks from all sides at once keeps its effective rank."""
    varies = {}
    for name in ("vicreg", "none"):
        (level,), _ = train(tmp_path / name, 150, objective=name, inverse=False, lr=2e-3)
        varies[name] = float(level.encode(PLAY.below).std(0).mean())
    assert varies["none"] < 0.1 < 0.8 < varies["vicreg"]


@pytest.mark.parametrize("name", ["byol", "dino"])
def test_a_level_that_follows_a_copy_is_resumed_to_the_same_weights(name: str, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        if done > 230:  # the last snapshot is of step 200
            raise Killed

    (whole,), _ = train(tmp_path / "whole", 250, objective=name)
    with pytest.raises(Killed):
        train(tmp_path / "killed", 250, objective=name, progress=kill)
    (resumed,), _ = train(tmp_path / "killed", 250, objective=name)
    mine, theirs = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_without_inverse_dynamics_nothing_is_asked_of_the_inverse_head(tmp_path: Path) -> None:
    _, with_it = train(tmp_path / "with", 5)
    (level,), without = train(tmp_path / "without", 5, inverse=False)
    assert "inverse" in with_it["level0"][-1] and "inverse" not in without["level0"][-1]
    untrained = stack(PUSH, 1)[0]
    assert all(
        torch.equal(*pair) for pair in zip(level.inverse.parameters(), untrained.inverse.parameters(), strict=True)
    )
    assert not torch.equal(next(level.encoder.parameters()), next(untrained.encoder.parameters()))


def test_without_rarity_nothing_is_mined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success, "STEPS", 20)
    agent = learn(two_doors(500, SMALL | {"rare": False}), tmp_path, device="cpu", levels=1)
    stages = {path.stem for path in (tmp_path / "stages").iterdir()}
    assert {stage for stage in stages if "success" not in stage} == {"level0"}, "no round that practises mistakes"
    assert agent.train_info["gradient_steps"] == SMALL["base_steps"] + 20 * (len(stages) - 1)


def test_an_unknown_objective_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="objective 'simclr' is not known; choose one of vicreg"):
        train(tmp_path, 5, objective="simclr")


def test_a_level_of_symbols_without_an_encoder_drops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success, "STEPS", 20)
    learned, bare = (
        learn(two_doors(training=SMALL | {"identity": flag}), tmp_path / str(flag), levels=2, device="cpu").stack
        for flag in (False, True)
    )
    level, below = bare.levels[1], bare.levels[0]
    assert isinstance(level, Level) and isinstance(below, Level)
    assert torch.equal(level.codes, below.codes)
    z = below.decode(torch.arange(5)[None, None])
    assert torch.equal(level.encode(z), z)
    assert level.stride < learned.levels[1].stride, "every move is an event"
