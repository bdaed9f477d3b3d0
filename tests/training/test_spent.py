"""Seconds of a run over all its sittings."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from hplan.training.spent import SECONDS, Spent, own_memory
from hplan.types import HplanError


def test_a_run_that_was_killed_goes_on_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [100.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    first = Spent(tmp_path, lambda *call: told.append(call))
    for _ in range(3):
        now[0] += 4
        first("eye", 1, 2, {"loss": 0.5})
    assert told == [("eye", 1, 2, {"loss": 0.5})] * 3
    now[0] += 1000  # between two sittings
    again = Spent(tmp_path, None)
    now[0] += 6
    again("eye", 2, 2, {})
    assert again.seconds == 8 + 6, "the last four seconds were not noted before the kill"


def test_a_damaged_note_is_named(tmp_path: Path) -> None:
    (tmp_path / SECONDS).write_text("{")
    with pytest.raises(HplanError, match=f"{SECONDS} is damaged"):
        Spent(tmp_path, None)


@pytest.mark.skipif(own_memory() is None, reason="only Linux tells")
def test_the_most_memory_of_its_own_is_told_in_megabytes(tmp_path: Path) -> None:
    spent = Spent(tmp_path, None)
    before = spent.memory or 0
    held = np.ones(50_000_000)
    spent("eye", 1, 2, {})
    most = before + held.nbytes / 1e6
    del held
    spent("eye", 2, 2, {})
    assert spent.memory == pytest.approx(most, abs=50)
