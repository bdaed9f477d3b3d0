"""What tells success from play is a matter of where training begins; where it begins badly it begins again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hplan.levels.cells import SuccessHead
from hplan.training.success import BEGINNINGS, train_success
from torch import Tensor, nn

from hplan.training import success

REWARDED = torch.arange(64) >= 48
Z = torch.where(REWARDED, 5.0, -5.0)[:, None]


class Head(nn.Module):
    """Learns whether z is large; stuck until it has been reset `stuck` times."""

    def __init__(self, stuck: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(1, 1)
        self.open = nn.Buffer(torch.tensor(float(stuck == 0)))
        self.stuck, self.resets = stuck, 0

    def reset_parameters(self) -> None:
        self.resets += 1
        self.open.fill_(float(self.resets >= self.stuck))

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(z)[:, 0] * self.open


def trained(stuck: int, out: Path) -> tuple[Head, dict[str, list]]:
    level = SimpleNamespace(index=0, success=Head(stuck))
    curves = train_success(level, Z.__getitem__, REWARDED, seed=0, out=out, device="cpu", progress=None)
    return level.success, curves


@pytest.mark.training
@pytest.mark.parametrize(("stuck", "begun"), [(0, 1), (2, 3), (99, BEGINNINGS)])
def test_a_classifier_that_does_not_tell_begins_again(
    stuck: int, begun: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(success, "STEPS", 400)
    head, curves = trained(stuck, tmp_path)
    assert list(curves) == ["level0-success", *(f"level0-success-{n}" for n in range(2, begun + 1))]
    assert bool(((head(Z) > 0) == REWARDED).all()) == (begun < BEGINNINGS)
    monkeypatch.setattr(success.F, "binary_cross_entropy_with_logits", None)  # after a kill: nothing is trained anew
    again, resumed = trained(stuck, tmp_path)
    assert resumed == curves
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), again.parameters(), strict=True))


def test_another_beginning_of_a_head_over_cells_is_as_if_it_had_just_been_made() -> None:
    head = SuccessHead(4, 8)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    with torch.no_grad():
        head.bias.fill_(7.0)
    success._begin_again(head, 1)
    assert head.bias == -3.0
    assert not torch.equal(head.state_dict()["cell.0.weight"], before["cell.0.weight"])


def test_without_a_reward_there_is_nothing_to_learn(tmp_path: Path) -> None:
    level = SimpleNamespace(index=0, success=Head(0))
    none = torch.zeros(64, dtype=torch.bool)
    kept = {"seed": 0, "out": tmp_path, "device": "cpu", "progress": None}
    assert train_success(level, Z.__getitem__, none, **kept) == {}
