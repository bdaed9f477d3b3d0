"""`hplan experiment`: the engine and the questions of a checkout, which no wheel carries."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from hplan.cli import options
from hplan.cli.progress import Bars
from hplan.types import UsageError

ENGINE = Path("experiments", "engine", "__init__.py")
app = typer.Typer(help="The questions that experiments/ asks, and their raw results.")


def _checkout() -> Path | None:
    """The current folder where it holds the engine, else the one that the package lies in."""
    roots = (Path.cwd(), Path(__file__).resolve().parents[2])
    return next((root for root in roots if (root / ENGINE).exists()), None)


def in_checkout() -> bool:
    return _checkout() is not None


def engine() -> Any:
    """The module experiments.engine of the checkout. Raises UsageError where there is none."""
    root = _checkout()
    if root is None:
        raise UsageError("experiments need a checkout of hplan: run this in the folder that holds experiments/engine")
    if str(root) not in sys.path:
        sys.path.append(str(root))
    return import_module("experiments.engine")


@app.command("list")
def list_experiments() -> None:
    """Every experiment, its question, and how much of it is done."""
    for name, one in engine().find_experiments().items():
        steps = one.steps()
        print(f"{name}  {sum(step.output.exists() for step in steps)}/{len(steps)} steps done\n  {one.question}")


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A folder of experiments/, or a path to one")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Small budgets, to see that it works; results go to runs/")
    ] = False,
    workers: Annotated[int, options.number("Steps at once")] = 2,
) -> None:
    """Run what is missing of an experiment, then write its table."""
    found = engine()
    with Bars() as progress:
        table = found.run_experiment(name, quick=quick, workers=workers, progress=progress)
    print(table)
