"""The policy of a hop: what play did on its way to what came next."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hplan.levels.policy import NARROWEST, WIDEST
from levels.test_vector import FOUR, PUSH, play_in_a_box, stack

from hplan.training import policy
from hplan.training.vectors import encoded, train_vector_level


def test_only_a_level_right_above_continuous_actions_has_one() -> None:
    assert [level.policy is not None for level in stack(PUSH, 4)] == [False, True, False, False]
    assert all(level.policy is None for level in stack(FOUR, 3))


@pytest.mark.training
def test_it_heads_for_where_play_went_and_knows_how_surely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "STEPS", 400)
    play = play_in_a_box(PUSH)
    base, above = stack(PUSH, 2)
    train_vector_level(base, play, steps=300, seed=0, out=tmp_path, batch=64, rollout=2, lr=2e-3)
    seen = encoded(base, play)
    train_vector_level(above, seen, steps=300, seed=0, out=tmp_path, batch=64, rollout=2, lr=2e-3)
    curves = train_policy(above, base, seen, seed=0, out=tmp_path, device="cpu", progress=None)
    assert curves["level1-policy"][-1]["action"] < 0.6 * curves["level1-policy"][0]["action"]
    assert above.policy is not None
    assert not any(weight.requires_grad for weight in above.policy.parameters())
    middle = base.encode(torch.tensor([[0.5, 0.5]]))
    for axis, sign in ((0, 1), (0, -1), (1, 1), (1, -1)):
        there = torch.full((1, 2), 0.5)
        there[0, axis] += 0.15 * sign
        mean, deviation = above.policy(above, middle, above.encode(base.encode(there)))
        assert sign * float(mean[0, axis]) > 0.1  # that way
        assert bool(((deviation >= NARROWEST) & (deviation <= WIDEST)).all())
    again = train_policy(above, base, seen, seed=0, out=tmp_path, device="cpu", progress=None)
    assert again == curves  # finished stages are loaded, not trained


def test_a_level_without_one_trains_nothing(tmp_path: Path) -> None:
    base, above = stack(FOUR, 2)
    play = encoded(base, play_in_a_box(FOUR, episodes=2))
    assert train_policy(above, base, play, seed=0, out=tmp_path, device="cpu", progress=None) == {}
    assert not list(tmp_path.iterdir())
