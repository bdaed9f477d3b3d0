"""What each level learned, measured on a little fresh play: rank, sensitivity, time scale, errors, probes."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.agent import Agent
from hplan.config import TaskConfig
from hplan.data.play import play
from hplan.data.windows import PlayData, load_play
from hplan.envs.factors import factor
from hplan.evaluation.steps import Steps, steps_of
from hplan.losses.diagnostics import decay_time, effective_rank, perplexity, probe, spectrum
from hplan.types import UsageError

STEPS, SEED = 20_000, 990_000  # of play; its seed is added to the caller's, so that it is no training run's
ROWS = 2_000  # latents that ranks, probes and sensitivities are measured on
PAIRS = 4_000  # of latents a lag apart
MACROS = 8  # likeliest macro-actions whose predictions are compared at a latent
HORIZONS = (1, 2, 4, 8)
Progress = Callable[[str, int, int, dict[str, float]], None]


@dataclass(frozen=True)
class LevelInspection:
    """Figures of one level. Distances are in steps of the level, times in environment steps; NaN: not measurable.

    effective_rank, of rank_of dimensions; deviation: of each dimension, least, median and largest; spectrum: shares of
    the singular values; macro_sensitivity: how far predictions under different possible macro-actions lie apart;
    autocorrelation: the time in which a latent forgets itself; decay: (lag, 1 - relative difference) pairs behind it;
    errors: (horizon in steps of the level, open-loop prediction error, error of predicting no change); codes_used:
    perplexity of the macro-actions play took, of `macros` types; probes: R2 of a linear probe, by factor.
    """

    level: int
    kind: str
    stride: float
    macros: int
    effective_rank: float
    rank_of: int
    deviation: tuple[float, float, float]
    spectrum: tuple[float, ...]
    macro_sensitivity: float
    autocorrelation: float
    decay: tuple[tuple[int, float], ...]
    errors: tuple[tuple[int, float, float], ...]
    codes_used: float
    threshold: float
    tolerance: float
    succeeds: bool
    probes: dict[str, float]


@dataclass(frozen=True)
class Inspection:
    """`hplan inspect`: the agent, what it was trained with, and its levels from the finest up."""

    agent: str
    task: str
    seed: int
    play_steps: int
    train: dict[str, Any]
    levels: tuple[LevelInspection, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not finite is null."""
        return _plain(asdict(self))


@torch.inference_mode()
def inspect(
    agent: Agent, task: TaskConfig, *, steps: int = STEPS, seed: int = 0, progress: Progress | None = None
) -> Inspection:
    """Play `steps` of the task afresh, as training does and on training layouts, and measure every level on it.

    Raises UsageError where the task shows something else than the agent sees, or names a probe that there is none of.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = (lambda done, total: progress("play", done, total, {})) if progress else None
        play(task, Path(folder), steps=steps, seed=SEED + seed, progress=told)
        data = load_play(Path(folder))
        seen = np.array(data.observations)
    stack = agent.stack
    if data.observation_spec.kind != stack.observation_spec.kind:
        raise UsageError(f"{task.name} shows {data.observation_spec.kind}, and this agent sees something else")
    factors = {name: torch.from_numpy(factor(name, data.observation_spec)(seen)).float() for name in task.probes}
    generator = torch.Generator().manual_seed(seed)
    found, below = [], torch.from_numpy(seen)
    for k, level in enumerate(stack.levels):
        z = torch.cat([level.encode(part) for part in below.split(1024)])
        found.append(
            _inspect_level(
                steps_of(level, below, z, data),
                data,
                factors,
                generator,
                threshold=stack.thresholds[k],
                tolerance=stack.tolerance[k],
                succeeds=stack.succeeds[k],
            )
        )
        if progress:
            progress("levels", k + 1, len(stack.levels), {})
        below = z
    return Inspection(agent.name, task.name, seed, steps, dict(stack.train), tuple(found))


def _inspect_level(
    steps: Steps, data: PlayData, factors: dict[str, Tensor], generator: torch.Generator, **card: Any
) -> LevelInspection:
    rows = torch.randperm(len(steps.z), generator=generator)[:ROWS]
    features, some = steps.cells() if steps.level.exact else steps.z[rows], steps.z[rows].flatten(1)
    deviation = features.std(0)
    decay, time = _decay(steps, data, generator)
    held = torch.from_numpy(data.episode.astype(np.int64))[rows] % 2 == 1
    return LevelInspection(
        level=steps.level.index,
        kind="symbols" if steps.level.exact else "vector",
        stride=steps.level.stride,
        macros=steps.level.macro.size,
        effective_rank=effective_rank(features),
        rank_of=min(features.shape),
        deviation=(float(deviation.min()), float(deviation.median()), float(deviation.max())),
        spectrum=tuple(float(v) for v in spectrum(features)),
        macro_sensitivity=macro_sensitivity(steps.level, steps.z[rows[:256]], generator),
        autocorrelation=time,
        decay=decay,
        errors=tuple(steps.errors(horizon) for horizon in HORIZONS if steps.holds(horizon)),
        codes_used=math.nan if steps.types is None else perplexity(steps.types, steps.level.macro.size),
        probes={name: probe(some, y[rows], held) for name, y in factors.items()},
        **card,
    )


def macro_sensitivity(level: Any, z: Tensor, generator: torch.Generator) -> float:
    """Mean distance, in steps of the level, between predictions under the likeliest (or random) macro-actions at the
    same latent (B, *z). 0 where a prediction does not depend on what is done."""
    count = len(z)
    if level.macro.kind == "continuous":
        low, high = torch.tensor(level.macro.low), torch.tensor(level.macro.high)
        macros = low + (high - low) * torch.rand(count, MACROS, level.macro.size, generator=generator)
    else:
        macros = level.prior(z).topk(min(MACROS, level.prior(z[:1]).shape[-1]), dim=-1).indices
    each = macros.shape[1]
    ends = level.predict(z.repeat_interleave(each, 0), macros.flatten(0, 1))
    first, second = torch.combinations(torch.arange(each)).T
    ends = ends.unflatten(0, (count, each))
    return float(level.distance(ends[:, first].flatten(0, 1), ends[:, second].flatten(0, 1)).mean())


def _decay(steps: Steps, data: PlayData, generator: torch.Generator) -> tuple[tuple[tuple[int, float], ...], float]:
    """How alike latents of one episode are, by the time between them; and the time in which that falls to 1/e."""
    remaining = torch.from_numpy(data.remaining.astype(np.int64))
    longest = int(remaining.max())
    lags = [2**i for i in range(20) if 2**i <= longest // 2]
    differences = []
    for lag in lags:
        rows = torch.nonzero(remaining >= lag)[:, 0]
        rows = rows[torch.randint(len(rows), (PAIRS,), generator=generator)]
        differences.append(steps.difference(rows, rows + lag))
    first = torch.randint(len(steps.z), (PAIRS,), generator=generator)
    last = first + remaining[first]
    begin = last - torch.from_numpy(np.bincount(data.episode)[data.episode].astype(np.int64))[first] + 1
    other = begin + (torch.rand(PAIRS, generator=generator) * (last - begin + 1)).long()
    ever = steps.difference(first, other)
    kept = tuple(
        (lag, 1 - difference / ever if ever else math.nan) for lag, difference in zip(lags, differences, strict=True)
    )
    return kept, decay_time(lags, differences, ever)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
