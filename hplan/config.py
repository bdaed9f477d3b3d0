"""What a task is: one small TOML file, read into frozen dataclasses. Unknown keys are errors. See tasks/README.md."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from hplan.types import UsageError
from hplan.validation import Count, Number, build, validated

Recipe = Literal["explore", "curious", "random", "navigate", "stitch", "paint"]
GoalKind = Literal["auto", "success", "observation", "reward"]
SuccessRule = Literal["auto", "terminated"]
Layouts = Literal["vary", "fixed", "auto"]
Change = Literal["none", "slippery", "closing-doors", "moving-wall", "closing-corridor", "flicker"]


def _makes_environments(value: Any) -> Any:
    if hasattr(value, "reset") and hasattr(value, "step") and not isinstance(value, type):
        raise ValueError("a function that makes a new environment each time it is called, and not an environment")
    return value


def _interval(value: Any) -> Any:
    numbers = isinstance(value, list | tuple) and all(type(share) in (int, float) for share in value)
    if not numbers or len(value) != 2 or not 0 <= value[0] <= value[1]:
        raise ValueError("[earliest, latest], such as [0.1, 0.4]")
    return tuple(value)


EnvFactory = Annotated[Callable[[], Any], BeforeValidator(_makes_environments)]  # returns a gymnasium.Env
Interval = Annotated[tuple[float, ...], BeforeValidator(_interval)]
Names = Annotated[tuple[str, ...], Field(strict=False)]  # TOML has lists


@validated
class PlayConfig:
    """How reward-free play of a task is made.

    recipe: `explore` goes where it has been least (play/explore.py; random where states cannot be counted), `curious`
        for what its own model has hardly seen (play/curious.py; of vectors, and symbols with discrete actions),
        `random` actions, or OGBench's own process: `navigate` or `stitch` of a maze (hplan/worlds/experts.py), `paint`
        of Powderworld (hplan/worlds/powder.py).
    steps: environment steps for each training budget. episode_steps: play stops an episode here at the latest.
    restart_rare: fraction of restarts that go to an archived rare state instead of a new layout.
    """

    recipe: Recipe = "explore"
    steps: Mapping[str, Count] = field(default_factory=lambda: {"quick": 100_000, "full": 1_000_000})
    episode_steps: Count = 1000
    restart_rare: Annotated[Number, Field(ge=0, lt=1)] = 0.0


@validated
class ChangeConfig:
    """How the world changes while somebody acts in it, which nothing announces (hplan/worlds/changing.py, closing.py).

    chance: of a change before each step; for `flicker`, of images, of a pixel to be new at random in each of them.
    when, for `closing-corridor`: the moment is drawn between these two shares of the steps that the shortest way to
        the goal takes.
    """

    kind: Change = "none"
    chance: Annotated[Number, Field(gt=0, le=1)] = 0.2
    when: Interval = (0.1, 0.4)


@validated
class TaskConfig:
    """One task. `name` is where its file lies below tasks/, or `gym:ENV-ID`; everything else is in the file.

    environment: Gymnasium id. kwargs: for its constructor. environments: several ids in its place, of MiniGrid; every
    episode is in one of them (worlds/mixture.py). Raises UsageError where there is not one of the two.
    view: how observations are made canonical (worlds/views.py).
    goal: what an episode asks for: the task's own `success`, to reach an `observation` that reset hands out, or as much
    `reward` as can be had; `auto`: success where play saw any, else reward.
    success: contract.md's rule, or `terminated`: ending is succeeding. layouts: whether each seed is another layout;
    `auto` tries a few seeds. changes: what disturbs an episode. probes: names of known factors, for reports only.
    training: settings by budget.
    factory: makes the environment instead of `environment`, for tasks that are a Python function (never in a file).
    Never in a file either, but of an agent's play: ordinary_reward, the best that a step paid which did not end an
    episode (worlds/outcome.py), and the codec's offset.
    """

    name: str
    environment: str = ""
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    view: str = "auto"
    goal: GoalKind = "auto"
    success: SuccessRule = "auto"
    layouts: Layouts = "auto"
    changes: ChangeConfig = ChangeConfig()
    play: PlayConfig = PlayConfig()
    training: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    probes: Names = ()
    environments: Names = ()
    ordinary_reward: Number | None = None
    offset: tuple[float, ...] | None = None
    factory: EnvFactory | None = None

    def __post_init__(self) -> None:
        if not self.environment and not self.environments:
            raise UsageError(
                "environment is missing; expected a Gymnasium id such as MiniGrid-DoorKey-8x8-v0, or several as "
                "environments"
            )
        if self.environment and self.environments:
            raise UsageError(
                f"environment is {self.environment!r} and environments are {', '.join(self.environments)}; expected "
                "one of the two keys"
            )
        if self.environments and self.kwargs:
            raise UsageError("kwargs are for the constructor of one environment; remove them beside environments")

    @property
    def where(self) -> str:
        """The environment, or all of them."""
        return self.environment or ", ".join(self.environments)


_NO_KEYS = {
    "name": "the file's place",
    "factory": "Python's alone",
    "ordinary_reward": "found from play",
    "offset": "found from play",
}
Task = str | TaskConfig | EnvFactory


def read_task(path: Path, name: str) -> TaskConfig:
    """The task of a TOML file. Raises UsageError naming the file, the key and what is expected there."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin a file with a mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not a TOML file ({error})") from error
    return task_from_table(table, name, str(path))


def task_from_table(table: Mapping[str, Any], name: str, where: str = "task") -> TaskConfig:
    """A task from plain values; `where` begins the message of an error."""
    for key, reason in _NO_KEYS.items():
        if key in table:
            raise UsageError(f"{where}: {key} is no key of a task file: remove it (it is {reason})")
    values = {**table, "name": name}
    for key, kind in (("play", PlayConfig), ("changes", ChangeConfig)):
        if isinstance(part := values.get(key), Mapping):
            values[key] = build(kind, part, f"{where}: {key}")
    task = build(TaskConfig, values, where)
    takes = {"none": "no number", "closing-corridor": "when"}.get(task.changes.kind, "chance")
    for key in table.get("changes", {}).keys() - {"kind", takes}:
        raise UsageError(
            f"{where}: changes.{key} means nothing where changes.kind is {task.changes.kind!r}; it takes {takes}"
        )
    return task
