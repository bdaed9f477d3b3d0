"""What training takes, play apart: short ones of every kind of observation, with two levels, on the same play.

pytest experiments/speed/bench_training.py --benchmark-timer time.process_time --benchmark-json FILE
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hplan
from hplan.play.record import play
from hplan.registry import load_task

PLAY = 10_000  # environment steps
ROUNDS = 3
SHORT = {"base_steps": 300, "above_steps": 150}
TASKS: dict[str, dict[str, int]] = {  # name, and settings
    "ogbench/pointmaze-medium-navigate": SHORT,
    "mazes/unseen": SHORT,
    "visual/pointmaze-medium-navigate": SHORT | {"eye_steps": 100},
    "minigrid/DoorKey-8x8": SHORT,
    "ogbench/powderworld-easy-play": {"steps": 200},
}


@pytest.mark.parametrize("task", TASKS)
def test_training(task: str, benchmark: Any, tmp_path: Path) -> None:
    play(load_task(task), tmp_path / "play", steps=PLAY, seed=50)
    folders = iter(range(ROUNDS))

    def train() -> None:
        out = tmp_path / str(next(folders))
        hplan.learn(task, out, play_from=tmp_path / "play", seed=50, levels=2, device="cpu", settings=TASKS[task])

    benchmark.pedantic(train, rounds=ROUNDS)
