"""What a run took: how long, all its sittings together, since what was killed and goes on did not begin only then; and
how much memory."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from hplan.files import write_atomically
from hplan.training.fit import Progress
from hplan.types import HplanError

SECONDS = "seconds.json"
EVERY = 5.0  # seconds that a kill may lose


def peak_memory() -> int | None:
    """MB that this process has had in memory at most, mapped files included; None where the system does not tell."""
    try:
        import resource  # not on Windows
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


class Spent:
    """A `Progress` that notes in the run's folder how long it has been, and tells another one, if any. Raises
    HplanError where that note is damaged."""

    def __init__(self, out: Path, progress: Progress | None) -> None:
        self.path, self.progress, self.began = out / SECONDS, progress, time.perf_counter()
        try:
            self.before = (
                float(json.loads(self.path.read_text(encoding="utf-8-sig"))["wall_s"]) if self.path.exists() else 0.0
            )
        except (ValueError, KeyError, TypeError) as error:
            raise HplanError(f"{self.path} is damaged ({error}): delete it to go on, without what it says") from error
        self.noted = self.before

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def __call__(self, stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        if self.seconds > self.noted + EVERY:
            self.noted = self.seconds
            write_atomically(self.path, json.dumps({"wall_s": round(self.noted, 1)}))
        if self.progress:
            self.progress(stage, done, total, figures)
