"""Every level that training makes is looked at, whatever the kind of its latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from two_doors import SMALL, two_doors

from hplan.objectives import collapse
from hplan.training import policy, success
from hplan.training.learn import learn
from hplan.types import CollapseWarning

pytestmark = pytest.mark.training


class Square(gymnasium.Env):
    """A point in the unit square that goes where it is pushed; it never ends."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    metadata = {"render_modes": []}  # noqa: RUF012 - as Gymnasium has it

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.random(2).astype(np.float32)
        return self.at, {}

    def step(self, action):
        self.at = np.clip(self.at + 0.1 * action, 0.0, 1.0).astype(np.float32)
        return self.at, 0.0, False, False, {}


def square(out: Path) -> None:
    settings = {"base_steps": 20, "above_steps": 10, "batch": 32, "hidden": 16, "ratio": 4}
    learn(Square, out, steps=2000, levels=2, settings=settings, device="cpu")


def doors(out: Path) -> None:
    learn(two_doors(500, SMALL | {"base_steps": 10, "above_steps": 5}), out, device="cpu")


@pytest.mark.parametrize("train", [square, doors])
def test_each_level_that_is_found_wanting_is_warned_of(
    train: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(success, "STEPS", 5)
    monkeypatch.setattr(policy, "STEPS", 5)
    monkeypatch.setattr(collapse, "LEAST_RANK", 2.0)  # more than there can be
    with pytest.warns(CollapseWarning) as said:
        train(tmp_path / "run")
    told = [str(one.message) for one in said if one.category is CollapseWarning]
    assert [text.split(":")[0] for text in told] == ["level 0 collapsed", "level 1 collapsed"]
    assert all("effective rank" in text for text in told)
