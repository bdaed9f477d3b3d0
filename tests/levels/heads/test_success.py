"""What tells success from play is a matter of where training begins; where it begins badly it begins again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from levels.plays import play_of
from torch import Tensor, nn

from hplan.levels.heads import success
from hplan.levels.heads.success import BEGINNINGS, MapSuccess, success_rows, success_stages
from hplan.training.fit import Run
from hplan.training.train import run_stages

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

    def forward(self, level: SimpleNamespace, z: Tensor) -> Tensor:
        return self.linear(z)[:, 0] * self.open


def trained(stuck: int, out: Path, rows: Tensor = REWARDED) -> tuple[SimpleNamespace, dict[str, list]]:
    level = SimpleNamespace(index=0, success_head=Head(stuck))
    curves = run_stages(success_stages(level, Z.__getitem__, rows, 0), Run(0, out))  # type: ignore[arg-type]
    return level, curves


@pytest.mark.training
@pytest.mark.parametrize(("stuck", "begun"), [(0, 1), (2, 3), (99, BEGINNINGS)])
def test_a_classifier_that_does_not_tell_begins_again(
    stuck: int, begun: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(success, "STEPS", 400)
    level, curves = trained(stuck, tmp_path)
    head = level.success_head
    assert list(curves) == ["level0-success", *(f"level0-success-{n}" for n in range(2, begun + 1))]
    assert bool(((head(level, Z) > 0) == REWARDED).all()) == (begun < BEGINNINGS)
    monkeypatch.setattr(success.F, "binary_cross_entropy_with_logits", None)  # after a kill: nothing is trained anew
    again, resumed = trained(stuck, tmp_path)
    assert resumed == curves
    pairs = zip(head.parameters(), again.success_head.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_another_beginning_of_a_head_over_maps_is_as_if_it_had_just_been_made() -> None:
    head = MapSuccess(channels=4, hidden=8)
    before = {key: value.clone() for key, value in head.state_dict().items()}
    with torch.no_grad():
        head.bias.fill_(7.0)
    success._begin_again(head, 1)
    assert head.bias == -3.0
    assert not torch.equal(head.state_dict()["cell.0.weight"], before["cell.0.weight"])


def test_without_a_reward_there_is_no_head_and_nothing_to_learn(tmp_path: Path) -> None:
    level, curves = trained(0, tmp_path, rows=torch.zeros(64, dtype=torch.bool))
    assert curves == {} and level.success_head is None
    assert not list(tmp_path.iterdir())


def test_the_row_that_a_rewarded_step_ended_in_is_a_success() -> None:
    happened = torch.zeros(6, dtype=torch.bool)
    happened[[0, 4]] = True  # steps 0 -> 1 and 4 -> 5
    play = play_of(torch.zeros(6, 1), torch.zeros(6, 1), torch.tensor([2, 1, 0, 2, 1, 0]), success=happened)
    assert success_rows(play).tolist() == [False, True, False, False, False, True]
