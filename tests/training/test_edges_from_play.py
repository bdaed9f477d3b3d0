"""Landmark graphs from play: what may be concluded beyond what was shown depends on whether steps can be undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from levels.line_levels import edges, line_level
from torch import Tensor
from training.test_collapse_warning import Square

from hplan.agent import load
from hplan.levels.heads.landmarks import OFTEN, VOUCHED, landmark_edges, reversibility
from hplan.levels.level import Level
from hplan.training import policy, uncertainty, vector
from hplan.training.learn import learn
from hplan.training.vectors import Play

PLACES = tuple(float(n) for n in range(0, 41, 4))


class Suspicious(Level):
    """Only steps on are as real ones are."""

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.where(following[:, 0] > z[:, 0], -1.0, 1.0)


class Hesitant(Level):
    """Play never showed the way back."""

    def prior(self, z: Tensor) -> Tensor:
        return torch.tensor([1e-9, 1.0]).log().expand(len(z), 2)


def play(*ways: tuple[int, int]) -> Play:
    """Episodes from one position to another, a position a step."""
    below, remaining = [], []
    for start, end in ways:
        steps = abs(end - start)
        below.append(torch.linspace(start, end, steps + 1))
        remaining.append(torch.arange(steps, -1, -1))
    positions = torch.cat(below)[:, None]
    return Play(positions, torch.zeros(len(positions), 1), torch.cat(remaining))


def pairs(level: Level, shown: Play) -> dict[tuple[int, int], int]:
    found = landmark_edges(level, shown)
    ends = zip(found.start.tolist(), found.end.tolist(), strict=True)
    return dict(zip(ends, found.crossings.tolist(), strict=True))


ON, BACK = [(n, n + 1) for n in range(10)], [(n + 1, n) for n in range(10)]
MANY = [(0, 40)] * (OFTEN + 5)


@pytest.mark.parametrize("kind", [Suspicious, Hesitant])
def test_a_world_of_one_way_stays_one_way(kind: type[Level]) -> None:
    assert pairs(kind(places=PLACES), play(*MANY)) == dict.fromkeys(ON, VOUCHED)


def test_the_levels_own_model_may_vouch_for_a_step_that_was_not_shown() -> None:
    found = pairs(line_level(places=PLACES), play(*MANY))
    assert found == dict.fromkeys(ON, VOUCHED) | dict.fromkeys(BACK, 0)


def test_where_steps_can_be_undone_every_edge_leads_back_too() -> None:
    """Most of the way was gone both ways, and the last step only once and only on."""
    shown = play(*[(0, 36), (36, 0)] * (OFTEN + 5), (36, 40))
    level = Suspicious(places=PLACES)  # it would vouch for no way back
    found = landmark_edges(level, shown)
    known = pairs(level, shown)
    assert known.keys() == {*ON, *BACK}
    assert (known[9, 10], known[10, 9]) == (1, 0)
    assert found.macros[(found.start == 10) & (found.end == 9)].tolist() == [0], "by the code that leads back"
    costs = dict(zip(zip(found.start.tolist(), found.end.tolist(), strict=True), found.costs().tolist(), strict=True))
    assert costs[10, 9] == 2.0 > costs[9, 10] > costs[8, 9]


def test_reversibility_is_a_share_of_what_was_crossed_often() -> None:
    often = (1.0, 1, OFTEN, 0)
    assert reversibility(edges(4, (0, 1, *often), (1, 0, *often), (1, 2, *often), (2, 3, 1.0, 1, 1, 0))) == 2 / 3
    assert reversibility(edges(4, (0, 1, 1.0, 1, 1, 0), (1, 0, 1.0, 1, 1, 0))) == 0.0, "too little was seen to say"
    assert reversibility(edges(4)) == 0.0


def test_a_way_back_may_take_others_and_three_times_as_long() -> None:
    """Once round a ring: back from the end of an edge it is all the rest of the way."""

    def ring(count: int) -> float:
        return reversibility(edges(count, *((n, (n + 1) % count, 1.0, 1, OFTEN, 0) for n in range(count))))

    assert (ring(4), ring(5)) == (1.0, 0.0)


@pytest.mark.training
def test_a_trained_agent_keeps_graphs_of_all_levels_above_0_and_plans_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector, "SUPPORT_STEPS", 20)
    monkeypatch.setattr(uncertainty, "STEPS", 20)
    monkeypatch.setattr(policy, "STEPS", 20)
    settings = {"base_steps": 60, "above_steps": 30, "batch": 32, "hidden": 16, "ratio": 4}
    learn(Square, tmp_path, steps=3000, levels=3, settings=settings, device="cpu")
    agent = load(tmp_path, settings={"planner": "graph"})
    assert agent.stack.edges.keys() == {1, 2}
    for k, found in agent.stack.edges.items():
        level = agent.stack.levels[k]
        assert isinstance(level, Level)
        distinct = len(level.landmarks.unique(dim=0))
        assert len(found) > 0 and found.count <= distinct
        assert max(found.start.max(), found.end.max()) < found.count and found.macros.max() < level.macro.size
        assert (found.steps >= 1).all() and (found.start != found.end).all()
    there, here = np.array([0.9, 0.9], np.float32), np.array([0.1, 0.1], np.float32)
    agent.reset(goal=there)
    assert np.isfinite(agent.act(here)).all()
    assert agent.planner_calls[1] > 0
