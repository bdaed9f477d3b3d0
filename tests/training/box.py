"""A point in the unit square: play of it, and levels over vectors, untrained, that learn it."""

from __future__ import annotations

from pathlib import Path

import torch

from hplan.levels.level import Level
from hplan.levels.stage import Curve
from hplan.play.play import Play
from hplan.training.fit import Progress, Run
from hplan.training.train import run_stages
from hplan.training.vectors import StrideSettings, base_level, encoded, level_above, level_stages
from hplan.types import ActionSpec, Episode, ObservationSpec

PLANE = ObservationSpec("vector", (2,))
PUSH = ActionSpec("continuous", 2, low=(-2.0, -1.0), high=(2.0, 1.0))
FOUR = ActionSpec("discrete", 4, names=("left", "right", "down", "up"))


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
    **settings: object,
) -> tuple[dict[str, Curve], Play]:
    """Train levels one above the other; the curves, and play as the highest encodes it."""
    chosen = StrideSettings(base_steps=steps, above_steps=steps, batch=batch, **settings)  # type: ignore[arg-type]
    curves: dict[str, Curve] = {}
    for level in levels:
        weight = slow if level.index else 0.0
        stages = level_stages(level, play, chosen, rollout=2, seed=0, slow=weight)
        curves |= run_stages(stages, Run(0, out, device, progress))
        play = encoded(level, play)
    return curves, play
