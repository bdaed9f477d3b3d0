"""Run experiments again, apart from what is stored, and say what differs from it beyond chance.

    python -m experiments.reproduce                      # all: the first seed, ten episodes a row
    python -m experiments.reproduce main --full          # one, as it was
    python -m experiments.reproduce flat --only 'evaluation-medium-*'

Results and a report go to runs/reproduce/. The exit status is 1 where anything differs. A run that was interrupted goes
on where it stopped.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from experiments.engine import Experiment, Step, find_experiments, run_steps
from hplan.evaluation.result import read_result
from hplan.evaluation.statistics import wilson
from hplan.files import write_atomically
from hplan.report.table import markdown
from hplan.types import HplanError, Result

ROOT = Path("runs", "reproduce")
EPISODES = 10  # of a row, unless all of it is run
Z = 1.96  # standard errors on either side of a mean
NEAR = 0.1  # share by which a figure without an interval may be off


@dataclass(frozen=True)
class Compared:
    """One figure of a step, as it is stored and as it came out again; `same`: neither lies outside what chance does."""

    step: str
    figure: str
    stored: str
    again: str
    same: bool


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="experiments (default: all)")
    parser.add_argument("--full", action="store_true", help="all seeds and all episodes")
    parser.add_argument("--only", default="*", help="a pattern for names of steps")
    parser.add_argument("--workers", type=int, default=1, help="steps at once")
    given = parser.parse_args(arguments)
    known = find_experiments()
    if unknown := set(given.names) - known.keys():
        parser.error(f"no experiment {sorted(unknown)}; there are {', '.join(known)}")
    found: list[Compared] = []
    failures: list[str] = []
    for name in given.names or known:
        again = known[name] if given.full else smaller(known[name])
        again = Experiment(ROOT / name, again.question, again.config)
        steps = chosen(again.steps(), given.only)
        try:
            run_steps(steps, given.workers, lambda what, done, of, name=name: _say(f"{name}: {what} {done} of {of}"))
        except HplanError as error:
            failures.append(f"{name}: {error}")
        for step in steps:
            stored = known[name].folder / "results" / f"{step.name}.json"
            if step.output.exists() and stored.exists() and (step.evaluates or step.figures):
                found += compared(f"{name}/{step.name}", step, stored)
    text = report(found, failures)
    write_atomically(ROOT / "report.md", text)
    _say(text)
    return int(bool(failures) or not all(one.same for one in found))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def smaller(experiment: Experiment) -> Experiment:
    """The same with the first seed alone, and with `EPISODES` of each row at the most."""
    config = copy.deepcopy(experiment.config)
    for step in config["step"]:
        if "seed" in step.get("each", {}):
            step["each"]["seed"] = step["each"]["seed"][:1]
        for flag, value in zip(step["run"], step["run"][1:], strict=False):
            count = config["full"].get(value.strip("{}"))
            if flag == "--episodes" and isinstance(count, int):
                config["full"][value.strip("{}")] = min(count, EPISODES)
    return Experiment(experiment.folder, experiment.question, config)


def chosen(steps: Sequence[Step], pattern: str) -> list[Step]:
    """Those whose names fit, and what they need."""
    wanted: list[Step] = []
    for step in reversed(steps):
        if fnmatch(step.name, pattern) or any(step.name in user.needs for user in wanted):
            wanted.insert(0, step)
    return wanted


def compared(name: str, step: Step, stored: Path) -> list[Compared]:
    if step.evaluates:
        return evaluations(name, read_result(stored), read_result(step.output))
    one, other = (json.loads(path.read_text(encoding="utf-8-sig")) for path in (stored, step.output))
    return [_figure(name, figure, one.get(figure), other.get(figure)) for figure in step.figures]


def evaluations(name: str, stored: Result, again: Result) -> list[Compared]:
    """Success by Wilson's intervals, evaluations a step by those of the mean over episodes; of episodes that both have,
    how many are equal to the last evaluation."""
    shares = [(f"{r.successes} of {r.episodes}", wilson(r.successes, r.episodes)) for r in (stored, again)]
    costs = [_mean([e["evaluations"] / max(e["steps"], 1) for e in r.records]) for r in (stored, again)]
    known = {record["seed"]: record for record in stored.records}
    both = [(known[record["seed"]], record) for record in again.records if record["seed"] in known]
    equal = sum(all(one[key] == other[key] for key in ("success", "steps", "evaluations")) for one, other in both)
    means = [f"{mean:.1f}" for mean, _ in costs]
    return [
        Compared(name, "success", shares[0][0], shares[1][0], _overlap(shares[0][1], shares[1][1])),
        Compared(name, "evaluations a step", means[0], means[1], _overlap(costs[0][1], costs[1][1])),
        Compared(name, "episodes that are equal", f"{len(both)}", f"{equal}", True),
    ]


def _mean(values: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """And its interval; one value says nothing of how much values vary."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, (-math.inf, math.inf)
    error = Z * math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
    return mean, (mean - error, mean + error)


def _overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def _figure(name: str, figure: str, stored: Any, again: Any) -> Compared:
    numbers = isinstance(stored, int | float) and isinstance(again, int | float)
    same = math.isclose(stored, again, rel_tol=NEAR) if numbers else stored == again
    return Compared(name, figure, str(stored), str(again), same)


def report(found: Sequence[Compared], failures: Sequence[str]) -> str:
    """Markdown: what differs first, then everything."""
    head = ("step", "figure", "stored", "again")
    different = [one for one in found if not one.same]
    rows = [[(one.step, one.figure, one.stored, one.again) for one in part] for part in (different, found)]
    lines = [f"# Reproduced: {len(found) - len(different)} of {len(found)} figures within chance", ""]
    lines += [f"Failed: {failure}\n" for failure in failures]
    if different:
        lines += ["## Different", "", markdown(head, rows[0], "llrr")]
    return "\n".join([*lines, "## All", "", markdown(head, rows[1], "llrr")])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
