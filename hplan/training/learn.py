"""Learn an agent: play, train the levels bottom up, calibrate, save. Every part goes on where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

import torch

from hplan.agent import Agent
from hplan.config import EnvFactory, TaskConfig, check_values
from hplan.files import sweep, write_atomically
from hplan.levels.stack import CARD, FORMAT, WEIGHTS, Stack
from hplan.play.manifest import Manifest, check_same_spaces
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.play.store import versions
from hplan.registry import load_task, make_world, task_from_factory
from hplan.training.fit import Progress
from hplan.training.trained import Curves, Trained
from hplan.types import HplanError, UsageError

Levels = Literal["auto"] | int
REQUEST, CURVES = "request.json", "curves.json"
LARGEST_RATIO = 1_000_000  # of the time scales of two levels: no play is as long


def learn(
    task: str | TaskConfig | EnvFactory,
    out: str | Path,
    *,
    steps: int | None = None,
    seed: int = 0,
    levels: Levels = "auto",
    budget: str = "quick",
    device: str = "auto",
    resume: bool = True,
    success: Literal["auto", "terminated"] = "auto",
    workers: int = 1,
    settings: Mapping[str, Any] | None = None,
    play_from: str | Path | None = None,
    progress: Progress | None = None,
) -> Agent:
    """Play `task` without reward, learn a stack from it, and return the agent, which is also saved in `out`.

    task: a name as in `hplan list`, `gym:ENV-ID`, or a function that makes a Gymnasium environment. steps: of play
    (default: the task's, by budget). settings: of training, over those of the task's file (tasks/README.md). play_from:
    a folder of this task's play that exists already (`hplan data make` or `import`), instead of playing. `out` keeps
    play, snapshots and the agent: called again with the same arguments it goes on where it stopped, and does nothing
    where it is finished. progress(stage, done, total, figures) is told how it goes.

    Raises UsageError for a wrong call or an `out` that holds something else, HplanError where play or training fails.
    """
    config = _task(task, success)
    out = Path(out)
    settings = {**config.training.get(budget, {}), **(settings or {})}
    _check_settings(settings, config.name)
    _claim(out, _request(config, steps, seed, levels, budget, settings, play_from), resume)
    sweep(out)
    if (out / CARD).exists() and (out / WEIGHTS).exists():
        return Agent(Stack.load(out), name=str(out))
    started = time.perf_counter()
    if play_from is not None:
        _check_task(Manifest.load(Path(play_from)), config)
    else:
        count = steps or _from_budget(config.play.steps, budget, "play.steps")
        told = (lambda done, total: progress("play", done, total, {})) if progress else None
        play(config, out / "play", steps=count, seed=seed, progress=told, workers=workers)
    data = load_play(out / "play" if play_from is None else Path(play_from))
    if config.goal == "observation":  # success was of goals that the agent cannot see in an observation
        data = replace(data, success=torch.zeros_like(data.success))
    trained = train(
        data, config, settings, out=out / "stages", seed=seed, levels=levels, device=device, progress=progress
    )
    stack = Stack(
        task=config.name,
        observation_spec=data.observation_spec,
        action_spec=data.action_spec,
        levels=trained.levels,
        calibration=trained.calibration,
        tolerance=trained.tolerance,
        succeeds=trained.succeeds,
        success_rule=config.success,
        train={
            "env_steps": data.steps,
            "gradient_steps": sum(int(curve[-1]["step"]) for curve in trained.curves.values() if curve),
            "wall_s": round(time.perf_counter() - started, 1),
            "device": _device(device),
            "seed": seed,
            "settings": settings,
            **trained.facts,
        },
        versions=versions(),
        edges=trained.edges,
    )
    write_atomically(out / CURVES, _short(trained.curves))
    stack.save(out)
    return Agent(stack, name=str(out))


def _short(curves: Curves) -> str:
    """As JSON; four digits are more than a chart shows."""
    points = {
        stage: [{k: float(f"{v:.4g}") for k, v in one.items()} for one in curve] for stage, curve in curves.items()
    }
    return json.dumps(points, separators=(",", ":"))


def train(
    data: Play,
    task: TaskConfig,
    settings: Mapping[str, Any],
    *,
    out: Path,
    seed: int,
    levels: Levels,
    device: str,
    progress: Progress | None,
) -> Trained:
    """The levels of a stack from play, by the kind of its observations."""
    shared = {"levels": levels, "seed": seed, "out": out, "device": _device(device), "progress": progress}
    if data.observation_spec.kind == "symbols":
        if data.action_spec.kind == "continuous":
            raise UsageError(
                f"{task.name}: symbols with continuous actions are not supported; give the observation as floats"
            )
        from hplan.training.spatial import SpatialSettings, train_spatial

        return train_spatial(data, settings=_settings(SpatialSettings, settings, task.name), **shared)
    from hplan.training.vector_stack import VectorSettings, train_vector

    return train_vector(data, settings=_settings(VectorSettings, settings, task.name), **shared)


def _check_task(play: Manifest, task: TaskConfig) -> None:
    """What others recorded goes by their names (Minari's); what hplan played goes by its own."""
    if play.source == "regenerated" and play.task != task.name:
        raise UsageError(f"that is play of {play.task}, not of {task.name}: choose another --play-from")
    with closing(make_world(task)) as world:
        check_same_spaces(play, world.observation_spec, world.action_spec, task.name)


def _check_settings(settings: Mapping[str, Any], name: str) -> None:
    """Before anything is played; which of the two kinds it has to be is only known afterwards."""
    from hplan.training.spatial import SpatialSettings
    from hplan.training.vector_stack import VectorSettings

    examples = {field.name: field.default for kind in (SpatialSettings, VectorSettings) for field in fields(kind)}
    _refuse_unknown(settings, set(examples), name)
    check_values(settings, examples, f"task {name}")
    if (ratio := settings.get("ratio", 0)) and not 2 <= ratio <= LARGEST_RATIO:
        raise UsageError(f"task {name}: ratio = {ratio}; expected 2 to {LARGEST_RATIO}, or 0 for the rule of hplan")


def _settings(kind: Callable[..., Any], settings: Mapping[str, Any], name: str) -> Any:
    _refuse_unknown(settings, {field.name for field in fields(kind)}, name)  # type: ignore[arg-type]
    return kind(**settings)


def _refuse_unknown(settings: Mapping[str, Any], known: set[str], name: str) -> None:
    if unknown := settings.keys() - known:
        raise UsageError(f"task {name}: unknown training settings {sorted(unknown)}; known are {sorted(known)}")


def _task(task: str | TaskConfig | EnvFactory, success: Any) -> TaskConfig:
    if isinstance(task, TaskConfig):
        return task
    return load_task(task, success) if isinstance(task, str) else task_from_factory(task, success=success)


def _device(name: str) -> str:
    if name == "auto":  # networks are small: a GPU waits for the next batch
        return "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: no CUDA device here; use auto or cpu")
    return name


def _from_budget(values: Any, budget: str, what: str) -> int:
    if budget not in values:
        raise UsageError(f"--budget {budget}: this task has {what} for {', '.join(values)}")
    return int(values[budget])


def _request(
    task: TaskConfig,
    steps: int | None,
    seed: int,
    levels: Levels,
    budget: str,
    settings: Mapping[str, Any],
    play_from: str | Path | None,
) -> dict[str, Any]:
    return {
        "format": FORMAT,  # stages of another one would be taken for finished
        "task": task.name,
        "success": task.success,
        "steps": steps,
        "seed": seed,
        "levels": levels,
        "budget": budget,
        "settings": dict(settings),
        "play_from": str(play_from) if play_from else None,
    }


def _claim(out: Path, request: dict[str, Any], resume: bool) -> None:
    """Note what `out` is for, or see that it is for the same."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file: --out names a folder")
    path = out / REQUEST
    if path.exists():
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise HplanError(f"{path} is damaged ({error}): choose another --out") from error
        if found != request:
            what = ", ".join(
                f"{k} {found.get(k)!r} there and {v!r} here" for k, v in request.items() if found.get(k) != v
            )
            raise UsageError(f"{out} holds another run ({what}): choose another --out")
        if not resume:
            raise UsageError(f"{out} already holds a run: add --resume to go on, or choose another --out")
        return
    if out.is_dir() and any(not path.name.endswith(".tmp") for path in out.iterdir()):  # those are left by a kill
        raise UsageError(f"{out} is not empty and no run directory: choose another --out")
    write_atomically(path, json.dumps(request))
