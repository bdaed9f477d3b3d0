"""The policy of a subgoal step: what play did on its way to what came next."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training.box import FOUR, PUSH, play_in_a_box, stack, train

from hplan.levels.heads import policy
from hplan.levels.heads.policy import NARROWEST, WIDEST, policy_stages
from hplan.training.fit import Run
from hplan.training.train import run_stages
from hplan.training.vectors import encoded


def test_only_a_level_right_above_continuous_actions_has_one() -> None:
    assert [level.policy is not None for level in stack(PUSH, 4)] == [False, True, False, False]
    assert all(level.policy is None for level in stack(FOUR, 3))


@pytest.mark.training
def test_it_heads_for_where_play_went_and_knows_how_surely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "STEPS", 400)
    play = play_in_a_box(PUSH)
    base, above = stack(PUSH, 2)
    train([base, above], play, tmp_path, steps=300, lr=2e-3)
    seen = encoded(base, play)
    curves = run_stages(policy_stages(above, base, seen), Run(0, tmp_path))
    assert curves["level1-policy"][-1]["action"] < 0.6 * curves["level1-policy"][0]["action"]
    assert above.policy is not None
    assert not any(weight.requires_grad for weight in above.policy_head.parameters())
    middle = base.encode(torch.tensor([[0.5, 0.5]]))
    for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
        there = torch.full((1, 2), 0.5)
        there[0, axis] += 0.15 * sign
        mean, deviation = above.policy(middle, above.encode(base.encode(there)))
        assert sign * float(mean[0, axis]) > 0.1  # that way
        assert bool(((deviation >= NARROWEST) & (deviation <= WIDEST)).all())
    again = run_stages(policy_stages(above, base, seen), Run(0, tmp_path))
    assert again == curves  # finished stages are loaded, not trained


def test_a_level_without_one_trains_nothing(tmp_path: Path) -> None:
    base, above = stack(FOUR, 2)
    play = encoded(base, play_in_a_box(FOUR, episodes=2))
    assert run_stages(policy_stages(above, base, play), Run(0, tmp_path)) == {}
    assert not list(tmp_path.iterdir())
