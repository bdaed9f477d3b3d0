"""Curves of training, of evaluations and of single episodes for TensorBoard: `tensorboard --logdir FOLDER`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hplan.files import check_folder
from hplan.report.theme import needs
from hplan.report.trace import TraceStep
from hplan.types import Result


def check(folder: str | os.PathLike[str] | None) -> None:
    """Raises UsageError where there can be no such folder, and HplanError without the extra: told before the work."""
    if folder is not None:
        check_folder(folder)
        with needs("track"):
            import tensorboard  # noqa: F401


def write_training(folder: str | os.PathLike[str], curves: Mapping[str, Sequence[Mapping[str, float]]]) -> None:
    """`curves` as in the curves.json of a run directory: by stage, rows with `step` (gradient steps) and components of
    the loss. Tags are STAGE/COMPONENT. Raises HplanError without the extra `track`, as all functions here."""
    with _writer(folder) as log:
        for stage, rows in curves.items():
            for row in rows:
                for name in row.keys() - {"step"}:
                    log(f"{stage}/{name}", row[name], row["step"])


def write_evaluation(folder: str | os.PathLike[str], result: Result) -> None:
    """By number of the episode: success, steps, return, predictor evaluations and planning time, and the share of
    episodes solved so far."""
    with _writer(folder) as log:
        solved = 0
        for episode, record in enumerate(result.records):
            solved += record["success"]
            log("evaluation/success rate so far", solved / (episode + 1), episode)
            for name in ("success", "steps", "reward", "evaluations", "ms"):
                log(f"evaluation/{name}", record[name], episode)


def write_episode(folder: str | os.PathLike[str], steps: Iterable[TraceStep]) -> Iterator[TraceStep]:
    """Pass the steps of an episode through and log each: predictor evaluations, planning time in ms, and for every
    level surprise, surprise as a multiple of its threshold, and the energy of the subgoal that is being executed."""
    with _writer(folder) as log:
        for step in steps:
            log("episode/predictor evaluations", step.evaluations, step.step)
            log("episode/planning time [ms]", step.ms, step.step)
            for level, surprise in step.surprise.items():
                log(f"surprise/level {level}", surprise, step.step)
                if (threshold := step.thresholds.get(level, math.inf)) > 0:
                    log(f"surprise by threshold/level {level}", surprise / threshold, step.step)
            for node in step.tree.path_to_active()[1:]:
                log(f"energy/level {node.level}", node.energy, step.step)
            yield step


@contextmanager
def _writer(folder: str | os.PathLike[str]) -> Iterator[Any]:
    """A function of tag, value and step; what is not finite is left out."""
    with needs("track"):
        from torch.utils.tensorboard import SummaryWriter
    with SummaryWriter(str(folder)) as writer:

        def log(tag: str, value: float, step: float) -> None:
            if math.isfinite(value):
                writer.add_scalar(tag, float(value), int(step))

        yield log
