"""`hplan eval --records`: one JSON line per episode, with how long its best way is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hplan.config import TaskConfig
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
