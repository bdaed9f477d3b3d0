"""A level that made a point of its latents to be slow is left out, or trained again without having to be."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from training.test_chance import play_on_a_field

from hplan.levels.level import Level
from hplan.levels.stage import Stages
from hplan.play.play import Play
from hplan.training import strides
from hplan.training.fit import Run
from hplan.training.learn import train
from hplan.training.strides import Strides
from hplan.training.vectors import StrideSettings, level_stages
from hplan.types import CollapseWarning


@pytest.mark.training
def test_a_level_that_could_only_be_slow_by_shrinking_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []

    def stages(level: Level, play: Play, settings: StrideSettings, *, slow: float = 0.0, **options: Any) -> Stages:
        asked.append((level.index, slow))
        return level_stages(level, play, settings, slow=slow, **options)

    monkeypatch.setattr(strides, "level_stages", stages)
    settings = StrideSettings(
        base_steps=100, above_steps=100, batch=64, latent=6, hidden=32, codes=4, ratio=4, slow=1e4
    )
    run = Run(0, tmp_path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*shrink to a point")  # it is the one that is kept that is looked at
        trained = train(play_on_a_field(0.0), Strides, settings, levels=2, run=run)
    assert asked == [(0, 0.0), (1, 1e4), (1, 0.0)]
    assert {"level1", "level1-again"} <= trained.curves.keys()
    level = trained.levels[1]
    z = level.encode(trained.levels[0].encode(play_on_a_field(0.0).below))
    assert float(z.std(0).median()) > 0.1
    again = train(play_on_a_field(0.0), Strides, settings, levels=2, run=run)  # all of it is loaded
    assert all(torch.equal(a, b) for a, b in zip(level.parameters(), again.levels[1].parameters(), strict=True))
    with pytest.warns(CollapseWarning, match="^level 1 collapsed: .*shrink to a point"):
        alone = train(play_on_a_field(0.0), Strides, settings, levels="auto", run=run)
    assert alone.facts["left_out"] == 4
    assert len(alone.levels) == 1  # whose steps lead anywhere is not worth a level
    assert not {"level1-again", "level1-policy", "level1-uncertainty"} & alone.curves.keys()  # nor worth learning more
