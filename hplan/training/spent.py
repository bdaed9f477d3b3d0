"""What a run took: how long, all its sittings together, since what was killed and goes on did not begin only then; and
how much memory."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from hplan.files import write_atomically
from hplan.training.fit import Progress
from hplan.types import HplanError

SECONDS = "seconds.json"
EVERY = 5.0  # seconds that a kill may lose


def own_memory() -> int | None:
    """MB of memory that this process has for itself, without mapped files; None where nobody tells: outside Linux."""
    try:
        found = re.search(r"^RssAnon:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return None
    return None if found is None else round(int(found[1]) * 1024 / 1e6)


class Spent:
    """A `Progress` that notes in the run's folder how long it has been, and tells another one, if any. `memory`: the
    most of `own_memory` that it met in this sitting. Raises HplanError where that note is damaged."""

    def __init__(self, out: Path, progress: Progress | None) -> None:
        self.path, self.progress, self.began = out / SECONDS, progress, time.perf_counter()
        try:
            self.before = (
                float(json.loads(self.path.read_text(encoding="utf-8-sig"))["wall_s"]) if self.path.exists() else 0.0
            )
        except (ValueError, KeyError, TypeError) as error:
            raise HplanError(f"{self.path} is damaged ({error}): delete it to go on, without what it says") from error
        self.noted, self.memory = self.before, own_memory()

    @property
    def seconds(self) -> float:
        return self.before + time.perf_counter() - self.began

    def __call__(self, stage: str, done: int, total: int, figures: dict[str, float]) -> None:
        self.memory = max(filter(None, (self.memory, own_memory())), default=None)
        if self.seconds > self.noted + EVERY:
            self.noted = self.seconds
            write_atomically(self.path, json.dumps({"wall_s": round(self.noted, 1)}))
        if self.progress:
            self.progress(stage, done, total, figures)
