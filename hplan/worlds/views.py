"""Which environment a task becomes, and what it shows. A new kind is one entry of `VIEWS` and one file.

symbols   MiniGrid: the whole grid and what is carried (minigrid.py)
tiles     MiniGrid as images: its own drawings of the whole grid (grid_pictures.py)
position  OGBench's point mazes: (x, y) (mazes.py)
picture   OGBench's point mazes, or generated ones: an image from above (pictures.py)
rooms     rooms with doors, from above (rooms.py)
layout    generated mazes in OGBench's physics: (x, y), and the layout as an image (generated_mazes.py)
powder    OGBench's Powderworld: the image that it shows (powder.py)
spaces    any Gymnasium environment, by its spaces (hplan/codec.py, gym.py)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec, load_env_creator

from hplan.codec import Codec
from hplan.config import TaskConfig
from hplan.gym_spaces import is_goal_space, line
from hplan.types import HplanError, UsageError
from hplan.worlds.gym import GymView, find_spec
from hplan.worlds.layers import own_limit, shows_its_own, stripped
from hplan.worlds.outcome import Outcome
from hplan.worlds.split import Fingerprint, Split, SplitEnv, layout_split

# module of an environment's class -> view
_AUTO = {"minigrid": "symbols", "ogbench.locomaze": "position", "ogbench.powderworld": "powder"}
_CHANGES = {
    "symbols": ("slippery", "closing-doors", "moving-wall"),
    "tiles": ("slippery", "closing-doors", "moving-wall"),
    "position": ("slippery", "closing-corridor"),
    "picture": ("flicker",),
    "rooms": (),
    "layout": (),
    "powder": (),
    "spaces": ("slippery",),
}
_DRAWN = {"tiles": "symbols", "picture": "position"}  # and what else such environments show
_SUPERSEDED = {"symbols": "minigrid.wrappers"}  # whose observation wrappers a view takes the place of
_LOOKS = 64  # resets that decide whether layouts vary
_ENOUGH = 4  # distinct layouts that each split must have among them


def make(task: TaskConfig, split: Split) -> SplitEnv:
    """The environment of a task, restricted to a split. Raises UsageError where it cannot be made, saying what is
    missing."""
    seen, layout = _mixture(task, split) if task.environments else _seen(task, split)
    try:
        outcome = Outcome(
            seen,
            ending_succeeds=task.success == "terminated",
            ends=split == "eval",
            ordinary_reward=task.ordinary_reward,
        )
        varies = (
            layout is not None
            and seen.codec.observation_spec.kind in ("symbols", "image")
            and (_layouts_vary(outcome, layout) if task.layouts == "auto" else task.layouts == "vary")
        )
    except BaseException:
        seen.close()
        raise
    return SplitEnv(outcome, task.name, split, layout if varies else None)


def _seen(task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    """The environment of a task in its view, and what makes a layout there."""
    env = _environment(task)
    try:
        view = _auto_view(env) if task.view == "auto" else task.view
        if view not in VIEWS:
            raise UsageError(f"{task.name}: unknown view {view!r}; expected auto, {', '.join(VIEWS)}")
        if (kind := task.changes.kind) not in ("none", *_CHANGES[view]):
            raise UsageError(
                f"{task.name}: changes.kind is {kind!r}; view {view!r} allows {', '.join(_CHANGES[view]) or 'none'}"
            )
        return VIEWS[view](env, task, split)
    except BaseException:
        env.close()
        raise


def _mixture(task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    """The same of a task that is several environments."""
    from hplan.worlds.minigrid import MiniGridView
    from hplan.worlds.mixture import Mixture, layout_of

    views: list[Any] = []
    try:
        for one in task.environments:
            views.append(_seen(replace(task, environment=one, environments=()), split)[0])
            if not isinstance(views[-1], MiniGridView):
                raise UsageError(
                    f"{task.name}: {one} is not seen as MiniGrid's are (view symbols), and only those can be several: "
                    "give it a task of its own"
                )
        return Mixture(views, task.environments, task.name), layout_of
    except BaseException:
        for view in views:
            view.close()
        raise


def wrap(
    env: gymnasium.Env, codec: Codec, *, view: str = "auto", ending_succeeds: bool, ordinary_reward: float | None = None
) -> gymnasium.Env:
    """`env` with the view that an agent with that codec was trained with: `view`, where its task says so, drawn instead
    of what such an environment mostly shows. Raises UsageError where its spaces are others; only a grid may have
    another height and width. The rest is of `Outcome`."""
    if not isinstance(env, gymnasium.Env):
        raise UsageError(f"wrap: {_no_environment(env)}")
    usual, name = _auto_view(env), codec.where
    view = view if _DRAWN.get(view) == usual else usual
    if view == "tiles":
        from hplan.worlds.grid_pictures import TileView

        seen: Any = TileView(stripped(env, _SUPERSEDED[usual]), name, quiet=False)
    elif view == "picture":
        from hplan.worlds.pictures import MazePicture

        seen = MazePicture(stripped(env), name, evaluation=True)
    elif view == "symbols":
        from hplan.worlds.minigrid import MiniGridView

        seen = MiniGridView(stripped(env, _SUPERSEDED[view]), name, quiet=False)
    elif view == "position" and not codec.context:
        from hplan.worlds.mazes import MazeView

        seen = MazeView(stripped(env), name, evaluation=True)
    elif view == "powder":
        from hplan.worlds.powder import PowderView

        seen = PowderView(stripped(env), name, evaluation=True)
    else:
        seen = GymView(env, name, achieved=codec.achieved, mission=codec.mission)
    here, known = seen.codec.observation_spec, codec.observation_spec
    grid = here.kind == known.kind == "symbols" and here.cardinalities == known.cardinalities
    if not (here == known or (grid and len(seen.observation_space.shape or ()) == 3)):
        raise UsageError(
            f"wrap: this environment shows {line(seen.observation_space)}; {name} sees {line(codec.observation_space)}"
        )
    if seen.codec.action_space != codec.action_space:
        raise UsageError(
            f"wrap: this environment takes {line(env.action_space)}; {name} gives {line(codec.action_space)}"
        )
    return Outcome(seen, ending_succeeds=ending_succeeds, ordinary_reward=ordinary_reward)


def with_goal_kind(task: TaskConfig) -> TaskConfig:
    """The task with the kind of goal that its environment asks for: looked up, where no file says it."""
    env = _environment(task)
    if task.factory is not None:
        _refuse_the_same_again(env, task)
    asks = _auto_view(env) in ("position", "powder")
    if is_goal_space(env.observation_space):  # where play may tell what a goal counts as reached by
        asks = not Codec.of(env.observation_space, env.action_space, task.name).asking_part
    env.close()
    return replace(task, goal="observation") if asks else task


def _refuse_the_same_again(env: gymnasium.Env, task: TaskConfig) -> None:
    """hplan closes what a function returns, and would go on with it. Closes the second, where there is one."""
    other = _environment(task)
    if other.unwrapped is env.unwrapped:
        raise UsageError(
            f"{task.name}: the function returns the same environment again; expected a function that makes a new one "
            "each time, such as `lambda: MyEnv()`, for hplan runs several and closes them"
        )
    other.close()


def _environment(task: TaskConfig) -> gymnasium.Env:
    try:
        env = task.factory() if task.factory is not None else _registered(task)
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's constructor may raise
        raise HplanError(f"{task.name}: making the environment raised {type(error).__name__}: {error}") from error
    if not isinstance(env, gymnasium.Env):
        raise UsageError(f"{task.name}: {_no_environment(env)}")
    return env


def _no_environment(value: Any) -> str:
    """Why something is no environment, and what would be one."""
    kind = type(value)
    if isinstance(value, gymnasium.vector.VectorEnv) or any(base.__name__ == "VecEnv" for base in kind.__mro__):
        return f"a vector environment ({kind.__name__}) is several; hplan takes a single gymnasium.Env, and makes more"
    if any(base.__module__.split(".")[0] == "gym" for base in kind.__mro__):
        return f"{kind.__name__} is of the package gym, which Gymnasium replaced; hplan takes a gymnasium.Env"
    return f"expected a gymnasium.Env, got {'None' if value is None else f'a {kind.__name__}'}"


def _registered(task: TaskConfig) -> gymnasium.Env:
    spec, options = find_spec(task.environment), dict(task.kwargs)
    try:
        with warnings.catch_warnings():  # a task names its version on purpose
            warnings.filterwarnings("ignore", ".*out of date.*", DeprecationWarning)
            if _renders_text(spec) and "render_mode" not in options:
                with suppress(TypeError):  # some say that they render text, and take no such argument
                    return gymnasium.make(spec, disable_env_checker=True, **options, render_mode="ansi")
            return gymnasium.make(spec, disable_env_checker=True, **options)
    except (ImportError, TypeError, gymnasium.error.Error) as error:
        raise UsageError(f"{task.name}: environment {spec.id} cannot be made: {error}") from error


def _renders_text(spec: EnvSpec) -> bool:
    creator = load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point
    return "ansi" in ((getattr(creator, "metadata", None) or {}).get("render_modes") or ())


def _auto_view(env: gymnasium.Env) -> str:
    """By the class of the environment, unless one of the user's wrappers shows something of its own."""
    modules = [base.__module__ for base in type(env.unwrapped).__mro__]
    for prefix, view in _AUTO.items():
        if any(module == prefix or module.startswith(f"{prefix}.") for module in modules):
            return "spaces" if shows_its_own(env, _SUPERSEDED.get(view, "")) else view
    return "spaces"


def _layouts_vary(env: Outcome, layout: Fingerprint) -> bool:
    """Whether seeds give layouts enough to hold some back for evaluation. A single cell is a state and no layout."""
    if env.codec.observation_spec.shape[:2] == (1, 1):
        return False

    def seen(seeds: range) -> set[bytes]:
        return {layout(env.codec.encode(env.reset(seed=seed)[0])) for seed in seeds}

    found = seen(range(8))
    if len(found) == 1:
        return False
    found |= seen(range(8, _LOOKS))
    held_back = sum(layout_split(one) == "eval" for one in found)
    return min(held_back, len(found) - held_back) >= _ENOUGH


def _symbols(env: gymnasium.Env, task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    from hplan.worlds.changing import changing
    from hplan.worlds.minigrid import AGENT, MiniGridView

    env = changing(stripped(env, _SUPERSEDED["symbols"]), task.changes)
    at_least = task.play.episode_steps if split == "train" else 0
    view = MiniGridView(env, task.name, at_least=at_least, asks=task.goal != "observation")
    return view, lambda observation: observation[..., :AGENT].tobytes()  # where the agent starts makes no new layout


def _tiles(env: gymnasium.Env, task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    from hplan.worlds.changing import changing
    from hplan.worlds.grid_pictures import TileView

    env = changing(stripped(env, _SUPERSEDED["symbols"]), task.changes)
    at_least = task.play.episode_steps if split == "train" else 0
    view = TileView(env, task.name, at_least=at_least, asks=task.goal != "observation")
    return view, lambda _: view.layout


def _position(env: gymnasium.Env, task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    from hplan.worlds.changing import changing
    from hplan.worlds.mazes import MazeView

    options: dict[str, Any] = {} if split == "eval" else {"max_steps": task.play.episode_steps}
    options["evaluation"] = split == "eval"
    if task.changes.kind == "closing-corridor":
        from hplan.worlds.closing import ClosingMaze

        return ClosingMaze(stripped(env), task.name, when=task.changes.when, **options), np.ndarray.tobytes
    return MazeView(changing(stripped(env), task.changes), task.name, **options), np.ndarray.tobytes


def _picture(env: gymnasium.Env, task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    from hplan.worlds.pictures import DiverseMazePicture, MazePicture

    options: dict[str, Any] = {} if split == "eval" else {"max_steps": task.play.episode_steps}
    options["evaluation"] = split == "eval"
    options["flicker"] = task.changes.chance if task.changes.kind == "flicker" else 0.0
    if task.layouts == "vary":
        from hplan.worlds.generated_mazes import layouts

        generated = layouts(held_out=split == "eval")
        return DiverseMazePicture(stripped(env), task.name, layouts=generated, **options), None
    return MazePicture(stripped(env), task.name, **options), np.ndarray.tobytes


def _rooms(env: gymnasium.Env, task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    from hplan.worlds.rooms import Rooms

    rooms: Any = env.unwrapped
    if not isinstance(rooms, Rooms):
        raise UsageError(f"{task.name}: {type(rooms).__name__} has no rooms, which the view 'rooms' is for")
    rooms.evaluation = split == "eval"
    if split == "train":
        rooms.max_steps = task.play.episode_steps
    return GymView(env, task.name), np.ndarray.tobytes


def _layout(env: gymnasium.Env, task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    from hplan.worlds.generated_mazes import DiverseMaze, layouts

    held_out = split == "eval"
    view = DiverseMaze(
        stripped(env),
        task.name,
        layouts=layouts(held_out=held_out),
        evaluation=held_out,
        max_steps=task.play.episode_steps,
    )
    return view, None


def _powder(env: gymnasium.Env, task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    from hplan.worlds.powder import PowderView

    limit = own_limit(env) if split == "eval" else task.play.episode_steps
    return PowderView(stripped(env), task.name, evaluation=split == "eval", max_steps=limit), None


def _spaces(env: gymnasium.Env, task: TaskConfig, split: Split) -> tuple[Any, Fingerprint | None]:
    if task.changes.kind != "none":
        from hplan.worlds.changing import changing

        env = changing(env, task.changes)
    return GymView(env, task.name), np.ndarray.tobytes


VIEWS: dict[str, Callable[[gymnasium.Env, TaskConfig, Split], tuple[Any, Fingerprint | None]]] = {
    "symbols": _symbols,
    "tiles": _tiles,
    "position": _position,
    "picture": _picture,
    "rooms": _rooms,
    "layout": _layout,
    "powder": _powder,
    "spaces": _spaces,
}
