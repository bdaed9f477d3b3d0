"""What a task is: one small TOML file, read into frozen dataclasses. Unknown keys are errors. See tasks/README.md."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from hplan.types import UsageError

Recipe = Literal["explore", "random", "navigate", "stitch"]
GoalKind = Literal["success", "observation"]
SuccessRule = Literal["auto", "terminated"]
Layouts = Literal["vary", "fixed", "auto"]
Change = Literal["none", "slippery", "closing-doors", "moving-wall", "closing-corridor"]
EnvFactory = Callable[[], Any]  # returns a gymnasium.Env


@dataclass(frozen=True)
class PlayConfig:
    """How reward-free play of a task is made.

    recipe: `explore` goes where it has been least (play/novelty.py; random where states cannot be counted), `random`
        actions, or an OGBench maze's own process: `navigate` or `stitch` (hplan/worlds/experts.py).
    steps: environment steps for each training budget. episode_steps: play stops an episode here at the latest.
    restart_rare: fraction of restarts that go to an archived rare state instead of a new layout.
    """

    recipe: Recipe = "explore"
    steps: Mapping[str, int] = field(default_factory=lambda: {"quick": 100_000, "full": 1_000_000})
    episode_steps: int = 1000
    restart_rare: float = 0.0


@dataclass(frozen=True)
class ChangeConfig:
    """How the world changes while somebody acts in it, which nothing announces (hplan/worlds/changing.py, closing.py).

    chance: of a change before each step. when, for `closing-corridor`: the moment is drawn between these two shares of
        the steps that the shortest way to the goal takes.
    """

    kind: Change = "none"
    chance: float = 0.2
    when: tuple[float, ...] = (0.1, 0.4)


@dataclass(frozen=True)
class TaskConfig:
    """One task. `name` is where its file lies below tasks/, or `gym:ENV-ID`; everything else is in the file.

    environment: Gymnasium id. kwargs: for its constructor. view: how observations are made canonical (worlds/views.py).
    goal: what an episode asks for, the task's own `success` or to reach an `observation` that reset hands out.
    success: contract.md's rule, or `terminated`: ending is succeeding. layouts: whether each seed is another layout;
    `auto` tries a few seeds. changes: what disturbs an episode. probes: names of known factors, for reports only.
    training: settings by budget.
    factory: makes the environment instead of `environment`, for tasks that are a Python function (never in a file).
    """

    name: str
    environment: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    view: str = "auto"
    goal: GoalKind = "success"
    success: SuccessRule = "auto"
    layouts: Layouts = "auto"
    changes: ChangeConfig = ChangeConfig()
    play: PlayConfig = PlayConfig()
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    probes: tuple[str, ...] = ()
    factory: EnvFactory | None = None


def read_task(path: Path, name: str) -> TaskConfig:
    """The task of a TOML file. Raises UsageError naming the file, the key and what is expected there."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file ({error})") from error
    return task_from_table(table, name, str(path))


def task_from_table(table: Mapping[str, Any], name: str, where: str = "task") -> TaskConfig:
    """A task from plain values; `where` begins the message of an error."""
    for key in ("name", "factory"):
        if key in table:
            raise UsageError(f"{where}: {key} is no key of a task file: remove it (the name is the file's place)")
    if "environment" not in table:
        raise UsageError(f"{where}: environment is missing; expected a Gymnasium id such as MiniGrid-DoorKey-8x8-v0")
    values = _checked(TaskConfig, {**table, "name": name}, where)
    play = _checked(PlayConfig, values.pop("play", {}), f"{where}: play")
    _check_play(play, where)
    changes = _checked(ChangeConfig, values.pop("changes", {}), f"{where}: changes")
    _check_changes(changes, where)
    return TaskConfig(**values, changes=ChangeConfig(**changes), play=PlayConfig(**play))


def check_values(values: Mapping[str, Any], examples: Mapping[str, Any], where: str) -> None:
    """Raises UsageError for a value of another type than its example; a list does for a tuple, an int for a float."""
    for key, value in values.items():
        example = examples[key]
        alike = {tuple: (tuple, list), float: (float, int)}.get(type(example), (type(example),))
        if not isinstance(value, alike) or isinstance(value, bool) != isinstance(example, bool):
            raise UsageError(f"{where}: {key} is {value!r}; expected a value such as {example!r}")


def _check_play(play: Mapping[str, Any], where: str) -> None:
    bad = {budget: steps for budget, steps in play.get("steps", {}).items() if type(steps) is not int or steps < 1}
    if bad:
        raise UsageError(f"{where}: play.steps holds {bad}; expected whole numbers above 0 for each budget")
    if play.get("episode_steps", 1) < 1:
        raise UsageError(f"{where}: play.episode_steps is {play['episode_steps']}; expected a whole number above 0")
    if not 0 <= play.get("restart_rare", 0.0) < 1:
        raise UsageError(f"{where}: play.restart_rare is {play['restart_rare']}; expected 0 or more, and below 1")


def _check_changes(changes: Mapping[str, Any], where: str) -> None:
    kind = changes.get("kind", "none")
    number = {"none": "no number", "closing-corridor": "when"}.get(kind, "chance")
    for key in changes.keys() - {"kind", number}:
        raise UsageError(f"{where}: changes.{key} means nothing where changes.kind is {kind!r}; it takes {number}")
    if not 0 < changes.get("chance", 1.0) <= 1:
        raise UsageError(f"{where}: changes.chance is {changes['chance']}; expected above 0, and 1 at most")
    when = changes.get("when", (0.0, 0.0))
    if len(when) != 2 or not all(isinstance(share, int | float) for share in when) or not 0 <= when[0] <= when[1]:
        raise UsageError(f"{where}: changes.when is {when}; expected [earliest, latest], such as [0.1, 0.4]")


_TABLES = ("Mapping", "PlayConfig", "ChangeConfig")
_PLAIN = {"tuple": list, "str": str, "int": int, "float": (int, float), **dict.fromkeys(_TABLES, dict)}


def _checked(cls: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values of `table` if they are ones that `cls` has, of the right kind; lists become tuples."""
    known = [f.name for f in fields(cls)]
    hints, values = get_type_hints(cls), {}
    for key, value in table.items():
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; expected one of {', '.join(known)}")
        if choices := get_args(hints[key]) if getattr(hints[key], "__origin__", None) is Literal else ():
            if value not in choices:
                raise UsageError(f"{where}: {key} is {value!r}; expected one of {', '.join(map(repr, choices))}")
        else:
            kind = getattr(hints[key], "__name__", str(hints[key]))
            if not isinstance(value, _PLAIN[kind]) or isinstance(value, bool):
                raise UsageError(f"{where}: {key} is {value!r}; expected a {'table' if kind in _TABLES else kind}")
        values[key] = tuple(value) if isinstance(value, list) else value
    return values
