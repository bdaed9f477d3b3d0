"""`hplan inspect`: what each level learned, measured on a little fresh play. docs/inspection.md explains it."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from hplan.agent import Agent
from hplan.config import TaskConfig
from hplan.files import plain, write_atomically
from hplan.levels.calibration import Calibration
from hplan.levels.level import Level
from hplan.levels.stack import macro_text
from hplan.levels.steps import Steps, latents_of, steps_of
from hplan.objectives.collapse import examine
from hplan.objectives.diagnostics import autocorrelation, correlation_time, perplexity, probe_r2
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.training.calibrate import surprises
from hplan.types import Inspection, LevelInspection
from hplan.worlds.factors import changes, factor

STEPS = 20_000  # of play
APART = 990_000  # added to the seed of play, so that it is no training run's
SAMPLE = 1_500  # latents that ranks and probes are measured on
ALPHAS = (0.01, 0.05, 0.1)  # nominal rates of false alarms that are checked
HORIZONS = (1, 2, 4, 8, 16)  # steps of a level that it predicts open loop
Progress = Callable[[str, int, int, dict[str, float]], None]


@torch.inference_mode()
def inspect(
    agent: Agent, task: TaskConfig, *, steps: int = STEPS, seed: int = 0, progress: Progress | None = None
) -> Inspection:
    """Play `steps` environment steps of the task, with its own recipe and on training layouts, and measure each level.

    Deterministic: same agent, task, steps and seed, same figures. Success is not needed.
    Raises UsageError where the task shows something else than the agent sees, or names a probe that there is none of.
    """
    data = _play(task, steps, seed, progress)
    stack = agent.stack
    here = data.observation_spec
    stack.check_sees(here.kind, here.shape, task.name)
    readers = {name: factor(name, here) for name in task.probes}
    rows = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:SAMPLE].sort().values
    factors = {name: torch.from_numpy(read(data.observations.numpy()))[rows] for name, read in readers.items()}
    layout = torch.unique(data.seeds, return_inverse=True)[1]
    held = (layout[data.episode] % 2 == 1)[rows]
    shown, named = data.observations, changes(here)
    data = stack.seen(data)
    found = []
    for k, level in enumerate(stack.levels):
        latents = latents_of(level, data)
        features = _features(level, latents[rows])
        taken = steps_of(level, data, latents)
        entry = _level(
            taken,
            rows,
            dict(zip(factors, probe_r2(features, list(factors.values()), held), strict=True)),
            calibration=stack.calibration[k],
            tolerance=stack.tolerance[k],
            accuracies=taken.accuracies(shown, named),
        )
        data = data.with_latents(latents)
        found.append(entry)
        if progress:
            progress("levels", k + 1, len(stack.levels), {})
    return Inspection(
        agent=agent.name,
        trained_on=stack.task,
        success_rule=stack.success_rule,
        task=task.name,
        seed=seed,
        steps=data.steps,
        episodes=data.episodes,
        train=dict(stack.train),
        versions=dict(stack.versions),
        levels=tuple(found),
    )


def inspection_json(found: Inspection) -> str:
    """What there is no figure for, or an infinite one, is null."""
    return json.dumps(plain(asdict(found)), indent=1, allow_nan=False) + "\n"


def write_inspection(found: Inspection, path: str | os.PathLike[str]) -> Path:
    """Write `inspection_json`, atomically."""
    return write_atomically(path, inspection_json(found))


def _play(task: TaskConfig, steps: int, seed: int, progress: Progress | None) -> Play:
    with tempfile.TemporaryDirectory() as folder:
        told = (lambda done, total: progress("play", done, total, {})) if progress else None
        play(task, Path(folder), steps=steps, seed=APART + seed, progress=told)
        return load_play(folder)


def _level(
    steps: Steps,
    rows: Tensor,
    probes: dict[str, float],
    *,
    calibration: Calibration,
    tolerance: float,
    accuracies: dict[str, tuple[int, float]],
) -> LevelInspection:
    level, data, z = steps.level, steps.play, steps.latents[rows]
    health = examine(level, z, lambda sample: steps.at(rows[sample]))
    lags = _lags(int(data.remaining.max()) // 2)
    correlation = autocorrelation(_episodes(steps), lags)
    kinds, codes = steps.kinds, level.macro.size if level.macro.kind == "discrete" else 0
    fresh = surprises(steps, seed=0)
    took = steps.durations if len(steps.durations) else torch.tensor([math.nan])
    return LevelInspection(
        level=level.index,
        stride=level.stride,
        durations=_three(took.quantile(torch.tensor([0.25, 0.5, 0.75]))),
        latent_shape=tuple(z.shape[1:]),
        macro=macro_text(level),
        effective_rank=health.rank,
        rank_of=health.rank_of,
        deviation=_three(torch.stack([health.deviation.min(), health.deviation.median(), health.deviation.max()])),
        dead=health.dead,
        spectrum=tuple(health.spectrum.tolist()),
        closest=health.closest,
        macro_sensitivity=health.sensitivity,
        autocorrelation=correlation_time(lags, correlation),
        correlation=tuple(zip(lags, correlation, strict=True)),
        errors=tuple(steps.errors(horizon) for horizon in HORIZONS if bool((steps.follows >= horizon).any())),
        codes=codes,
        codes_used=math.nan if kinds is None else perplexity(kinds, codes),
        codes_seen=math.nan if kinds is None else len(kinds.unique()) / codes,
        thresholds=calibration.thresholds(),
        false_alarms=tuple((alpha, calibration.false_alarms(fresh, alpha)) for alpha in ALPHAS),
        tolerance=tolerance,
        succeeds=level.success is not None,
        probes=probes,
        symptoms=health.symptoms,
        accuracies=accuracies,
    )


def _features(level: Level, z: Tensor) -> Tensor:
    """What a probe reads: the flattened latent; of a map also the sum of its cells, which flattening has too, but which
    a fit to few layouts would not find."""
    seen = level.space.embed(z)
    return torch.cat([seen.flatten(1), seen.flatten(1, -2).sum(1)], 1) if seen.ndim > 2 else seen


def _episodes(steps: Steps) -> Iterator[Tensor]:
    """Flattened latents (T + 1, D), as networks read them, of every episode."""
    for rows in torch.arange(len(steps.play)).split((steps.play.lengths + 1).tolist()):
        yield steps.level.space.embed(steps.latents[rows]).flatten(1)


def _lags(longest: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 11, ..., `longest`: whole numbers, each up to half as much again as the one before."""
    found = [1]
    while found[-1] < longest:
        found.append(min(max(found[-1] + 1, round(found[-1] * 1.4)), longest))
    return [lag for lag in found if lag <= longest]


def _three(values: Tensor) -> tuple[float, float, float]:
    first, second, third = values.tolist()
    return first, second, third
