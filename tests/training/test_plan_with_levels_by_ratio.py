"""Levels over symbols whose time scales were cut by hand: what is trained on them plans."""

from __future__ import annotations

from pathlib import Path

import pytest
from two_doors import SMALL, two_doors

from hplan.evaluation.run import evaluate
from hplan.training.learn import learn

pytestmark = pytest.mark.training


def test_an_agent_with_levels_cut_by_hand_walks_through_both_doors(tmp_path: Path) -> None:
    task = two_doors(4000, SMALL | {"base_steps": 1200, "above_steps": 400, "ratio": 4})
    agent = learn(task, tmp_path, device="cpu")
    assert len(agent.stack.levels) == 2
    result = evaluate(agent, task, episodes=5, seed=50)
    assert result.successes == 5
    assert result.planner_calls["1"] > 0, "it is level 1 that leads"
