"""`hplan surprise`: how far each level's predictions are off, moment by moment, and whether that tells the impossible.

Error of level k at a moment: as its controller measures it, one step of the level ahead. What cannot happen is made of
what did: from a random moment on, an episode goes on elsewhere (`leap`), a thing is gone (`vanish`), or colours are
others (`colour`). The scores of disturbed and undisturbed episodes are the largest errors in them (as in IntPhys;
Riochet et al., 2018, arXiv 1803.07616).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from hplan.agent import Agent
from hplan.config import ChangeConfig, TaskConfig
from hplan.files import plain, write_atomically
from hplan.levels.calibration import surprise as relative
from hplan.levels.level import Level
from hplan.levels.steps import latents_of, steps_of
from hplan.play.exchange import canonical_actions
from hplan.play.play import Play
from hplan.play.record import play
from hplan.play.store import EpisodeStore
from hplan.types import (
    Disturbance,
    Episode,
    LevelReport,
    LevelSurprise,
    ObservationSpec,
    SurpriseReport,
    UsageError,
)

APART = 980_000  # added to the seed of play, so that it is no training run's
LEAST = 8  # steps of an episode, at the least, that something is looked for in
AROUND = 8  # steps of a level before and after the moment that a profile shows
BLOCKS = 8  # of an image, in either direction, one of which is gone
Progress = Callable[[str, int, int, dict[str, float]], None]


def surprise(agent: Agent, episode: Episode | tuple[Sequence[Any], Sequence[Any]]) -> tuple[LevelSurprise, ...]:
    """How far every level's predictions are off in an episode, the finest level first.

    episode: as play has it, or (observations, actions) as the environment shows and takes them, T + 1 and T. Raises
    UsageError for something else.
    """
    return surprises(agent, [_episode(agent, episode)])[0]


@torch.inference_mode()
def surprises(agent: Agent, episodes: Sequence[Episode]) -> list[tuple[LevelSurprise, ...]]:
    """The same of several episodes at once."""
    stack = agent.stack
    seen = stack.seen(Play.of(episodes, stack.observation_spec, stack.action_spec))
    first = seen.begins
    found: list[list[LevelSurprise]] = [[] for _ in episodes]
    for level, calibration in zip(stack.levels, stack.calibration, strict=True):
        latents = latents_of(level, seen)
        rows, errors = _errors(level, seen, latents)
        number, threshold = seen.episode[rows], float(calibration.thresholds()[0])
        for i, own in enumerate(found):
            mine = number == i
            moments = (rows[mine] - first[i]).numpy()
            own.append(LevelSurprise(level.index, moments, errors[mine].numpy(), threshold))
        seen = seen.with_latents(latents)
    return [tuple(each) for each in found]


def _errors(level: Level, seen: Play, latents: Tensor) -> tuple[Tensor, Tensor]:
    """(M,) rows, in order, and the level's error at each of them (M,)."""
    steps = steps_of(level, seen, latents)
    eventful, stride = level.capabilities.events, round(level.stride)
    rows = torch.bincount(seen.episode)
    within = steps.begin - (rows.cumsum(0) - rows)[seen.episode[steps.begin]]
    some = torch.arange(len(steps.begin)) if eventful else torch.nonzero(within % stride == 0)[:, 0]
    known = steps.follows[some] > 0
    at, strange = some[known], some[~known]
    moments, errors = [steps.end[strange]], [torch.full((len(strange),), torch.inf)]
    for part in at.split(256):
        here, begin, macros = steps.at(steps.begin[part]), latents[steps.begin[part]], steps.macros[part]
        predicted, expected = here.predict(begin, macros), here.uncertainty(begin, macros)
        gradual = level.index > 0 and not eventful  # a step takes its time: play may still be near where it began
        for row in [steps.begin[part] + n for n in range(1, stride + 1)] if gradual else [steps.end[part]]:
            z = latents[row]
            off = level.distance(predicted, z)
            if gradual:
                off = torch.minimum(off, level.distance(z, begin))
            moments.append(row)
            errors.append(relative(off, expected))
    found, order = torch.cat(moments).sort()
    return found, torch.cat(errors)[order]


def measure(
    agent: Agent, task: TaskConfig, *, episodes: int = 20, seed: int = 0, progress: Progress | None = None
) -> SurpriseReport:
    """Play episodes of the task by its own recipe, and disturb each in every way that its observations allow.

    Deterministic: same agent, task, episodes and seed, same figures. Raises UsageError where the task shows something
    else than the agent sees, or where its episodes are too short to disturb.
    """
    usual = _play(agent, task, episodes, seed, progress)
    clear = usual  # the same without noise, which makes any two images differ
    if task.changes.kind == "flicker":
        clear = _play(agent, replace(task, changes=ChangeConfig()), episodes, seed, None)
    plain_ones = surprises(agent, usual)
    rng, strides = np.random.default_rng(seed), [level.stride for level in agent.stack.levels]
    found: list[list[Disturbance]] = [[] for _ in strides]
    for number, (kind, disturb) in enumerate(disturbances(agent.stack.observation_spec).items()):
        every = (disturb(each, rng, beneath) for each, beneath in zip(usual, clear, strict=True))
        made = [one for one in every if one is not None]
        if not made:
            continue
        disturbed = surprises(agent, [one for one, _ in made])
        for k, own in enumerate(found):
            scores, calm = ([_largest(each[k]) for each in group] for group in (disturbed, plain_ones))
            told = [
                (moment := each[k].found) is not None and 0 <= moment - at <= max(round(strides[k]), 1)
                for each, (_, at) in zip(disturbed, made, strict=True)
            ]
            auroc = mannwhitneyu(scores, calm).statistic / (len(scores) * len(calm))
            profile = _profile([(each[k], at) for each, (_, at) in zip(disturbed, made, strict=True)], strides[k])
            own.append(Disturbance(kind, float(auroc), float(np.mean(told)), len(made), profile))
        if progress:
            progress("disturb", number + 1, len(disturbances(agent.stack.observation_spec)), {})
    levels = []
    for k, stride in enumerate(strides):
        every = np.concatenate([each[k].errors for each in plain_ones])
        threshold = plain_ones[0][k].threshold
        alarms = float((every > threshold).mean()) if len(every) else float("nan")
        levels.append(LevelReport(k, stride, threshold, alarms, tuple(found[k])))
    moments = tuple(
        tuple(tuple(zip(one.moments.tolist(), one.errors.round(4).tolist(), strict=True)) for one in each)
        for each in plain_ones
    )
    return SurpriseReport(agent.name, task.name, seed, len(usual), tuple(levels), moments)


def write_surprise(found: SurpriseReport, path: str | os.PathLike[str]) -> Path:
    """Write all figures as JSON, atomically; what is infinite is null."""
    return write_atomically(path, json.dumps(plain(asdict(found)), allow_nan=False) + "\n")


def _largest(of: LevelSurprise) -> float:
    return float(of.errors.max(initial=0.0))


def _profile(found: list[tuple[LevelSurprise, int]], stride: float) -> tuple[float, ...]:
    """As `Disturbance.profile`, of errors with the moment of each disturbance."""
    largest = np.full((len(found), 2 * AROUND + 1), np.nan)
    for row, (one, at) in zip(largest, found, strict=True):
        step = np.floor((one.moments - at) / max(round(stride), 1)).astype(int) + AROUND
        for n in np.unique(step[(step >= 0) & (step <= 2 * AROUND)]):
            row[n] = one.errors[step == n].max()
    shown = np.isfinite(largest)
    total = np.where(shown, largest, 0.0).sum(0)
    return tuple(np.divide(total, shown.sum(0), out=np.full(len(total), np.nan), where=shown.any(0)).tolist())


def _play(agent: Agent, task: TaskConfig, count: int, seed: int, progress: Progress | None) -> list[Episode]:
    with tempfile.TemporaryDirectory() as folder:
        told = (lambda done, total: progress("play", done, total, {})) if progress else None
        play(task, Path(folder), steps=count * task.play.episode_steps, seed=APART + seed, progress=told)
        store = EpisodeStore.open(folder)
        here = store.manifest.observation_spec
        agent.stack.check_sees(here.kind, here.shape, task.name)
        found = [episode for episode in store if len(episode) >= LEAST][:count]
    if not found:
        raise UsageError(f"{task.name}: no episode of play has {LEAST} steps, too few to be surprised in")
    return found


def _episode(agent: Agent, given: Any) -> Episode:
    if isinstance(given, Episode):
        agent.stack.check_sees(agent.stack.observation_spec.kind, given.observations.shape[1:], "surprise: an episode")
        return given
    try:
        observations, actions = (list(each) for each in given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"surprise: expected an Episode, or (observations, actions): {error}") from error
    if len(observations) != len(actions) + 1 or not actions:
        raise UsageError(
            f"surprise: {len(observations)} observations and {len(actions)} actions; expected an action between each "
            "two observations"
        )
    codec = agent.stack.codec
    seen = np.stack([codec.encode(one) for one in observations])
    taken = canonical_actions(codec.action_space, np.asarray(actions), "surprise")
    nothing = np.zeros(len(taken), bool)
    return Episode(seen, taken, nothing.astype(np.float32), nothing, nothing, False, 0)


# ------------------------------------------------------------------------------------------- what does not happen


Disturbed = tuple[Episode, int] | None  # and the moment of the first observation that is not as it should be


def leap(episode: Episode, rng: np.random.Generator, clear: Episode) -> Disturbed:
    """It goes on in another moment of its own, at least a quarter of its length away, and as far off as any step of it
    leads. How far is seen in `clear`, the same episode without noise."""
    count, seen = len(episode), clear.observations
    at = int(rng.integers(count // 4, 3 * count // 4))
    moments = np.arange(count - LEAST // 2)
    away = moments[np.abs(moments - at) >= count // 4]
    far = _difference(seen[away + 1], seen[at])
    other = away[(far > 0) & (far >= _difference(seen[1:], seen[:-1]).max())]
    if not len(other):
        return None
    there = int(rng.choice(other))
    observations = np.concatenate([episode.observations[: at + 1], episode.observations[there + 1 :]])
    taken = np.concatenate([episode.actions[: at + 1], episode.actions[there + 1 :]])
    nothing = np.zeros(len(taken), bool)
    cut = replace(episode, observations=observations, actions=taken, rewards=nothing.astype(np.float32))
    return replace(cut, success=nothing, violation=nothing), at + 1


def _difference(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, ...), (N, ...) or (...) -> (N,): of numbers by how much, of symbols and pixels how many are others."""
    off = np.abs(some - others) if some.dtype == np.float32 else some != others
    return off.reshape(len(some), -1).mean(1)


def colour(episode: Episode, rng: np.random.Generator, clear: Episode) -> Disturbed:
    """Red is green, green is blue and blue is red from then on."""
    if episode.observations.shape[-1] != 3:
        return None
    at = _middle(episode, rng)
    seen = episode.observations.copy()
    seen[at:] = np.roll(seen[at:], 1, axis=-1)
    return (replace(episode, observations=seen), at) if (seen != episode.observations).any() else None


def vanish_in_image(episode: Episode, rng: np.random.Generator, clear: Episode) -> Disturbed:
    """A part of the image that nothing moves in looks like another from then on, noise apart."""
    at, frames = _middle(episode, rng), clear.observations
    height, width = (size // BLOCKS for size in frames.shape[1:3])
    blocks = [
        (slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width))
        for i in range(BLOCKS)
        for j in range(BLOCKS)
    ]
    still = [block for block in blocks if (frames[at - 1 :, *block] == frames[at - 1, *block]).all()]
    rng.shuffle(still)
    for gone in still:
        for other in still:
            if (frames[at, *gone] != frames[at, *other]).any(-1).mean() > 0.5:
                seen = episode.observations.copy()
                seen[at:, *gone] = seen[at:, *other]
                return replace(episode, observations=seen), at
    return None


def vanish_in_map(episode: Episode, rng: np.random.Generator, clear: Episode) -> Disturbed:
    """A cell that nothing happens to is as most cells are from then on."""
    at, maps = _middle(episode, rng), episode.observations
    cells = maps.reshape(len(maps), -1, maps.shape[-1])
    kinds, counts = np.unique(cells[at], axis=0, return_counts=True)
    usual = kinds[counts.argsort()[::-1][:2]]  # a wall becomes floor, and floor a wall
    still = np.flatnonzero((cells[at - 1 :] == cells[at - 1]).all((0, 2)))
    if not len(still) or len(usual) < 2:
        return None
    gone = int(rng.choice(still))
    seen = cells.copy()
    seen[at:, gone] = usual[1] if (cells[at, gone] == usual[0]).all() else usual[0]
    return replace(episode, observations=seen.reshape(maps.shape)), at


def _middle(episode: Episode, rng: np.random.Generator) -> int:
    return int(rng.integers(max(len(episode) // 4, 1), max(3 * len(episode) // 4, 2)))


Disturb = Callable[[Episode, np.random.Generator, Episode], Disturbed]  # the last is the same episode without noise
DISTURBANCES: dict[str, dict[str, Disturb]] = {
    "vector": {"leap": leap},
    "symbols": {"leap": leap, "vanish": vanish_in_map},
    "image": {"leap": leap, "vanish": vanish_in_image, "colour": colour},
}


def disturbances(spec: ObservationSpec) -> dict[str, Disturb]:
    """By name, those of such observations. Beside numbers an image is not changed: they would tell."""
    every = DISTURBANCES[spec.kind]
    return {"leap": every["leap"]} if spec.numbers else every
