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
from hplan.training.strides import hindsight, next_ratio, reliable_horizon, travel_time, worth_a_level
from hplan.training.success import train_success
from hplan.training.trained import Curves, Trained
from hplan.training.vector import Play, base_level, encode_play, level_above, train_vector_level
from hplan.types import UsageError

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
    objective: str = "vicreg"  # hplan.losses.objective has the names
    inverse: bool = True  # latents of level 0 have to tell the action between them
    identity: bool = False  # levels above take the latents below as they are, for ablation
    ratio: int = 0  # steps of a level in one of the next; 0: as the level below is found reliable


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
    """A stack from play with vector observations. `levels`: "auto" adds them while they are worth it
    (`hplan.training.strides`). Raises UsageError where play is too short for as many as were asked for."""
    longest = int(data.remaining.max())
    parts = _hold_out(data, seed)
    play, held = (_as_play(part) for part in parts)
    rewarded = _rewarded(parts[0])
    success = torch.zeros(len(play.below), dtype=torch.bool)
    success[rewarded] = True
    torch.manual_seed(seed)
    stack: list[VectorLevel] = []
    thresholds: list[float] = []
    reliable: list[int] = []
    curves: Curves = {}
    trip, stride = float(longest), 1
    while True:
        index = len(stack)
        if index == 0:
            level = base_level(data.observation_spec, data.action_spec, latent=settings.latent, hidden=settings.hidden)
        else:
            level = level_above(
                stack[-1],
                stride=stride,
                codes=settings.codes,
                latent=settings.latent,
                hidden=settings.hidden,
                identity=settings.identity,
            )
        curves |= train_vector_level(
            level,
            play,
            steps=settings.above_steps if index else settings.base_steps,
            seed=seed,
            out=out,
            batch=settings.batch,
            objective=settings.objective,
            inverse=settings.inverse,
            rollout=max(min(max(4 - index, 2), longest // stride), 1),
            device=device,
            progress=progress,
        )
        reliable.append(reliable_horizon(level, held))
        below, play = held, encode_play(level, play)
        held = encode_play(level, held)
        if index == 0:
            trip = travel_time(play, seed)
        ratio = settings.ratio or next_ratio(trip / stride, reliable[-1])
        thresholds.append(conformal_threshold(_errors(level, below, ratio, torch.Generator().manual_seed(seed))))
        latents = play.below
        curves |= train_success(
            level, latents.__getitem__, success, seed=seed, out=out, device=device, progress=progress
        )
        stack.append(level.eval().requires_grad_(False))
        room = longest // (2 * stride)  # an episode has to hold two steps of a level
        if levels == "auto" and (room < 2 or not worth_a_level(trip / stride, min(ratio, room))):
            break
        if len(stack) == levels:
            break
        if room < 2:
            raise UsageError(
                f"--levels {levels}: a step of level {index} lasts {stride} environment steps, and the longest episode "
                f"of play has {longest}, too few for two steps of a level above; choose {len(stack)} levels or auto"
            )
        stride *= min(ratio, room)
    count = len(stack)
    tolerance = tuple(CLOSE if index <= 1 else CLOSER for index in range(count))
    facts = {"travel_time": trip, "reliable": reliable}
    return Trained(tuple(stack), tuple(thresholds), tolerance, (bool(len(rewarded)),) * count, curves, facts)


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
def _errors(level: VectorLevel, held: Play, ratio: int, generator: torch.Generator) -> np.ndarray:
    """What the controller will watch, on held-out windows, (n,) in steps of the level.

    Level 0: open-loop error after `ratio` steps, as many as one subgoal takes. Above: at a random moment of a step, the
    distance to where the step began or to where it is predicted to end, whichever is nearer.
    """
    stride = round(level.stride)
    ahead = ratio if level.index == 0 and bool((held.remaining >= ratio).any()) else 1
    rows = held.starts(ahead * stride)
    rows = rows[:: max(len(rows) // CHECKED, 1)]
    start = level.encode(held.below[rows])
    if level.index == 0:
        z = start
        for step in range(ahead):
            z = level.predict(z, held.actions[rows + step])
        return level.distance(z, level.encode(held.below[rows + ahead])).numpy()
    end = level.predict(start, hindsight(level, held, rows, level.encode(held.below[rows + stride])))
    moment = torch.randint(1, stride + 1, (len(rows),), generator=generator)
    z = level.encode(held.below[rows + moment])
    return torch.minimum(level.distance(z, start), level.distance(z, end)).numpy()
