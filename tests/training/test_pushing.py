"""Steps that change more than what is next to the mover: who pushes a box moves something two cells away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import hplan
from hplan.training.cells import changes_afar

SEED = 50


class Push(gym.Env):
    """A box that is to be pushed onto a target, on a floor of 6 x 6 cells; against the border it does not move."""

    action_space = gym.spaces.Discrete(4)
    TARGET, BOX, DONE = 2, 3, 4
    observation_space = gym.spaces.Box(
        np.uint8(0), np.broadcast_to(np.array([DONE, 1], np.uint8), (6, 6, 2)), dtype=np.uint8
    )
    WAYS = ((1, 0), (0, 1), (-1, 0), (0, -1))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        cells = self.np_random.permutation(16)[:3]
        self.box, self.target, self.here = ((1 + int(cell) // 4, 1 + int(cell) % 4) for cell in cells)
        self.steps = 0
        return self.seen(), {}

    def seen(self) -> np.ndarray:
        seen = np.zeros((6, 6, 2), np.uint8)
        seen[self.target][0] = self.TARGET
        seen[self.box][0] = self.DONE if self.box == self.target else self.BOX
        seen[self.here][1] = 1
        return seen

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        def moved(cell: tuple[int, int]) -> tuple[int, int]:
            down, right = self.WAYS[action]
            return cell[0] + down, cell[1] + right

        to, self.steps = moved(self.here), self.steps + 1
        beyond = moved(to) if to == self.box else to
        if all(0 <= place < 6 for place in beyond):
            self.box, self.here = (beyond if to == self.box else self.box), to
        there = self.box == self.target
        return self.seen(), float(there), there, self.steps >= 60, {"success": there}


@pytest.mark.training
def test_a_box_is_pushed_onto_its_target(tmp_path: Path) -> None:
    """Before, every push was mispredicted, and none of 20 episodes solved."""
    agent = hplan.learn(Push, tmp_path / "run", steps=10_000, seed=SEED)
    assert agent.stack.train["far"]
    assert hplan.evaluate(agent, Push, episodes=30, seed=SEED).success_rate >= 0.95
    level, codec, env = agent.stack.levels[0], agent.stack.codec, Push()
    env.reset(seed=SEED)
    env.box, env.target, env.here = (2, 3), (4, 4), (2, 2)
    z = level.encode(torch.from_numpy(codec.encode(env.seen())[None]))
    env.step(1)
    assert torch.equal(
        level.predict(z, torch.tensor([1])), level.encode(torch.from_numpy(codec.encode(env.seen())[None]))
    )


def ground_of(changed: list[list[int]]) -> torch.Tensor:
    """Pairs of maps (2 K, 5, 5) of which the second differs in these cells."""
    maps = torch.zeros(2 * len(changed), 25, dtype=torch.long)
    for row, cells in enumerate(changed):
        maps[2 * row + 1, cells] = 1
    return maps.view(-1, 5, 5)


@pytest.mark.parametrize(
    ("changed", "far"),
    [([[13, 14]] * 10, True), ([[13]] * 10, False), ([[13, 14]] * 10 + [[14]] * 10, False), ([[13, 14]] * 3, False)],
    ids=["pushed", "near", "by-itself", "seldom"],
)
def test_what_changes_afar_goes_with_what_changes_near(changed: list[list[int]], far: bool) -> None:
    """The mover is in the middle, cell 12. What also changes without it, such as what moves by itself, is no push."""
    starts = torch.arange(0, 2 * len(changed), 2)
    assert changes_afar(ground_of(changed), starts, torch.full_like(starts, 12)) == far
