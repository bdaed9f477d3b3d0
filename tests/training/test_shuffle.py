"""The negative control: episodes out of order, each for itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from training.test_collapse_warning import Square

from hplan.training import uncertainty, vector
from hplan.training.learn import learn
from hplan.training.shuffle import out_of_order
from hplan.training.vector import Play


def test_every_episode_keeps_its_rows_in_another_order() -> None:
    remaining = torch.cat([torch.arange(n, -1, -1) for n in (49, 0, 29)])
    play = Play(torch.zeros(len(remaining), 1), torch.zeros(len(remaining), 1), remaining)
    order = out_of_order(play, seed=3)
    for rows in (slice(0, 50), slice(50, 51), slice(51, 81)):
        assert sorted(order[rows].tolist()) == list(range(81))[rows]
    assert (order != torch.arange(81)).sum() > 60
    assert torch.equal(order, out_of_order(play, seed=3))
    assert not torch.equal(order, out_of_order(play, seed=4))


@pytest.mark.training
def test_level_0_learns_from_what_was_and_the_level_above_from_what_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector, "SUPPORT_STEPS", 20)
    monkeypatch.setattr(uncertainty, "STEPS", 20)
    settings = {"base_steps": 200, "above_steps": 60, "batch": 32, "hidden": 16, "ratio": 4}
    last = {}
    for shuffle in (False, True):
        out = tmp_path / str(shuffle)
        learn(Square, out, steps=3000, levels=2, settings=settings | {"shuffle": shuffle}, device="cpu")
        curves = json.loads((out / "curves.json").read_text())
        last[shuffle] = {name: curves[name][-1]["prediction"] for name in ("level0", "level1")}
    assert last[True]["level0"] == last[False]["level0"]
    assert last[True]["level1"] > 1.2 * last[False]["level1"]
