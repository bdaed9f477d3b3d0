"""Training on another device than the one that play is on; with CUDA where there is one, else as far as meta goes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training.box import PUSH, play_in_a_box, stack, train
from two_doors import two_doors

from hplan.levels.heads import policy, success
from hplan.levels.heads.policy import policy_stages
from hplan.parts import names
from hplan.training.device import Meeting
from hplan.training.fit import Run
from hplan.training.learn import learn
from hplan.training.train import run_stages
from hplan.training.vectors import encoded

cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def test_what_lies_on_two_devices_meets_on_the_one_of_the_networks() -> None:
    weight, row = torch.ones(3, 3, device="meta"), torch.ones(3)
    with pytest.raises(RuntimeError, match="device"):
        weight @ row
    with Meeting(torch.device("meta")):
        assert (weight @ row).device.type == "meta" == (row + weight).device.type
        assert torch.cat([weight, row[None]]).device.type == "meta"
        assert row[torch.zeros(2, device="meta", dtype=torch.long)].device.type == "meta"
        assert torch.nn.functional.mse_loss(input=row, target=weight[0]).device.type == "meta"
        assert (row + row).device.type == "cpu"  # drawn and gathered where play is
        weight.add_(row)  # what is written in place stays in its place
        weight[0] = row
        assert weight.device.type == "meta"


def test_a_loss_on_one_device_is_left_alone() -> None:
    with Meeting(torch.device("cpu")):
        assert torch.equal(torch.stack((torch.ones(2), torch.zeros(2))).sum(0), torch.ones(2))


@cuda
@pytest.mark.training
def test_an_agent_of_symbols_learns_on_cuda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(success, "STEPS", 20)
    here, there = (learn(two_doors(), tmp_path / device, device=device) for device in ("cpu", "cuda"))
    assert there.stack.train["device"] == "cuda"
    assert {weight.device.type for level in there.stack.levels for weight in level.parameters()} == {"cpu"}
    assert len(there.stack.levels) == len(here.stack.levels)


@cuda
@pytest.mark.training
@pytest.mark.parametrize("objective", names("objective"))
def test_levels_over_vectors_learn_on_cuda(objective: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "STEPS", 20)
    play, ends = play_in_a_box(PUSH), {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        base, above = stack(PUSH, 2)
        curves, _ = train([base, above], play, out, steps=20, objective=objective, slow=1.0, device=device)
        curves |= run_stages(policy_stages(above, base, encoded(base, play)), Run(0, out, device))
        ends[device] = [curve[-1]["loss"] for curve in curves.values()]
    assert ends["cuda"] == pytest.approx(ends["cpu"], rel=0.05, abs=0.05)
