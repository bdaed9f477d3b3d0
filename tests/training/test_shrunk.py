"""A level that made a point of its latents to be slow is left out, or trained again without having to be."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from training.test_chance import play_on_a_field, recorded

from hplan.training import vector_stack
from hplan.training.vectors import Play, train_vector_level
from hplan.types import CollapseWarning


@pytest.mark.training
def test_a_level_that_could_only_be_slow_by_shrinking_does_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []

    def train(level, play: Play, *, slow: float = 0.0, **options):
        asked.append((level.index, slow))
        return train_vector_level(level, play, slow=slow, **options)

    monkeypatch.setattr(vector_stack, "train_vector_level", train)
    settings = vector_stack.StrideSettings(
        base_steps=100, above_steps=100, batch=64, latent=6, hidden=32, codes=4, ratio=4, slow=1e4
    )
    run = {"levels": 2, "settings": settings, "seed": 0, "out": tmp_path, "device": "cpu", "progress": None}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*shrink to a point")  # it is the one that is kept that is looked at
        trained = vector_stack.train_vector(recorded(play_on_a_field(0.0)), **run)
    assert asked == [(0, 0.0), (1, 1e4), (1, 0.0)]
    assert {"level1", "level1-again"} <= trained.curves.keys()
    level = trained.levels[1]
    z = level.encode(trained.levels[0].encode(play_on_a_field(0.0).below))
    assert float(z.std(0).median()) > 0.1
    again = vector_stack.train_vector(recorded(play_on_a_field(0.0)), **run)  # all of it is loaded
    assert all(torch.equal(a, b) for a, b in zip(level.parameters(), again.levels[1].parameters(), strict=True))
    with pytest.warns(CollapseWarning, match="^level 1 collapsed: .*shrink to a point"):
        alone = vector_stack.train_vector(recorded(play_on_a_field(0.0)), **run | {"levels": "auto"})
    assert alone.facts["left_out"] == 4
    assert len(alone.levels) == 1 and "level1" not in alone.curves  # whose steps lead anywhere is not worth a level
