"""The negative control: episodes out of order, each for itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training.test_collapse_warning import Square

from hplan.levels.level import Level
from hplan.training import policy, uncertainty, vector, vector_stack
from hplan.training.learn import learn
from hplan.training.strides import out_of_order
from hplan.training.vectors import Play, train_vector_level


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
    monkeypatch.setattr(vector, "SUPPORT_STEPS", 5)
    monkeypatch.setattr(uncertainty, "STEPS", 5)
    monkeypatch.setattr(policy, "STEPS", 5)
    seen: list[Play] = []

    def train(level: Level, play: Play, **options: Any) -> dict[str, list]:
        seen.append(play)
        return train_vector_level(level, play, **options)

    monkeypatch.setattr(vector_stack, "train_vector_level", train)
    settings = {"base_steps": 20, "above_steps": 5, "batch": 32, "hidden": 16, "ratio": 4}
    for shuffle in (False, True):
        learn(Square, tmp_path / str(shuffle), steps=1000, levels=2, settings=settings | {"shuffle": shuffle})
    base, above, base_too, shuffled = seen
    assert torch.equal(base.below, base_too.below)
    assert not torch.equal(above.below, shuffled.below)
    assert torch.equal(shuffled.remaining, above.remaining)
    assert torch.equal(above.below[out_of_order(above, seed=0)], shuffled.below)
