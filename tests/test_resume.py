"""Contract: `hplan train --resume` goes on where a kill stopped it, and ends with the same weights, byte for byte."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

# Continuous, so that levels have all heads (tests/training/test_learn.py kills a run of discrete observations)
TRAIN = (
    "hplan",
    "train",
    "gym:MountainCarContinuous-v0",
    "--levels",
    "2",
    "--steps",
    "3000",
    "--device",
    "cpu",
    "--resume",
)
SMALL = ("base_steps=200", "critic_steps=60", "above_steps=60", "batch=32", "hidden=16")


def train(out: Path, kill_at: Collection[str] = ()) -> tuple[int, list[str]]:
    """Exit status and lines of progress of a run, which is killed as soon as it says one of those."""
    said = []
    settings = [part for each in SMALL for part in ("--set", each)]
    command = [sys.executable, "-m", *TRAIN, *settings, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if line in kill_at:
                process.kill()
                break
    return process.returncode, said


def weights(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.glob("*.safetensors")}


@pytest.mark.training
@pytest.mark.slow  # two trainings and three starts: about a minute
def test_killed_at_three_moments_it_ends_with_the_weights_of_an_undisturbed_run(tmp_path: Path) -> None:
    status, said = train(tmp_path / "whole")
    assert status == 0, said[-1]
    moments = (1, len(said) // 2, len(said) - 1)  # from play to the last stage
    for moment in moments:
        status, killed = train(tmp_path / "killed", kill_at=said[moment:])
        assert status == -signal.SIGKILL, f"not killed at {said[moment]!r}: it ended with {killed[-1]!r}"
        assert not weights(tmp_path / "killed")
    assert train(tmp_path / "killed")[0] == 0
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole") != {}
