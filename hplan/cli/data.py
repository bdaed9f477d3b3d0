"""`hplan data`: play by itself, without training."""

from __future__ import annotations

from argparse import Namespace

from hplan.cli.progress import Bars
from hplan.types import UsageError


def make(arguments: Namespace) -> None:
    from hplan.play.record import play
    from hplan.registry import load_task

    task = load_task(arguments.task)
    steps = arguments.steps or task.play.steps[arguments.budget]
    with Bars() as progress:
        store = play(
            task,
            arguments.out,
            steps=steps,
            seed=arguments.seed,
            resume=arguments.resume,
            workers=arguments.workers,
            progress=lambda done, total: progress("play", done, total),
        )
    print(f"{arguments.out}: {len(store):,} episodes, {store.steps:,} steps")


def inspect(arguments: Namespace) -> int:
    """Every byte is read; the status is 1 where one is not what was written."""
    from hplan.play.summary import summarize

    found = summarize(arguments.folder)
    print(f"{arguments.folder}:", *found.lines(), sep="\n  ")
    return 1 if found.damaged else 0


def import_(arguments: Namespace) -> None:
    """OGBench's names begin with ogbench/; every other one is Minari's."""
    if arguments.source.startswith("ogbench/"):
        from hplan.play.exchange import import_ogbench

        store = import_ogbench(arguments.source, arguments.out, file=arguments.file)
    elif arguments.file:
        raise UsageError(f"--file belongs to OGBench's data (ogbench/NAME), not to {arguments.source!r}; leave it out")
    else:
        from hplan.play.exchange import import_minari

        store = import_minari(arguments.source, arguments.out)
    print(f"{arguments.out}: {len(store):,} episodes, {store.steps:,} steps")


def export(arguments: Namespace) -> None:
    from hplan.play.exchange import export_minari

    print(f"{arguments.dataset}: {export_minari(arguments.folder, arguments.dataset):,} episodes for Minari")
