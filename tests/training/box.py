"""A point in the unit square: as an environment, as play, and levels over vectors, untrained, that learn it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import torch

from hplan.levels.level import Level
from hplan.levels.stage import Curve, Stages
from hplan.play.play import Play
from hplan.training.fit import Progress, Run
from hplan.training.train import run_stages
from hplan.training.vectors import StrideSettings, base_level, encoded, level_above, level_stages
from hplan.types import ActionSpec, Episode, ObservationSpec

PLANE = ObservationSpec("vector", (2,))
PUSH = ActionSpec("continuous", 2, low=(-2.0, -1.0), high=(2.0, 1.0))
FOUR = ActionSpec("discrete", 4, names=("left", "right", "down", "up"))


class Square(gymnasium.Env):
    """A point that goes where it is pushed; it never ends."""

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


def stack(actions: ActionSpec, count: int) -> list[Level]:
    torch.manual_seed(0)
    levels = [base_level(PLANE, actions, latent=6, hidden=32)]
    for index in range(1, count):
        levels.append(level_above(levels[-1], stride=4**index, codes=8, latent=6, hidden=32))
    return [level.eval() for level in levels]


def play_in_a_box(actions: ActionSpec, episodes: int = 40, steps: int = 60) -> Play:
    """A point in the unit square; steps of 0.05 times the action, stopped by the walls."""
    generator = torch.Generator().manual_seed(0)
    at = torch.rand(episodes, 2, generator=generator)
    directions = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    observations, taken = [at], []
    heading = torch.rand(episodes, 2, generator=generator) * 2 - 1
    for _ in range(steps):
        turn = torch.rand(episodes, 1, generator=generator) < 0.1
        heading = torch.where(turn, torch.rand(episodes, 2, generator=generator) * 2 - 1, heading)
        if actions.kind == "discrete":
            taken.append(torch.randint(4, (episodes,), generator=generator))
            push = directions[taken[-1]]
        else:
            taken.append(heading.clone())
            push = heading
        at = (at + 0.05 * push).clamp(0, 1)
        observations.append(at)
    none = torch.zeros(steps)
    return Play.of(
        [
            Episode(
                observations=torch.stack([seen[number] for seen in observations]).numpy(),
                actions=torch.stack([done[number] for done in taken]).numpy(),
                rewards=none.numpy(),
                success=none.bool().numpy(),
                violation=none.bool().numpy(),
                terminated=False,
                seed=number,
            )
            for number in range(episodes)
        ],
        PLANE,
        actions,
    )


def train(
    levels: list[Level],
    play: Play,
    out: Path,
    *,
    steps: int,
    batch: int = 64,
    progress: Progress | None = None,
    device: str = "cpu",
    slow: float = 0.0,
    lr: float = 1e-3,
    **settings: object,
) -> tuple[dict[str, Curve], Play]:
    """Train levels one above the other, at rate `lr`; the curves, and play as the highest encodes it."""
    chosen = StrideSettings(base_steps=steps, above_steps=steps, batch=batch, **settings)  # type: ignore[arg-type]
    curves: dict[str, Curve] = {}
    for level in levels:
        weight = slow if level.index else 0.0
        stages = level_stages(level, play, chosen, rollout=2, seed=0, slow=weight)
        curves |= run_stages(_at_rate(stages, f"level{level.index}", lr), Run(0, out, device, progress))
        play = encoded(level, play)
    return curves, play


def _at_rate(stages: Stages, name: str, lr: float) -> Stages:
    """The same stages, but that of this name at another rate."""
    curve: Curve | None = None
    while True:
        try:
            stage = stages.send(curve)  # type: ignore[arg-type]  # a generator begins with None
        except StopIteration:
            return
        curve = yield replace(stage, lr=lr) if stage.name == name else stage
