"""Levels above may have fewer dimensions than those below."""

from __future__ import annotations

from pathlib import Path

import pytest
from training.test_collapse_warning import Square

from hplan.training import uncertainty, vector
from hplan.training.learn import learn


@pytest.mark.training
@pytest.mark.filterwarnings("ignore::hplan.losses.collapse.CollapseWarning")
@pytest.mark.parametrize(("narrower", "latents"), [(1.0, [16, 16, 16]), (0.75, [16, 12, 9]), (0.01, [16, 2, 2])])
def test_each_level_has_its_share_of_the_dimensions_below(
    narrower: float, latents: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector, "SUPPORT_STEPS", 2)
    monkeypatch.setattr(uncertainty, "STEPS", 2)
    settings = {"base_steps": 5, "above_steps": 5, "batch": 16, "hidden": 16, "ratio": 2, "narrower": narrower}
    agent = learn(Square, tmp_path, steps=600, levels=3, settings=settings, device="cpu")
    assert [level.config["latent"] for level in agent.stack.levels] == latents
