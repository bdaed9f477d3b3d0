"""The training loop: what it minimises, and that no kill changes where it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hplan.levels.stage import Stage, stage_seed
from hplan.levels.tensors import read_tensors
from hplan.training.fit import Progress, Run, fit
from hplan.types import HplanError

STEPS = 60


def problem(module: nn.Module):
    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        x = torch.randn(16, 3, generator=generator)
        error = (module(x)[:, 0] - x.sum(1)).square().mean() + 0.01 * torch.randn(()) * 0
        return error, {"error": error.detach()}

    return loss


def train(
    out: Path, steps: int = STEPS, seed: int = 0, lr: float = 1e-3, progress: Progress | None = None
) -> tuple[nn.Module, list]:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    stage = Stage("toy", module, problem(module), steps, lr)
    return module, fit(stage, Run(seed, out, progress=progress), snapshot_every=7, warmup=5)


def test_it_learns_and_keeps_a_curve(tmp_path: Path) -> None:
    told = []
    _, curve = train(tmp_path, steps=300, lr=1e-2, progress=lambda *args: told.append(args))
    assert curve[-1]["loss"] < 0.3 * curve[0]["loss"]
    assert curve[-1]["step"] == 300 == told[-1][1]


def test_same_seed_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    one, other, third = (train(tmp_path / name, seed=seed)[0] for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), third.parameters(), strict=True))


def test_finished_training_is_loaded(tmp_path: Path) -> None:
    first, curve = train(tmp_path)
    again, same = train(tmp_path)
    assert same == curve
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


SCRIPT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import training.test_fit as t
real = t.problem
def slow(module):
    loss = real(module)
    def wait(step, generator):
        time.sleep(0.02)
        return loss(step, generator)
    return wait
t.problem = slow
print("start", flush=True)
t.train(Path({out!r}))
"""


@pytest.mark.training
def test_killed_five_times_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    undisturbed, _ = train(tmp_path / "whole")
    out = tmp_path / "killed"
    script = SCRIPT.format(tests=str(Path(__file__).parent.parent), out=str(out))
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.2 + float(torch.rand((), generator=generator)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    resumed, _ = train(out)
    assert all(torch.equal(a, b) for a, b in zip(undisturbed.parameters(), resumed.parameters(), strict=True))
    assert not list(out.glob("*.part"))


def test_a_damaged_snapshot_is_named(tmp_path: Path) -> None:
    train(tmp_path)
    path = tmp_path / "toy.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(HplanError, match=r"toy\.safetensors is damaged"):
        train(tmp_path)


def test_a_loss_that_is_not_finite_stops_with_its_step(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return module(torch.ones(1, 1)).sum() * (float("nan") if step == 3 else 1.0), {}

    with pytest.raises(HplanError, match="step 3"):
        fit(Stage("bad", module, loss, 10), Run(0, tmp_path))


def test_snapshots_are_safetensors_with_their_step(tmp_path: Path) -> None:
    train(tmp_path)
    _, metadata = read_tensors(tmp_path / "toy.safetensors")
    assert metadata["step"] == str(STEPS)


def test_every_step_of_every_stage_has_a_seed_of_its_own() -> None:
    seeds = {stage_seed(seed, name, step) for seed in range(3) for name in ("a", "b") for step in range(50)}
    assert len(seeds) == 300


@pytest.mark.parametrize("finished", [False, True])
def test_what_comes_after_a_stage_draws_the_same_numbers_whether_it_was_trained_now_or_before(
    finished: bool, tmp_path: Path
) -> None:
    drawn = []
    for out in (tmp_path / "one", tmp_path / ("one" if finished else "other")):
        train(out)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_what_is_trained_is_what_half_precision_holds(tmp_path: Path) -> None:
    module, _ = train(tmp_path)
    assert all(torch.equal(weight, weight.half().float()) for weight in module.parameters())
