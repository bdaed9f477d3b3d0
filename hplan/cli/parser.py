"""What can be typed: one argparse tree, whose mistakes are UsageErrors of one line with the nearest right spelling."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from hplan import __version__
from hplan.cli import commands, data
from hplan.types import UsageError

TASK_HELP = "a name from `hplan list`, or gym:ENV-ID for any registered Gymnasium environment"
AGENT_HELP = "a run directory, or the name of a shipped agent (see `hplan list`)"


class Parser(argparse.ArgumentParser):
    """argparse, except that it raises instead of leaving, and says what was probably meant."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            name = "/".join(action.option_strings) or action.metavar or action.dest
            raise argparse.ArgumentError(None, f"{name}: {value!r} is unknown{near(str(value), choices)}")


def near(value: str, known: Sequence[str]) -> str:
    """`, did you mean X?` or `, choose from ...`: the end of a sentence about an unknown value."""
    close = get_close_matches(value, known, n=3, cutoff=0.5)
    return f", did you mean {' or '.join(close)}?" if close else f", choose from {', '.join(known)}"


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The namespace of a call; its `command` is the function to run. Raises UsageError for anything unknown."""
    arguments, unknown = build().parse_known_args(argv)
    if unknown:
        known = [option for action in arguments.parser._actions for option in action.option_strings]
        hint = near(unknown[0].split("=")[0], known) if unknown[0].startswith("-") else ""
        raise UsageError(f"unknown argument {unknown[0]!r}{hint}; see `{arguments.parser.prog} --help`")
    return arguments


def positive(text: str) -> int:
    value = int(text) if text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a seed: a whole number, 0 or above")
    return int(text)


def setting(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value is what TOML makes of it, or else a word."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value


def depth(text: str) -> int | str:
    return text if text == "auto" else positive(text)


def build() -> Parser:
    """The whole tree of commands."""
    top = Parser(prog="hplan", description="Hierarchical planning with a learned stack of JEPA world models.")
    top.add_argument("--version", action="version", version=f"hplan {__version__}")
    top.add_argument("--debug", action="store_true", help="show tracebacks")
    top.set_defaults(parser=top)
    subs = top.add_subparsers(dest="name", metavar="COMMAND", required=True)

    def add(where: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> Parser:
        sub = where.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        sub.set_defaults(command=run, parser=sub)
        return sub

    def group(name: str, text: str) -> Any:
        sub = subs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        return sub.add_subparsers(dest="verb", metavar="VERB", required=True)

    add(subs, "list", commands.list_all, "tasks, experiments, trained and shipped agents")

    train = add(subs, "train", commands.train, "play a task without reward, and learn a stack of world models from it")
    train.add_argument("task", metavar="TASK", help=TASK_HELP)
    train.add_argument(
        "--out", metavar="DIR", required=True, help="run directory: play data, checkpoints and the agent"
    )
    train.add_argument(
        "--steps", metavar="N", type=positive, help="environment steps of play (default: the task's own)"
    )
    _seed(train, "of play and training; same seed, same weights")
    train.add_argument("--levels", metavar="auto|N", type=depth, default="auto", help="depth (default: from the data)")
    train.add_argument("--budget", choices=["quick", "full"], default="quick", help="how long (default: %(default)s)")
    train.add_argument(
        "--device",
        choices=["auto", "cpu", "cuda"],
        default="auto",
        help="auto is the CPU: networks are small, and on a GPU they learned slower; levels over symbols have not been "
        "seen to learn there (default: %(default)s)",
    )
    train.add_argument(
        "--resume", action="store_true", help="go on where DIR holds a part; nothing where it is finished"
    )
    train.add_argument(
        "--play-from", metavar="DIR", help="episodes of this task that exist already, instead of playing (`hplan data`)"
    )
    _set(train, "a setting of training, such as above_steps=800; see tasks/README.md")
    _success(train, "auto")

    evaluate = add(subs, "eval", commands.evaluate, "an agent's success and planning compute on episodes it never saw")
    _agent_and_task(evaluate)
    evaluate.add_argument(
        "--method",
        choices=["hierarchical", "flat", "random", "oracle"],
        help="hierarchical: the whole stack (default); flat: level 0 alone, same planner; random: random actions; "
        "oracle: the scripted expert, a ceiling",
    )
    evaluate.add_argument("--levels", metavar="N", type=positive, help="keep the N lowest levels; 1 is the flat agent")
    _replan(evaluate)
    evaluate.add_argument("--episodes", metavar="N", type=positive, default=100, help="(default: %(default)s)")
    _seed(evaluate, "fixes the episodes: same agent, same seed, same result")
    evaluate.add_argument("--json", metavar="FILE", help="write the full result there")
    evaluate.add_argument(
        "--records", metavar="FILE", help="write one JSON line per episode there, with the length of its best way"
    )
    _set(
        evaluate,
        "a setting of the controller or of a planner, such as patience=2 or candidates=640; see docs/replanning.md",
    )
    evaluate.add_argument("--workers", metavar="N", type=positive, default=1, help="processes (default: %(default)s)")
    _success(evaluate, None)

    watch = add(subs, "watch", commands.watch, "one episode, live: the plan tree beside the world")
    _agent_and_task(watch)
    _replan(watch)
    _seed(watch, "of the episode: the first that `eval --seed N` plays")
    _fps(watch)
    watch.add_argument("--trace", metavar="FILE", help="record every step there, for `hplan replay`")

    replay = add(subs, "replay", commands.replay, "a recorded trace, step by step")
    replay.add_argument("trace", metavar="FILE", help="written by `hplan watch --trace FILE`")

    _fps(replay)

    plan = add(subs, "plan", commands.plan, "one plan tree, with nothing executed")
    _agent_and_task(plan)
    _seed(plan, "of the episode, as for watch")
    plan.add_argument("--json", metavar="FILE", help="write the tree there")

    draw = add(subs, "draw", commands.draw, "ways through a maze with the subgoals of every level, as a picture")
    _agent_and_task(draw)
    _replan(draw)
    draw.add_argument("--levels", metavar="N", type=positive, help="keep the N lowest levels; 1 is the flat agent")
    draw.add_argument("--episodes", metavar="N", type=positive, default=5, help="(default: %(default)s)")
    _seed(draw, "of the first episode, as for eval")
    draw.add_argument("--out", metavar="FILE", required=True, help="the picture, an SVG file")

    verbs = group("data", "make, look at, import and export play")
    make = add(verbs, "make", data.make, "play a task without reward, as `train` does first")
    make.add_argument("task", metavar="TASK", help=TASK_HELP)
    make.add_argument("--out", metavar="DIR", required=True, help="folder of the episodes")
    make.add_argument("--steps", metavar="N", type=positive, help="environment steps (default: the budget's)")
    make.add_argument("--budget", choices=["quick", "full"], default="quick", help="(default: %(default)s)")
    make.add_argument("--workers", metavar="N", type=positive, default=1, help="processes (default: %(default)s)")
    make.add_argument("--resume", action="store_true", help="go on where DIR holds a part")
    _seed(make, "same seed, same bytes")
    look = add(verbs, "inspect", data.inspect, "what episodes a folder holds, and whether every byte is as written")
    look.add_argument("folder", metavar="DIR", help="folder of the episodes")
    fetch = add(
        verbs, "import", data.import_, "episodes that others made: OGBench's official files, or a Minari dataset"
    )
    fetch.add_argument("source", metavar="SOURCE", help="ogbench/NAME, or the id of a Minari dataset")
    fetch.add_argument("--out", metavar="DIR", required=True, help="folder of the episodes")
    fetch.add_argument(
        "--file", metavar="FILE", help="OGBench's NAME.npz (NAME-val.npz beside it) where it already lies"
    )
    export = add(verbs, "export", data.export, "episodes as a local Minari dataset")
    export.add_argument("folder", metavar="DIR", help="folder of the episodes")
    export.add_argument("dataset", metavar="NAME", help="id of the new dataset, such as hplan/doorkey-v0")

    experiments = group("experiment", "the questions that experiments/ asks, and their raw results")
    add(experiments, "list", commands.list_experiments, "every experiment, its question, and how much of it is done")
    run = add(experiments, "run", commands.run_experiment, "run what is missing of an experiment, then write its table")
    run.add_argument("experiment", metavar="NAME", help="a folder of experiments/, or a path to one")
    run.add_argument("--quick", action="store_true", help="small budgets, to see that it works; results go to runs/")
    run.add_argument("--workers", metavar="N", type=positive, default=2, help="steps at once (default: %(default)s)")

    inspect = add(
        subs, "inspect", commands.inspect, "what each level learned: collapse, time scales, errors, thresholds"
    )
    _agent_and_task(inspect)
    inspect.add_argument(
        "--steps", metavar="N", type=positive, default=20_000, help="of fresh play to measure on (default: %(default)s)"
    )
    _seed(inspect, "of that play; same agent, same seed, same figures")
    inspect.add_argument("--json", metavar="FILE", help="write all figures there")
    inspect.add_argument("--report", metavar="FILE", help="write a page with plots there")

    add(subs, "doctor", commands.doctor, "what is installed, and what will run where")
    return top


def _agent_and_task(sub: Parser) -> None:
    sub.add_argument("agent", metavar="AGENT", help=AGENT_HELP)
    sub.add_argument("--task", metavar="TASK", help=f"{TASK_HELP} (default: the one it was trained on)")


def _seed(sub: Parser, text: str) -> None:
    sub.add_argument("--seed", metavar="N", type=seed, default=0, help=f"{text} (default: %(default)s)")


def _fps(sub: Parser) -> None:
    sub.add_argument(
        "--fps", metavar="N", type=positive, help="steps a second (default: 5 on a terminal, else unpaced)"
    )


def _replan(sub: Parser) -> None:
    sub.add_argument(
        "--replan",
        choices=["surprise", "clock", "never"],
        default="surprise",
        help="surprise: the controller's rule; clock: after every step of a level; never: when a plan is used up",
    )


def _set(sub: Parser, text: str) -> None:
    sub.add_argument(
        "--set",
        metavar="KEY=VALUE",
        type=setting,
        action="append",
        default=[],
        dest="settings",
        help=f"{text} (again for more)",
    )


def _success(sub: Parser, default: str | None) -> None:
    told = "the agent's own" if default is None else default
    text = f"terminated: a gym: task counts as solved when its episode ends (default: {told})"
    sub.add_argument("--success", choices=["auto", "terminated"], default=default, help=text)
