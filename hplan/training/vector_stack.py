"""A whole stack over vector latents: how many levels, at which strides, trained bottom up and calibrated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.levels.landmark_edges import LandmarkEdges
from hplan.levels.vector import VectorLevel
from hplan.objectives.collapse import SAMPLE, Health, examine, some, warn_of_collapse
from hplan.play.play import Play as PlayData
from hplan.training.calibration import calibrate_stack
from hplan.training.chance import cut, unpredictable
from hplan.training.fit import Progress
from hplan.training.fits import train_fits
from hplan.training.landmark_edges import landmark_edges
from hplan.training.policy import train_policy
from hplan.training.shuffle import out_of_order
from hplan.training.strides import next_ratio, reliable_horizon, travel_time, worth_a_level
from hplan.training.success import train_success
from hplan.training.trained import Curves, Trained
from hplan.training.uncertainty import carried_errors, train_uncertainty
from hplan.training.vector import Play, base_level, encode_play, level_above, train_vector_level
from hplan.types import UsageError

HELD_OUT = 0.15  # of the episodes are kept for calibration: moments of one are alike, so it takes many for a threshold
CLOSE, CLOSER = 1.0, 0.5  # steps from a goal that count as there; a whole step of a high level is nearly everywhere


@dataclass(frozen=True)
class VectorSettings:
    """Sizes and lengths of training; a task may override any by budget (tasks/README.md)."""

    base_steps: int = 6000
    above_steps: int = 2500
    batch: int = 128
    codes: int = 64
    latent: int = 16  # numbers of a latent
    hidden: int = 128
    objective: str = "vicreg"  # hplan.objectives.objective has the names
    inverse: bool = True  # latents of level 0 have to tell the action between them
    identity: bool = False  # levels above take the latents below as they are, for ablation
    rollout: int = 3  # steps of level 1 that it is trained to predict open loop
    slow: float = 2.0  # weight of slowness above level 0: what a level keeps should outlast its steps
    shuffle: bool = False  # levels above 0 see the latents of an episode out of order: a negative control
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
    (`hplan.training.strides`), and leaves out one whose steps lead nearly anywhere. Raises UsageError where play is too
    short for as many as were asked for, and where it shows one layout and others are to be seen."""
    fitted, checked = _hold_out(data, seed)
    whole, held = _as_play(fitted), _as_play(checked)
    if levels != 1 and whole.layouts is not None and len(whole.layouts.images) == 1:
        raise UsageError(
            "all episodes to learn from are in one layout, and it takes several to learn what walls mean: play in "
            "more, or train one level"
        )
    play, longest, chances = whole, int(data.remaining.max()), 0
    rewarded = _rewarded(fitted)
    success = torch.zeros(len(whole.below), dtype=torch.bool)
    success[rewarded] = True
    torch.manual_seed(seed)
    stack: list[VectorLevel] = []
    reliable: list[int] = []
    curves: Curves = {}
    edges: dict[int, LandmarkEdges] = {}
    errors: Tensor | None = None
    facts: dict[str, Any] = {}
    trip, stride, below_stride = float(longest), 1, 1
    while True:
        index = len(stack)
        learn = {
            "steps": settings.above_steps if index else settings.base_steps,
            "batch": settings.batch,
            "objective": settings.objective,
            "inverse": settings.inverse,
            "rollout": max(min(_rollout(index, settings), longest // stride), 1),
            "seed": seed,
            "out": out,
            "device": device,
            "progress": progress,
        }
        slow = settings.slow if index else 0.0
        level = _beginning(data, stack, stride, play.reach(stride), settings)
        curve, health = train_vector_level(level, play, slow=slow, **learn), _health(level, play)
        if slow and "deviation" in health.symptoms:
            # Where a step leads nearly anywhere, a level is only slow by making a point of its latents.
            if levels == "auto":
                warn_of_collapse(level, health)
                facts["left_out"] = stride
                break
            level = _beginning(data, stack, stride, play.reach(stride), settings)
            curve |= train_vector_level(level, play, stage=f"level{index}-again", **learn)
            health = _health(level, play)
        curves |= curve
        warn_of_collapse(level, health)
        # Chance is cut out of what is learned and measured, but for what is uncertain.
        if index == 0:
            chance = unpredictable(level, whole)
            chances, play = int(chance.sum()), cut(whole, chance)
            held, longest = cut(held, unpredictable(level, held)), int(play.remaining.max())
        if index:
            curves |= train_policy(level, stack[-1], play, seed=seed, out=out, device=device, progress=progress)
        curves |= train_fits(level, play, seed=seed, out=out, device=device, progress=progress)
        errors = carried_errors(level, whole, errors, below_stride)
        curves |= train_uncertainty(
            level, whole, errors, play.remaining, seed=seed, out=out, device=device, progress=progress
        )
        reliable.append(reliable_horizon(level, held))
        whole, held = encode_play(level, whole), encode_play(level, held)
        play = replace(play, below=whole.below)
        if index and play.layouts is None:  # elsewhere, its landmarks would lie in walls
            edges[index] = landmark_edges(level, play)
        if index == 0:
            trip = travel_time(play, seed)
            if settings.shuffle:
                order = out_of_order(whole, seed)
                whole, success = replace(whole, below=whole.below[order]), success[order]
                play = replace(play, below=whole.below)
        ratio = settings.ratio or next_ratio(trip / stride, reliable[-1])
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
        below_stride, stride = stride, stride * min(ratio, room)
    count = len(stack)
    tolerance = tuple(CLOSE if index <= 1 else CLOSER for index in range(count))
    facts |= {"travel_time": trip, "reliable": reliable, "chances": chances}
    checked = replace(checked, remaining=held.remaining)
    return Trained(
        tuple(stack),
        calibrate_stack(stack, checked, seed),
        tolerance,
        (bool(len(rewarded)),) * count,
        curves,
        facts,
        edges,
    )


def _beginning(
    data: PlayData, stack: list[VectorLevel], stride: int, view: int, settings: VectorSettings
) -> VectorLevel:
    """The next level of the stack, untrained."""
    sizes = {"latent": settings.latent, "hidden": settings.hidden, "view": view}
    if not stack:
        return base_level(data.observation_spec, data.action_spec, **sizes)
    return level_above(stack[-1], stride=stride, codes=settings.codes, identity=settings.identity, **sizes)


def _health(level: VectorLevel, play: Play) -> Health:
    """Of a level that is trained; `play` as the level below encodes it."""
    rows = some(torch.arange(len(play.below)), SAMPLE)
    return examine(level, level.encode(play.below[rows]), lambda at: play.at(rows[at], level))


def _rollout(index: int, settings: VectorSettings) -> int:
    """Steps of a level in one window of its training. Level 1 fills in what the levels above leave out, so it has to be
    right for longest; what is above looks over few steps that take long."""
    return settings.rollout if index == 1 else 2 if index else 4


def _hold_out(data: PlayData, seed: int) -> tuple[PlayData, PlayData]:
    """By whole layouts where they are seen, so that thresholds are those of unseen ones, else by whole episodes."""
    group = np.arange(data.episodes)
    if data.contexts is not None:
        group = np.unique(data.contexts.numpy(), axis=0, return_inverse=True)[1].reshape(-1)
    count = int(group.max()) + 1
    order = np.random.default_rng(seed).permutation(count)
    held = np.isin(group, order[: max(round(HELD_OUT * count), 1)]) & (count > 1)
    return data.select(torch.from_numpy(~held)), data.select(torch.from_numpy(held)) if held.any() else data


def _as_play(data: PlayData) -> Play:
    return Play(
        data.observations.float(),
        data.actions,
        data.remaining,
        data.layouts,
    )


def _rewarded(data: PlayData) -> Tensor:
    """Rows that a rewarded step ended in."""
    return torch.nonzero(data.success)[:, 0] + 1
