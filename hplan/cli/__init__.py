"""The command line: `main` parses, runs one command, and turns every way to end into a status and one line.

0 done, 1 the job failed, 2 the call was wrong. A traceback is shown with --debug only.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hplan.cli.parser import parse
from hplan.types import CollapseWarning, HplanError, UsageError


def main(argv: Sequence[str] | None = None) -> int:
    """Run `hplan ARGV` and return its exit status; --help and --version leave by SystemExit(0), as argparse does."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = parse(argv)
        with _collapse_in_a_line():
            return arguments.command(arguments) or 0
    except KeyboardInterrupt:
        return _say("interrupted; what was finished is kept, and the same command with --resume goes on from there", 1)
    except BrokenPipeError:  # `hplan list | head`: nobody reads on, and Python must not complain while it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if "--debug" in argv:
            raise
        if isinstance(error, UsageError):
            return _say(str(error), 2)
        if isinstance(error, HplanError):
            return _say(str(error), 1)
        if isinstance(error, OSError):  # a full disk, a folder that may not be written
            return _say(str(error), 1)
        return _say(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1)


@contextmanager
def _collapse_in_a_line() -> Iterator[None]:
    """A level that collapsed is news for people: one line, every time, and not where in the source it was found."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", CollapseWarning)
        show = warnings.showwarning

        def show_in_a_line(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, CollapseWarning):
                print(f"hplan: warning: {message}", file=sys.stderr, flush=True)
            else:
                show(message, category, *where)

        warnings.showwarning = show_in_a_line
        yield


def _say(message: str, status: int) -> int:
    print(f"hplan: {message}", file=sys.stderr)
    return status
