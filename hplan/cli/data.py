"""`hplan data`: play by itself, without training."""

from __future__ import annotations

from typing import Annotated

import typer

from hplan.cli import options
from hplan.cli.progress import Bars
from hplan.files import locked
from hplan.types import UsageError

app = typer.Typer(help="Make, look at, import and export play.", no_args_is_help=False)
Episodes = Annotated[str, typer.Argument(metavar="DIR", help="Folder of the episodes")]
Out = Annotated[str, options.folder("Folder of the episodes")]


@app.command()
def make(
    task: options.Task,
    out: Out,
    steps: Annotated[int | None, options.number("Environment steps (default: the budget's)")] = None,
    budget: options.Budget = "quick",
    workers: options.Workers = 1,
    resume: options.Resume = False,
    seed: Annotated[int, options.seeds("Same seed, same bytes")] = 0,
) -> None:
    """Play a task without reward, as `train` does first."""
    from hplan.play.record import play
    from hplan.registry import load_task

    config = load_task(task)
    with locked(out), Bars() as progress:
        store = play(
            config,
            out,
            steps=steps or config.play.steps[budget],
            seed=seed,
            resume=resume,
            workers=workers,
            progress=lambda done, total: progress("play", done, total),
        )
    print(f"{out}: {len(store):,} episodes, {store.steps:,} steps")


@app.command()
def inspect(folder: Episodes) -> int:
    """What episodes a folder holds, and whether every byte is as written: the status is 1 where one is not."""
    from hplan.play.summary import summarize

    found = summarize(folder)
    print(f"{folder}:", *found.lines(), sep="\n  ")
    return 1 if found.damaged else 0


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="ogbench/NAME, or the id of a Minari dataset")],
    out: Out,
    file: Annotated[
        str | None, options.file("OGBench's NAME.npz (NAME-val.npz beside it) where it already lies")
    ] = None,
) -> None:
    """Episodes that others made: OGBench's official files, or a Minari dataset."""
    if source.startswith("ogbench/"):  # every other name is Minari's
        from hplan.play.exchange import import_ogbench

        store = import_ogbench(source, out, file=file)
    elif file:
        raise UsageError(f"--file belongs to OGBench's data (ogbench/NAME), not to {source!r}; leave it out")
    else:
        from hplan.play.exchange import import_minari

        store = import_minari(source, out)
    print(f"{out}: {len(store):,} episodes, {store.steps:,} steps")


@app.command()
def export(
    folder: Episodes,
    dataset: Annotated[str, typer.Argument(metavar="NAME", help="Id of the new dataset, such as hplan/doorkey-v0")],
) -> None:
    """Episodes as a local Minari dataset."""
    from hplan.play.exchange import export_minari

    print(f"{dataset}: {export_minari(folder, dataset):,} episodes for Minari")
