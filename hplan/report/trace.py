"""A trace: one JSON line per environment step of an episode, enough to replay it without the agent or the world."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shlex import quote
from typing import Any

from hplan.control.plan_tree import PlanTree
from hplan.files import plain
from hplan.types import HplanError, Repair, UsageError


@dataclass(frozen=True)
class TraceStep:
    """What one step looked like when its action had been chosen. The last of an episode has no action: how it ended.

    `surprise` and `thresholds` by level, in units of the level's own step; `repair` the last one so far; `imagined`:
    what each level's step under way leads to, as `world` is drawn, where latents can be drawn (`Stack.draw`);
    `evaluations` predictor evaluations since the episode began; `ms` milliseconds that choosing the action took.
    """

    step: int
    world: str  # SplitEnv.render()
    tree: PlanTree
    surprise: Mapping[int, float] = field(default_factory=dict)
    thresholds: Mapping[int, float] = field(default_factory=dict)
    repair: Repair | None = None
    evaluations: int = 0
    ms: float = 0.0
    action: str = ""
    reward: float = 0.0  # of the action
    success: bool = False
    imagined: Mapping[int, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line, without its newline."""
        values = {**vars(self), "tree": self.tree.to_dict(), "repair": self.repair and asdict(self.repair)}
        return json.dumps(plain(values), ensure_ascii=False, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> TraceStep:
        """The inverse of `to_json`. Raises ValueError for anything else, saying what is wrong."""
        try:
            values: dict[str, Any] = json.loads(line)
            for name in ("surprise", "thresholds"):
                # A level without a threshold is never surprised.
                unknown = math.inf if name == "thresholds" else math.nan
                values[name] = {int(k): unknown if v is None else float(v) for k, v in values[name].items()}
            values["imagined"] = {int(k): str(v) for k, v in values.get("imagined", {}).items()}
            if values["repair"] is not None:
                repair: dict[str, Any] = {k: math.nan if v is None else v for k, v in values["repair"].items()}
                values["repair"] = Repair(**repair)
            return cls(**{**values, "tree": PlanTree.from_dict(values["tree"])})
        except (KeyError, TypeError, AttributeError, ValueError, UsageError) as error:
            raise ValueError(f"not a step of a trace ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class Trace:
    """A recorded trace. `damage`: "" or which last line a killed or full-disk run left in pieces; the rest is here."""

    steps: tuple[TraceStep, ...]
    damage: str = ""


def record(steps: Iterable[TraceStep], path: str | os.PathLike[str]) -> Iterator[TraceStep]:
    """Pass steps through and write each to a file before the next is asked for; what was there before is replaced.

    Every line is one write, so that a killed run leaves whole lines and at most one piece.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        for step in steps:
            file.write(step.to_json().encode() + b"\n")
            yield step


def read_trace(path: str | os.PathLike[str]) -> Trace:
    """Read a trace. A damaged last line is named in `damage`; a damaged one before it raises HplanError.

    Raises UsageError where there is no file or no whole step in it.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"no trace at {path}; `hplan watch AGENT --trace {quote(str(path))}` records one")
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        lines.append(rest)
    steps: list[TraceStep] = []
    damage = ""
    for number, line in enumerate(lines, 1):
        try:
            steps.append(TraceStep.from_json(line.decode("utf-8-sig")))
        except ValueError as error:
            damage = f"{path}, line {number} of {len(lines)}: {error}"
            if number < len(lines):
                raise HplanError(f"{damage}; only the last line of an interrupted recording may be damaged") from error
    if not steps:
        raise UsageError(f"{path} holds no step of a trace" + (f": {damage}" if damage else ""))
    return Trace(tuple(steps), damage)
