"""Episodes as JSON lines: of `hplan eval --records`, with how long the best way is; and as they are finished."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hplan
from hplan.config import TaskConfig
from hplan.evaluation.episode import Record
from hplan.files import plain, write_atomically
from hplan.registry import make_world
from hplan.types import Result, UsageError
from hplan.worlds.optimal import optimal_steps


def episode_lines(result: Result, task: TaskConfig) -> list[dict[str, Any]]:
    """`result.records` by episode number, each with task, method and levels, and with `optimal_steps` (None where
    `worlds/optimal.py` knows none). The starts are made again for that, after all is played: no agent can see them."""
    env, lines = make_world(task, split="eval"), []
    try:
        for episode, record in enumerate(result.records):
            best = optimal_steps(env, env.reset(seed=record["seed"]))
            head = {"task": result.task, "method": result.method, "levels": result.levels, "episode": episode}
            lines.append({**head, **record, "optimal_steps": best})
    finally:
        env.close()
    return lines


def write_records(path: str | os.PathLike[str], result: Result, task: TaskConfig) -> Path:
    """Write `episode_lines` as JSON Lines, atomically."""
    lines = [json.dumps(plain(line), allow_nan=False) for line in episode_lines(result, task)]
    return write_atomically(path, "".join(f"{line}\n" for line in lines))


def read_records(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The inverse of `write_records`. Raises UsageError for a file that is none."""
    try:
        return [json.loads(line) for line in Path(path).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: not written by `hplan eval --records` ({error}); remove it, and run again"
        ) from error


class EpisodeLog:
    """Episodes of an evaluation as they are finished, so that one which is killed goes on from there."""

    def __init__(self, path: str | os.PathLike[str], call: Mapping[str, Any], *, resume: bool) -> None:
        """`call`: all that decides what the episodes are, as plain values. `resume`: whether those that `path` holds
        already count; else it begins anew. What a kill cut off is played again.

        Raises UsageError where it holds episodes of another call, or none at all."""
        self.path, head = Path(path), json.dumps(plain(call), sort_keys=True)
        lines = [head]
        if resume and self.path.exists():
            lines = self.path.read_bytes().decode("utf-8-sig", "replace").split("\n")[:-1] or lines
        if lines[0] != head:
            raise UsageError(f"{self.path} {_other(lines[0], call)}; remove it, or leave --resume out")
        try:
            self.records = [Record(**json.loads(line)) for line in lines[1:]]
        except (ValueError, TypeError) as error:
            raise UsageError(f"{self.path} is damaged ({error}); remove it, and run again") from error
        write_atomically(self.path, "".join(f"{line}\n" for line in lines))

    def add(self, record: Record) -> None:
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(plain(record.to_dict()), allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def _other(line: str, call: Mapping[str, Any]) -> str:
    """In what a log's first line is of another call."""
    try:
        there = json.loads(line)
        differ = ", ".join(key for key, value in plain(call).items() if there.get(key) != value)
    except (ValueError, AttributeError):
        return "is no log of episodes"
    return f"holds episodes of another {differ or 'call'}"


def digest_of(folder: Path) -> str:
    """Of the agent in that folder."""
    from hplan.levels.stack import METADATA, WEIGHTS  # what only reads records needs no torch

    return _digest(folder / METADATA, folder / WEIGHTS)


def code_digest() -> str:
    """Of this hplan: another one may play the rest of an evaluation otherwise."""
    return _digest(*sorted(Path(hplan.__file__).parent.rglob("*.py")))


def _digest(*files: Path) -> str:
    whole = hashlib.sha256()
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()[:12]
