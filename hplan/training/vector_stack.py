"""A whole stack over vector latents: how many levels, at which strides, trained bottom up and calibrated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hplan.control.surprise import conformal_threshold
from hplan.data.windows import PlayData
from hplan.models.vector import VectorLevel
from hplan.training.fit import Progress
from hplan.training.success import train_success
from hplan.training.trained import Curves, Trained
from hplan.training.vector import Play, base_level, encode_play, level_above, train_vector_level
from hplan.types import UsageError

STRIDE = 8  # steps of a level in one step of the level above: as far as open-loop prediction stays within a step
SHORTEST = 10  # steps of the top level in an episode of play; with fewer there is nothing to plan at that level
HELD_OUT = 0.05  # of the layouts, or episodes where all share one, are kept for calibration
CLOSE, CLOSER = 1.0, 0.5  # steps from a goal that count as there; a whole step of a high level is nearly everywhere
CHECKED = 4096  # held-out windows per level


@dataclass(frozen=True)
class VectorSettings:
    """Sizes and lengths of training; a task may override any by budget (tasks/README.md)."""

    base_steps: int = 2500
    above_steps: int = 2500
    batch: int = 128
    codes: int = 64
    latent: int = 16
    hidden: int = 128


def strides(episode_steps: int, levels: int | str) -> tuple[int, ...]:
    """Environment steps in a step of each level: 1, 8, 64, ...; "auto" goes on while episodes have ten of them."""
    if levels != "auto":
        return tuple(STRIDE**k for k in range(int(levels)))
    found = [1]
    while found[-1] * STRIDE * SHORTEST <= episode_steps:
        found.append(found[-1] * STRIDE)
    return tuple(found)


def train_vector(
    data: PlayData,
    *,
    levels: int | str,
    settings: VectorSettings,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
) -> Trained:
    """A stack from play with vector observations. Raises UsageError where play is too short for these levels."""
    longest = int(data.remaining.max())
    clock = strides(longest, levels)
    if 2 * clock[-1] > longest:
        raise UsageError(
            f"--levels {levels}: a step of the top level lasts {clock[-1]} environment steps, and the longest episode "
            f"of play has {longest}; choose fewer levels or auto"
        )
    play, held = (_as_play(part) for part in _hold_out(data, seed))
    success = torch.zeros(len(play.below), dtype=torch.bool)
    torch.manual_seed(seed)
    stack: list[VectorLevel] = []
    thresholds: list[float] = []
    curves: Curves = {}
    rewarded = _rewarded(_hold_out(data, seed)[0])
    success[rewarded] = True
    for index, stride in enumerate(clock):
        if index == 0:
            level = base_level(data.observation_spec, data.action_spec, latent=settings.latent, hidden=settings.hidden)
        else:
            level = level_above(
                stack[-1], stride=stride, codes=settings.codes, latent=settings.latent, hidden=settings.hidden
            )
        curves |= train_vector_level(
            level,
            play,
            steps=settings.above_steps if index else settings.base_steps,
            seed=seed,
            out=out,
            batch=settings.batch,
            rollout=_rollout(stride, longest),
            device=device,
            progress=progress,
        )
        thresholds.append(conformal_threshold(_errors(level, held, torch.Generator().manual_seed(seed))))
        play, held = encode_play(level, play), encode_play(level, held)
        latents = play.below
        curves |= train_success(
            level, latents.__getitem__, success, seed=seed, out=out, device=device, progress=progress
        )
        stack.append(level.eval().requires_grad_(False))
    count = len(clock)
    tolerance = tuple(CLOSE if index <= 1 else CLOSER for index in range(count))
    return Trained(tuple(stack), tuple(thresholds), tolerance, (bool(len(rewarded)),) * count, curves)


def _rollout(stride: int, longest: int) -> int:
    """Steps of the level that it is trained to predict open loop: fewer where they are long."""
    return max(min(4 if stride == 1 else 3 if stride <= STRIDE else 2, longest // stride), 1)


def _hold_out(data: PlayData, seed: int) -> tuple[PlayData, PlayData]:
    """By whole episodes: every layout of a vector world may be the same one."""
    order = np.random.default_rng(seed).permutation(data.episodes)
    held = np.zeros(data.episodes, bool)
    held[order[: max(round(HELD_OUT * data.episodes), 1)]] = data.episodes > 1
    return data.select(~held), data.select(held) if held.any() else data


def _as_play(data: PlayData) -> Play:
    return Play(
        torch.from_numpy(np.ascontiguousarray(data.observations, dtype=np.float32)),
        torch.from_numpy(np.ascontiguousarray(data.actions)),
        torch.from_numpy(data.remaining.astype(np.int64)),
    )


def _rewarded(data: PlayData) -> Tensor:
    """Rows that a rewarded step ended in."""
    return torch.from_numpy(np.flatnonzero(data.success) + 1)


@torch.no_grad()
def _errors(level: VectorLevel, held: Play, generator: torch.Generator) -> np.ndarray:
    """What the controller will watch, on held-out windows, (n,) in steps of the level.

    Level 0: open-loop error after as many steps as one subgoal takes. Above: at a random moment of a step, the distance
    to where the step began or to where it is predicted to end, whichever is nearer.
    """
    stride = round(level.stride)
    ahead = STRIDE if level.index == 0 and bool((held.remaining >= STRIDE).any()) else 1
    rows = held.starts(ahead * stride)
    rows = rows[:: max(len(rows) // CHECKED, 1)]
    start = level.encode(held.below[rows])
    if level.index == 0:
        z = start
        for step in range(ahead):
            z = level.predict(z, held.actions[rows + step])
        return level.distance(z, level.encode(held.below[rows + ahead])).numpy()
    actions = held.actions[rows[:, None] + torch.arange(stride)]
    end = level.encode(held.below[rows + stride])
    end = level.predict(start, level.codebook.nearest(level.describe(start, end, actions)))
    moment = torch.randint(1, stride + 1, (len(rows),), generator=generator)
    z = level.encode(held.below[rows + moment])
    return torch.minimum(level.distance(z, start), level.distance(z, end)).numpy()
