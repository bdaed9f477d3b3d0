"""Learning mostly from observation: actions are known of a few episodes of play, and of the others none is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training.test_eye import walks

from hplan.levels.heads import policy, uncertainty
from hplan.play.play import Play
from hplan.training import vectors
from hplan.training.fit import Run
from hplan.training.strides import Strides, labelled, some_labels
from hplan.training.train import HELD_OUT, Trained, train_stack
from hplan.training.vectors import StrideSettings
from hplan.types import UsageError
from hplan.validation import build

SHARE, SEED = 0.2, 0
TINY: dict[str, Any] = {
    "eye_steps": 3,
    "base_steps": 3,
    "above_steps": 3,
    "batch": 16,
    "hidden": 16,
    "latent": 6,
    "ratio": 4,
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "SUPPORT_STEPS", 3)
    monkeypatch.setattr(uncertainty, "STEPS", 3)
    monkeypatch.setattr(policy, "STEPS", 3)


def test_episodes_have_labels_or_none() -> None:
    play = walks()[0]
    known = some_labels(play, SHARE, SEED)
    assert int(known.sum()) == 8 * 61  # of 40 episodes of 60 steps
    assert len(play.episode[known].unique()) == 8
    assert not torch.equal(known, some_labels(play, SHARE, SEED + 1))
    assert int(some_labels(play, 1e-6, SEED).sum()) == 61, "one at the least"
    starts = labelled(play, known).starts(10)
    assert known[starts].all()
    assert len(starts) == 8 * 51
    assert labelled(play, None) is play


def trained(play: Play, held: Play, out: Path, **settings: Any) -> Trained:
    chosen = StrideSettings(**TINY, labelled=SHARE, **settings)
    return train_stack(Strides(chosen, play, held, count=2, seed=SEED), Run(SEED, out))


def hidden_actions(play: Play) -> Play:
    known = some_labels(play, SHARE, SEED)
    return replace(play, actions=torch.where(known[:, None], play.actions, torch.nan))


@pytest.mark.filterwarnings("ignore::hplan.types.CollapseWarning")
@pytest.mark.parametrize("objective", ["vicreg", "inverse"])
def test_actions_without_labels_are_never_read(objective: str, tmp_path: Path) -> None:
    play, held = walks()[0].split(HELD_OUT, SEED)
    open_, blind = (
        trained(*both, tmp_path / str(i), eye_objective=objective)
        for i, both in enumerate([(play, held), (hidden_actions(play), hidden_actions(held))])
    )
    assert len(blind.levels) == 2
    for one, other in zip(open_.levels, blind.levels, strict=True):
        for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b), name
    assert open_.calibration[0].thresholds() == blind.calibration[0].thresholds()
    assert blind.levels[1].macros.window == 0, "codes stand for where steps lead"


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_is_above_nothing_and_at_most_all(share: float) -> None:
    with pytest.raises(UsageError, match="labelled"):
        build(StrideSettings, {"labelled": share}, "settings")
