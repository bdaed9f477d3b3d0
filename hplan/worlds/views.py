"""Which World a task becomes. A new kind of environment is one entry of `VIEWS` and one file.

symbols   MiniGrid: the whole grid and what is carried (minigrid.py)
position  OGBench's point mazes: (x, y) (mazes.py)
layout    generated mazes in OGBench's physics: (x, y), and the layout as an image (generated_mazes.py)
spaces    any Gymnasium environment, by its spaces (codec.py, gymnasium.py)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator

from hplan.config import TaskConfig
from hplan.types import HplanError, UsageError, World
from hplan.worlds.gymnasium import GymWorld, find_spec, is_goal_space
from hplan.worlds.split import Fingerprint, Split, SplitWorld, layout_split

_AUTO = {"minigrid": "symbols", "ogbench.locomaze": "position"}  # module of an environment's class -> view
_CHANGES = {
    "symbols": ("slippery", "closing-doors", "moving-wall"),
    "position": ("closing-corridor",),
    "layout": (),
    "spaces": ("slippery",),
}
_LOOKS = 64  # resets that decide whether layouts vary
_ENOUGH = 4  # distinct layouts that each split must have among them


def make(task: TaskConfig, split: Split) -> World:
    """The world of a task, restricted to a split. Raises UsageError where it cannot be made, saying what is missing."""
    env = _environment(task)
    view = _auto_view(env) if task.view == "auto" else task.view
    if view not in VIEWS:
        raise UsageError(f"{task.name}: unknown view {view!r}; expected auto, {', '.join(VIEWS)}")
    if (kind := task.changes.kind) not in ("none", *_CHANGES[view]):
        raise UsageError(
            f"{task.name}: changes.kind is {kind!r}; view {view!r} allows {', '.join(_CHANGES[view]) or 'none'}"
        )
    world, layout = VIEWS[view](env, task, split)
    varies = world.observation_spec.kind == "symbols" and (
        _layouts_vary(world, layout) if task.layouts == "auto" else task.layouts == "vary"
    )
    return SplitWorld(world, split, layout if varies else None)


def with_goal_kind(task: TaskConfig) -> TaskConfig:
    """The task with the kind of goal that its environment asks for: looked up, where no file says it."""
    env = _environment(task)
    asks = is_goal_space(env.observation_space) or _auto_view(env) == "position"
    env.close()
    return replace(task, goal="observation") if asks else task


def _environment(task: TaskConfig) -> gymnasium.Env:
    try:
        return task.factory() if task.factory is not None else _registered(task)
    except UsageError:
        raise
    except Exception as error:  # whatever a user's constructor may raise
        raise HplanError(f"{task.name}: making the environment raised {type(error).__name__}: {error}") from error


def _registered(task: TaskConfig) -> gymnasium.Env:
    spec, options = find_spec(task.environment), dict(task.kwargs)
    try:
        if _renders_text(spec):
            options.setdefault("render_mode", "ansi")
        with warnings.catch_warnings():  # a task names its version on purpose
            warnings.filterwarnings("ignore", ".*out of date.*", DeprecationWarning)
            return gymnasium.make(spec, disable_env_checker=True, **options)
    except (ImportError, TypeError, gymnasium.error.Error) as error:
        raise UsageError(f"{task.name}: environment {spec.id} cannot be made: {error}") from error


def _renders_text(spec: EnvSpec) -> bool:
    creator = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    return "ansi" in (getattr(creator, "metadata", None) or {}).get("render_modes", ())


def _auto_view(env: gymnasium.Env) -> str:
    modules = [base.__module__ for base in type(env.unwrapped).__mro__]
    for prefix, view in _AUTO.items():
        if any(module == prefix or module.startswith(f"{prefix}.") for module in modules):
            return view
    return "spaces"


def _layouts_vary(world: World, layout: Fingerprint) -> bool:
    """Whether seeds give layouts enough to hold some back for evaluation. A single cell is a state and no layout."""
    if world.observation_spec.shape[:2] == (1, 1):
        return False
    seen = {layout(world.reset(seed=seed).observation) for seed in range(8)}
    if len(seen) == 1:
        return False
    seen |= {layout(world.reset(seed=seed).observation) for seed in range(8, _LOOKS)}
    held_back = sum(layout_split(one) == "eval" for one in seen)
    return min(held_back, len(seen) - held_back) >= _ENOUGH


def _symbols(env: Any, task: TaskConfig, split: Split) -> tuple[World, Fingerprint]:
    from hplan.worlds.changing import changing
    from hplan.worlds.minigrid import AGENT, MiniGridWorld

    ending_succeeds, at_least = task.success == "terminated", task.play.episode_steps if split == "train" else 0
    env = changing(env.unwrapped, task.changes)
    world = MiniGridWorld(env, task.name, ending_succeeds=ending_succeeds, at_least=at_least)
    return world, lambda observation: observation[..., :AGENT].tobytes()  # where the agent starts makes no new layout


def _position(env: Any, task: TaskConfig, split: Split) -> tuple[World, Fingerprint]:
    from hplan.worlds.mazes import MazeWorld

    options: dict[str, Any] = {} if split == "eval" else {"max_steps": task.play.episode_steps}
    options["evaluation"] = split == "eval"
    if task.changes.kind == "closing-corridor":
        from hplan.worlds.closing import ClosingMaze

        return ClosingMaze(env.unwrapped, task.name, when=task.changes.when, **options), np.ndarray.tobytes
    return MazeWorld(env.unwrapped, task.name, **options), np.ndarray.tobytes


def _layout(env: Any, task: TaskConfig, split: Split) -> tuple[World, Fingerprint]:
    from hplan.worlds.generated_mazes import DiverseMaze, layouts

    held_out = split == "eval"
    world = DiverseMaze(
        env.unwrapped,
        task.name,
        layouts=layouts(held_out=held_out),
        evaluation=held_out,
        max_steps=task.play.episode_steps,
    )
    return world, np.ndarray.tobytes


def _spaces(env: Any, task: TaskConfig, split: Split) -> tuple[World, Fingerprint]:
    if task.changes.kind != "none":
        from hplan.worlds.changing import changing

        env = changing(env, task.changes)
    return GymWorld(env, task.name, ending_succeeds=task.success == "terminated"), np.ndarray.tobytes


VIEWS: dict[str, Callable[[Any, TaskConfig, Split], tuple[World, Fingerprint]]] = {
    "symbols": _symbols,
    "position": _position,
    "layout": _layout,
    "spaces": _spaces,
}
