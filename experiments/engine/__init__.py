"""Experiments: folders whose config.toml names the `hplan` calls that answer a question. See experiments/README.md.

A step is skipped when its output exists, so that a run which was interrupted goes on where it stopped; evaluations go
on within theirs. Raw results of a full run lie beside the config; those of a quick one in runs/, where they are
mistaken for nothing.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hplan.evaluation.records import read_records
from hplan.evaluation.result import read_result
from hplan.evaluation.statistics import rank_correlation, wilson
from hplan.files import write_atomically
from hplan.report.frontier import Point, frontier_figure
from hplan.report.published import Standing, experience_figure, published_figure, published_table
from hplan.report.scatter import Episodes, scatter_figure, scatter_table
from hplan.report.seeds import seeds_table
from hplan.report.table import markdown, markdown_table
from hplan.types import HplanError, Result, UsageError

STEP_KEYS = {"name", "run", "output", "needs", "each", "figures"}
Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Step:
    """A call of `hplan`, or of a script whose path comes first. `output` is the file that exists exactly when the step
    is done; `needs` names earlier steps; `records` is where an evaluation may put its episodes; `figures`, of what is
    no evaluation, are those of its JSON that are shown."""

    name: str
    run: tuple[str, ...]
    output: Path
    records: Path
    log: Path
    needs: tuple[str, ...]
    cell: tuple[tuple[str, str], ...]  # the values of `each`; runs that differ in the seed alone are one row of a table
    figures: tuple[str, ...] = ()

    @property
    def script(self) -> bool:
        return self.run[0].endswith(".py")

    @property
    def evaluates(self) -> bool:
        """Its output is a row of the table: a script writes what `hplan eval` would, unless it has `figures`."""
        return (self.script and not self.figures) or self.run[0] == "eval"


@dataclass(frozen=True)
class Experiment:
    """The config.toml of one folder, read but not yet filled in."""

    folder: Path
    question: str
    config: dict[str, Any]

    def results(self, quick: bool = False) -> Path:
        return Path("runs", f"{self.folder.name}-quick", "results") if quick else self.folder / "results"

    def steps(self, quick: bool = False) -> list[Step]:
        """All steps, `each` multiplied out and every {placeholder} filled in. Raises UsageError for a bad config."""
        runs = Path("runs", f"{self.folder.name}-quick" if quick else self.folder.name)
        values = {**self.config.get("quick" if quick else "full", {}), "runs": runs, "results": self.results(quick)}
        try:
            steps = [step for entry in self.config["step"] for step in _multiply(entry, values)]
        except (KeyError, IndexError) as error:
            raise UsageError(
                f"{self.folder / 'config.toml'}: nothing is called {error}; see experiments/README.md"
            ) from error
        for index, step in enumerate(steps):
            if unknown := set(step.needs) - {earlier.name for earlier in steps[:index]}:
                raise UsageError(
                    f"{self.folder / 'config.toml'}: step {step.name!r} needs {sorted(unknown)}, no earlier step"
                )
        return steps


def _multiply(entry: dict[str, Any], values: dict[str, Any]) -> Iterator[Step]:
    """The steps of one [[step]]: one for every combination of the values of its `each`."""
    if unknown := entry.keys() - STEP_KEYS:
        raise UsageError(
            f"step {entry.get('name')!r} has unknown keys {sorted(unknown)}; known are {sorted(STEP_KEYS)}"
        )
    each = entry.get("each", {})
    for combination in itertools.product(*each.values()):
        filled = {**values, **dict(zip(each, combination, strict=True))}
        name = entry["name"].format(**filled)
        filled["output"] = Path(entry.get("output", "{results}/" + name + ".json").format(**filled))
        filled["records"] = records = filled["output"].with_suffix(".jsonl")
        run = tuple(str(word).format(**filled) for word in entry["run"])
        needs = tuple(need.format(**filled) for need in entry.get("needs", ()))
        cell = tuple((key, str(filled[key])) for key in each)
        log, figures = Path(values["runs"], "logs", f"{name}.log"), tuple(entry.get("figures", ()))
        yield Step(name, run, filled["output"], records, log, needs, cell, figures)


def find_experiments(root: Path | None = None) -> dict[str, Experiment]:
    """By name, those below `root` (default: experiments/ of the current folder, else of the checkout)."""
    roots = [root] if root else [Path("experiments"), Path(__file__).parent.parent]
    root = next((one for one in roots if one.is_dir()), None)
    return {file.parent.name: _read(file) for file in sorted(root.glob("*/config.toml"))} if root else {}


def _read(file: Path) -> Experiment:
    try:
        config = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    return Experiment(file.parent, config.get("question", ""), config)


def run_experiment(name: str, *, quick: bool = False, workers: int = 2, progress: Report | None = None) -> str:
    """Run the steps that have no output yet, at most `workers` at once, and return the table, which is also written to
    table.md beside the results. Raises HplanError, after all that can run has run, when a step failed."""
    known = find_experiments()
    if Path(name, "config.toml").is_file():
        experiment = _read(Path(name, "config.toml"))
    elif name in known:
        experiment = known[name]
    else:
        raise UsageError(
            f"no experiment {name!r}; there are {', '.join(known) or 'none'}, or name a folder with a config.toml"
        )
    if len(experiment.config.get("plot", (0, 0))) != 2:
        raise UsageError(f"{experiment.folder / 'config.toml'}: plot = {experiment.config['plot']}; expected [x, y]")
    published(experiment, quick)  # what is wrong with it shows before anything runs
    steps = experiment.steps(quick)
    run_steps(steps, workers, progress)
    text = table(experiment, quick)
    write_atomically(experiment.results(quick) / "table.md", text)
    if "plot" in experiment.config and (groups := episodes(experiment, quick)):
        x, y = experiment.config["plot"]
        correlations = scatter_table(groups, x, y)
        write_atomically(experiment.results(quick) / "correlation.md", correlations)
        write_atomically(experiment.results(quick) / "plot.svg", scatter_figure(groups, x, y))
        text += f"\n{correlations}"
    if "frontier" in experiment.config and (points := frontier(experiment, quick)):
        write_atomically(experiment.results(quick) / "frontier.svg", frontier_figure(points))
    if measured := figures(experiment, quick):
        write_atomically(experiment.results(quick) / "figures.md", measured)
        text += f"\n{measured}"
    if standings := published(experiment, quick):
        beside = published_table(standings)
        write_atomically(experiment.results(quick) / "published.md", beside)
        write_atomically(experiment.results(quick) / "published.svg", published_figure(standings))
        if (ours := experiment.config["published"].get("experience")) and any(one.steps for one in standings):
            write_atomically(experiment.results(quick) / "experience.svg", experience_figure(standings, float(ours)))
        text += f"\n{beside}"
    return text


def published(experiment: Experiment, quick: bool = False) -> list[Standing]:
    """By task, the evaluations that are there of the steps which have all values of `where`, beside `best`. Raises
    UsageError where `published` in the config is not as experiments/README.md has it."""
    if (config := experiment.config.get("published")) is None:
        return []
    try:
        where = {key: str(value) for key, value in config["where"].items()}.items()
        best = {
            task: (float(percent) / 100, str(by), float(*steps) if steps else None)
            for task, (percent, by, *steps) in config["best"].items()
        }
        float(config.get("experience", 0))
        evals = [step for step in experiment.steps(quick) if step.run[0] == "eval"]
        ours = [step for step in evals if where and where <= dict(step.cell).items()]
        if not ours or config.keys() - {"experience"} != {"where", "best"}:
            raise ValueError(f"it has {sorted(config)}, and {len(ours)} evaluations have all values of `where`")
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"{experiment.folder / 'config.toml'}: published needs `where`, values of `each`, and `best`, "
            f'task = [percent, "by whom"] or [percent, "by whom", steps], and perhaps `experience` ({error})'
        ) from error
    found: dict[str, list[Result]] = {task: [] for task in best}
    for result in (read_result(step.output) for step in ours if step.output.exists()):
        found.setdefault(result.task, []).append(result)
    standings = []
    for task, known in best.items():
        if results := found[task]:
            counts = sum(r.successes for r in results), sum(r.episodes for r in results)
            rates = tuple(r.success_rate for r in results)
            standings.append(Standing(task, *counts, wilson(*counts), rates, *known))
    return standings


def episodes(experiment: Experiment, quick: bool = False) -> list[Episodes]:
    """By task and number of levels, the episodes of all `{records}` that are there, as `plot` names two figures of
    them; without those that lack one. Raises UsageError where `plot` names what no episode has."""
    x, y = experiment.config["plot"]
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for step in experiment.steps(quick):
        for line in read_records(step.records) if step.records.exists() else ():
            figures = [name for name, value in line.items() if value is None or isinstance(value, int | float)]
            if unknown := {x, y} - set(figures):
                raise UsageError(
                    f"plot: no figure of an episode is called {sorted(unknown)}; expected two of {figures}"
                )
            if line[x] is not None and line[y] is not None:
                groups.setdefault((line["task"], line["levels"]), []).append(line)
    found = []
    for (task, levels), lines in sorted(groups.items()):
        points = tuple((line[x], line[y]) for line in lines)
        ranks = rank_correlation([a for a, _ in points], [b for _, b in points])
        solved = tuple(line["success"] for line in lines)
        found.append(Episodes(task, levels, points, solved, ranks.rho, ranks.low, ranks.high))
    return found


def frontier(experiment: Experiment, quick: bool = False) -> list[Point]:
    """The evaluations that are there, all seeds of a cell together, by the value of `each` that `frontier` names."""
    key, cells = experiment.config["frontier"], dict[tuple[str, ...], list[tuple[str, Result]]]()
    for step in experiment.steps(quick):
        cell = dict(step.cell)
        if step.evaluates and step.output.exists() and key in cell:
            same = tuple(value for name, value in step.cell if name != "seed")
            cells.setdefault(same, []).append((cell[key], read_result(step.output)))
    points = []
    for group in cells.values():
        series, results = group[0][0], [result for _, result in group]
        counts = sum(r.successes for r in results), sum(r.episodes for r in results)
        cost = sum(r.model_evals_per_step * sum(record["steps"] for record in r.records) for r in results) / counts[1]
        points.append(Point(results[0].task, series, results[0].levels, cost, counts[0] / counts[1], wilson(*counts)))
    return points


def table(experiment: Experiment, quick: bool = False) -> str:
    """The results that are there as Markdown: one row each, or one for each cell of several seeds."""
    done = [step for step in experiment.steps(quick) if step.output.exists()]
    results = [(dict(step.cell), read_result(step.output)) for step in done if step.evaluates]
    if not any("seed" in cell for cell, _ in results):
        return markdown_table([result for _, result in results])
    seen = [
        (dict(step.cell), json.loads(step.output.read_text(encoding="utf-8-sig")))
        for step in done
        if step.run[0] == "inspect"
    ]
    return seeds_table(results, seen, wilson, figures=tuple(experiment.config.get("inspect", ())))


def figures(experiment: Experiment, quick: bool = False) -> str:
    """What steps with `figures` found, as Markdown: a row for each cell, of several seeds the mean, with the lowest and
    the highest; empty where there are none. Raises UsageError for a figure that an output lacks."""
    found: dict[tuple[str, ...], list[list[float | None]]] = {}
    head: tuple[str, ...] = ()
    for step in experiment.steps(quick):
        if step.figures and step.output.exists():
            values = json.loads(step.output.read_text(encoding="utf-8-sig"))
            if unknown := set(step.figures) - values.keys():
                raise UsageError(f"{step.output} has no figure {sorted(unknown)}; expected of {sorted(values)}")
            cell = {key: value for key, value in step.cell if key != "seed"}
            head = (*cell, "seeds", *step.figures)
            found.setdefault(tuple(cell.values()), []).append([values[name] for name in step.figures])
    body = [
        (*cell, str(len(runs)), *(_mean_and_range(one) for one in zip(*runs, strict=True)))
        for cell, runs in found.items()
    ]
    words = head.index("seeds") if body else 0
    return markdown(head, body, "l" * words + "r" * (len(head) - words)) if body else ""


def _mean_and_range(values: Sequence[float | None]) -> str:
    """Four digits, and the range of several."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{sum(known) / len(known):.4g}"
    return mean if len(known) == 1 else f"{mean} ({min(known):.4g} to {max(known):.4g})"


def run_steps(steps: list[Step], workers: int, progress: Report | None) -> None:
    """Those that have no output yet, at most `workers` at once. Raises HplanError, after all that can run has run, when
    one failed."""
    waiting = missing(steps)
    done = {step.name for step in steps if step not in waiting}
    running: dict[Future[None], Step] = {}
    failed: dict[str, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        while True:
            ready = [step for step in waiting if done.issuperset(step.needs)]
            ready.sort(key=lambda step: not step.needs)  # what follows goes first, so that results come row by row
            for step in ready[: workers - len(running)]:
                waiting.remove(step)
                running[pool.submit(_run_one, step)] = step
            if progress:
                progress("steps", len(done), len(steps))
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                step = running.pop(future)
                if error := future.exception():
                    failed[step.name] = str(error)
                else:
                    done.add(step.name)
    if failed:
        lines = "\n".join(f"  {name}: {why}" for name, why in failed.items())
        raise HplanError(f"{len(failed)} of {len(steps)} steps failed, {len(waiting)} were not tried:\n{lines}")


def missing(steps: list[Step]) -> list[Step]:
    """The steps to run: those without output that nobody needs, and those that one of these needs."""
    wanted: list[Step] = []
    for step in reversed(steps):
        users = [user for user in steps if step.name in user.needs]
        if not step.output.exists() and (not users or any(user in wanted for user in users)):
            wanted.insert(0, step)
    return wanted


def _run_one(step: Step) -> None:
    """One step in a process of its own, with one thread since several run side by side."""
    step.log.parent.mkdir(parents=True, exist_ok=True)
    with open(step.log, "w", encoding="utf-8") as file:
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        resume = ("--resume",) if step.run[0] == "eval" else ()
        run = step.run if step.script else ("-m", "hplan", *step.run, *resume)
        call = [sys.executable, *run]
        status = subprocess.run(call, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False).returncode
    if status or not step.output.exists():
        last = step.log.read_text(encoding="utf-8-sig").strip().splitlines()[-1:] or ["(no output)"]
        raise HplanError(
            f"`{' '.join(run).removeprefix('-m ')}` ended with status {status}: {last[0]} (all of it in {step.log})"
        )
