"""The command line: `main` parses, runs one command, and turns every way to end into a status and one line.

0 done, 1 the job failed, 2 the call was wrong. A traceback is shown with --debug only.
"""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from hplan import __version__
from hplan.cli import commands, data, experiments, look
from hplan.types import (
    CollapseWarning,
    ForbiddenWarning,
    HplanError,
    LateRewardWarning,
    MissionWarning,
    NoSuccessWarning,
    PrecisionWarning,
    SymbolWarning,
    UsageError,
)
from hplan.validation import near

NEWS = (CollapseWarning, LateRewardWarning, NoSuccessWarning, PrecisionWarning)  # of play and training, for people
ONCE = (ForbiddenWarning, MissionWarning, SymbolWarning)  # of episodes, of which every next one might say the same
LEARN, LOOK, MORE = "Learn and measure", "Look", "Play and experiments"

app = typer.Typer(add_completion=False, rich_markup_mode="rich")
for name, command, panel in (
    ("list", look.list_all, LOOK),
    ("train", commands.train, LEARN),
    ("adapt", commands.adapt, LEARN),
    ("eval", commands.evaluate, LEARN),
    ("inspect", commands.inspect, LEARN),
    ("surprise", commands.surprise, LEARN),
    ("watch", look.watch, LOOK),
    ("replay", look.replay, LOOK),
    ("plan", look.plan, LOOK),
    ("draw", look.draw, LOOK),
    ("doctor", look.doctor, MORE),
):
    app.command(name, rich_help_panel=panel)(command)
app.add_typer(data.app, name="data", rich_help_panel=MORE)
app.add_typer(experiments.app, name="experiment", rich_help_panel=MORE)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hplan {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; wherever it stands")] = False,
) -> None:
    """Hierarchical planning with a learned stack of JEPA world models."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hplan ARGV` and return its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a plan tree has lines that not every terminal's encoding knows
            stream.reconfigure(errors="replace")
    command = typer.main.get_command(app)
    try:
        with _news_in_a_line():
            context = command.make_context("hplan", [word for word in argv if word != "--debug"])
            with context:
                return command.invoke(context) or 0
    except typer.Exit as ended:
        return ended.exit_code
    except KeyboardInterrupt:
        return _say("interrupted; what was finished is kept, and the same command with --resume goes on from there", 1)
    except BrokenPipeError:
        return _nobody_reads_on()
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):  # rich leaves so
            return _nobody_reads_on()
        return _say(f"something in the environment or the agent ended Python with SystemExit({error.code!r})", 1)
    except typer.TyperException as error:
        return _say(_explained(error), 2)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, UsageError):
            return _say(f"{error}{_hint(error)}", 2)
        if isinstance(error, HplanError | OSError):  # a full disk, a folder that may not be written
            return _say(str(error), 1)
        return _say(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1)


def _explained(error: typer.TyperException) -> str:
    """A mistake of the call in one line, with the nearest right spelling."""
    context: Any = getattr(error, "ctx", None)
    text = " ".join(error.message.split()).removeprefix("Value error, ").rstrip(".")
    parameter = getattr(error, "param", None)
    if "No such option" in text and context:
        wrong = getattr(error, "option_name", "")
        known = [name for one in context.command.get_params(context) for name in one.opts if name.startswith("--")]
        text = f"no option {wrong}{near(wrong, known)}"
    elif "No such command" in text:
        wrong = text.split("'")[1]
        text = f"no command {wrong!r}{near(wrong, context.command.commands)}"
    elif parameter is not None:
        named = next((name for name in parameter.opts if name.startswith("--")), parameter.metavar)
        value, *choices = re.findall(r"'([^']*)'", text) if "is not one of" in text else [""]
        told = f"{value!r} is unknown{near(value, choices)}" if choices else text
        text = f"{named}: {told}" if told else f"{named} is missing"
    where = context.command_path if context else "hplan"
    return f"{text}; see `{where} --help`"


def _hint(error: BaseException) -> str:
    """Python looks for modules in the current folder where it is called itself, and not where a script is."""
    missing = error.__cause__
    if not isinstance(missing, ModuleNotFoundError) or not missing.name or {"", os.getcwd()} & set(sys.path):
        return ""
    here = Path(missing.name.partition(".")[0])
    lies = here.is_dir() or here.with_suffix(".py").exists()
    return "; it lies in this folder: call `python -m hplan` instead of `hplan`" if lies else ""


def _nobody_reads_on() -> int:
    """`hplan list | head`: that is no failure, and Python must not complain while it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return 0


@contextmanager
def _news_in_a_line() -> Iterator[None]:
    """What training warns of is news for people: one line, every time, and not where in the source it was found."""
    with warnings.catch_warnings():
        for category in NEWS + ONCE:
            warnings.simplefilter("always" if category in NEWS else "once", category)
        show = warnings.showwarning

        def show_in_a_line(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, NEWS + ONCE):
                print(f"hplan: warning: {message}", file=sys.stderr, flush=True)
            else:
                show(message, category, *where)

        warnings.showwarning = show_in_a_line
        yield


def _say(message: str, status: int) -> int:
    with suppress(BrokenPipeError):  # the status says it, too
        print(f"hplan: {message}", file=sys.stderr)
    return status
