"""Progress of a long job: bars on stderr where it is a terminal, a plain line per stage and tenth where it is not."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINES = 10  # plain lines for one stage


class Bars:
    """A `Progress` callback, (stage, done, total, latest figures) -> None, and a context manager around its display."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr)
        self._live = self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", style="dim"),
            console=self._console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._shown: dict[str, int] = {}

    def __enter__(self) -> Bars:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bars.stop()

    def __call__(self, stage: str, done: int, total: int, figures: dict[str, float] | None = None) -> None:
        text = "  ".join(f"{name} {value:.4g}" for name, value in (figures or {}).items())
        if self._live:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total, figures=text)
            self._bars.update(self._tasks[stage], completed=done, total=total, figures=text)
            return
        tenth = LINES * done // max(total, 1)
        if self._shown.get(stage) != tenth:
            self._shown[stage] = tenth
            print(f"{stage}: {done:,} of {total:,}  {text}".rstrip(), file=sys.stderr, flush=True)
