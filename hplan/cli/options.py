"""Options that several commands share, and how their values are read. A ValueError says what is wrong with one."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hplan.parts import names

if TYPE_CHECKING:
    from hplan.agent import Agent
    from hplan.config import TaskConfig

LARGEST_SEED = 2**31 - 1  # times the episodes of one seed, within 64 bits
TASK_HELP = "A name from `hplan list`, or gym:ENV-ID for any registered Gymnasium environment"


def positive(given: str | int) -> int:
    text = str(given)  # a default is a number already
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number above 0")
    return int(text)


def seed(given: str | int) -> int:
    text = str(given)
    if not text.isdecimal() or int(text) > LARGEST_SEED:
        raise ValueError(f"{text!r} is not a seed: a whole number, 0 or above, and at most {LARGEST_SEED}")
    return int(text)


def depth(text: str) -> int | str:
    return text if text == "auto" else positive(text)


def setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value is what TOML makes of it, or else a word."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise ValueError(f"{text!r} is not KEY=VALUE")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def task_of(agent: Agent, name: str | None, success: Literal["auto", "terminated"] | None = None) -> TaskConfig:
    """The task of that name, or else the agent's own; the rule of success is the one given, or else the agent's."""
    from hplan.registry import task_for

    return task_for(agent, name, success)


def number(text: str, *names: str) -> Any:
    """An option that takes a whole number above 0."""
    return typer.Option(*names, metavar="N", parser=positive, help=text)


def seeds(text: str) -> Any:
    return typer.Option(metavar="N", parser=seed, help=text)


def file(text: str) -> Any:
    return typer.Option(metavar="FILE", help=text)


def folder(text: str) -> Any:
    return typer.Option(metavar="DIR", help=text)


def keys(text: str) -> Any:
    return typer.Option("--set", metavar="KEY=VALUE", parser=setting, help=f"{text} (again for more)")


def part(kind: str, text: str, eyes: str = "") -> Any:
    """An option that names a part of that kind (`hplan.parts`); `eyes`: or of this one, where a task shows images."""
    known = ", ".join(names(kind)) or "none built in"
    if eyes:
        known += f". Of images, what an eye learns by, too: {', '.join(names(eyes))}; a name in both lists is for both"
    return typer.Option(metavar="NAME|MODULE:NAME", help=f"{text}: {known}")


AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="A run directory, or the name of a shipped agent")]
Task = Annotated[str, typer.Argument(metavar="TASK", help=TASK_HELP)]
OtherTask = Annotated[
    str | None, typer.Option("--task", metavar="TASK", help=f"{TASK_HELP} (default: the agent's own)")
]
Budget = Annotated[Literal["quick", "full"], typer.Option(help="How long")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where DIR holds a part; nothing where it is finished")]
Workers = Annotated[int, number("Processes")]
Levels = Annotated[int | None, number("Keep the N lowest levels; 1 is the flat agent")]
Fps = Annotated[int | None, number("Steps a second (default: 5 on a terminal, else unpaced)")]
Episodes = Annotated[int, number("How many")]
Json = Annotated[str | None, file("Write all figures there")]
Replan = Annotated[
    Literal["surprise", "clock", "never"],
    typer.Option(
        help="surprise: the controller's rule; clock: after every step of a level; never: when a plan is used up"
    ),
]
Planner = Annotated[str, part("planner", "Who plans each level")]
Forbid = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE:NAME",
        help="A constraint that no step of any plan may break: a function of observations, above 0 where it is "
        "forbidden, or an energy over level-0 latents (again for more)",
    ),
]
Track = Annotated[str | None, folder("Write curves for TensorBoard there (extra `track`)")]
Success = Annotated[
    Literal["auto", "terminated"] | None,
    typer.Option(help="terminated: a gym: task counts as solved when its episode ends (default: the agent's own rule)"),
]
