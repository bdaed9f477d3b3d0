"""Imagination first, memory where it failed; and who gets which planner."""

from __future__ import annotations

import pytest
import torch
from models.line_levels import LineLevel, edges

from hplan.planning.choice import chosen_planner, default_planner
from hplan.planning.energy import NearLatent
from hplan.planning.landmark_graph import LandmarkGraph, Remembering
from hplan.planning.recall import Recall
from hplan.planning.search import BestFirstSearch
from hplan.types import Budget, UsageError

PLACES = tuple(float(n) for n in range(0, 41, 4))
KNOWN = edges(11, *((n, n + 1, 1.0, 1, 8, 0) for n in range(10)))
LEVEL = LineLevel(1, 4, PLACES)


def planned(hop_cost: object) -> int:
    """Evaluations that a way from 0 to 12 takes: a graph needs none."""
    start, goal = torch.zeros(1), NearLatent(LEVEL, torch.tensor([12.0]), 0.5)
    planner = chosen_planner(edges={1: KNOWN})(LEVEL)
    result = planner.plan(LEVEL, start, goal, budget=Budget(1000, 32), hop_cost=hop_cost)  # type: ignore[arg-type]
    assert result.reached and len(result) == 3
    return result.evaluations


def test_it_imagines_until_a_hop_has_failed() -> None:
    assert planned(None) > 0
    assert planned(lambda z, following: torch.zeros(len(z))) == 0


def test_the_planner_is_chosen_by_what_there_is_to_remember_and_by_chance() -> None:
    assert isinstance(chosen_planner(edges={1: KNOWN})(LEVEL), Recall)
    assert isinstance(chosen_planner(edges={1: KNOWN}, chance=True)(LEVEL), LandmarkGraph)
    assert isinstance(chosen_planner("graph", {1: KNOWN})(LEVEL), LandmarkGraph)
    assert isinstance(chosen_planner("search", {1: KNOWN}, chance=True)(LEVEL), BestFirstSearch)
    assert type(chosen_planner(edges={1: KNOWN})(LineLevel(0, 1))) is type(default_planner(LineLevel(0, 1)))
    assert isinstance(chosen_planner(chance=True)(LEVEL), BestFirstSearch)


def test_what_it_is_told_goes_to_the_graph() -> None:
    planner = chosen_planner(edges={1: KNOWN})(LEVEL)
    assert isinstance(planner, Remembering)
    other = planner.with_edges(KNOWN.failed(0, 1))
    assert isinstance(other, Recall)
    assert other.edges.failures.sum() == 1 and planner.edges.failures.sum() == 0


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="auto, search, graph"):
        chosen_planner("astar")
