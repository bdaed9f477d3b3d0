"""Who gets which planner."""

from __future__ import annotations

import pytest
from control.corridor import Corridor
from levels.line_levels import LineLevel, edges

from hplan.planning.cem import HORIZON, CrossEntropy
from hplan.planning.choice import chosen_planner, default_planner, planner_settings
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.planning.search import BestFirstSearch
from hplan.types import UsageError

LEVEL = LineLevel(1, 4, tuple(float(n) for n in range(0, 41, 4)))
KNOWN = {1: edges(11, *((n, n + 1, 1.0, 1, 8, 0) for n in range(10)))}


def test_the_graph_plans_where_it_is_asked_for_or_where_there_is_chance() -> None:
    assert isinstance(chosen_planner(edges=KNOWN)(LEVEL), BestFirstSearch)
    assert isinstance(chosen_planner(edges=KNOWN, chance=True)(LEVEL), LandmarkGraph)
    assert isinstance(chosen_planner("graph", KNOWN)(LEVEL), LandmarkGraph)
    assert isinstance(chosen_planner("search", KNOWN, chance=True)(LEVEL), BestFirstSearch)


def test_levels_without_a_graph_keep_their_planner() -> None:
    assert type(chosen_planner("graph", KNOWN)(LineLevel(0, 1))) is type(default_planner(LineLevel(0, 1)))
    assert isinstance(chosen_planner(chance=True)(LEVEL), BestFirstSearch)


def test_settings_go_to_the_planner_that_has_them() -> None:
    settings = planner_settings() | {"candidates": 640, "batch": 7}
    sampling, searching = default_planner(LineLevel(0, 1), **settings), default_planner(LEVEL, **settings)
    assert isinstance(sampling, CrossEntropy) and isinstance(searching, BestFirstSearch)
    assert (sampling.candidates, sampling.rounds, sampling.elites, searching.batch) == (640, 3, 8, 7)


def test_sampled_plans_of_level_0_are_as_long_as_a_step_of_the_level_above() -> None:
    for hop, steps in ((0, HORIZON), (5, HORIZON), (14, 14)):
        sampling = chosen_planner(hop=hop)(LineLevel(0, 1))
        assert isinstance(sampling, CrossEntropy) and sampling.horizon == steps


def test_what_events_cost_is_not_how_rare_they_are() -> None:
    steps, events = default_planner(Corridor(0)), default_planner(Corridor(1))
    assert isinstance(steps, BestFirstSearch) and isinstance(events, BestFirstSearch)
    assert 0 < events.prior_weight < 0.1 < steps.prior_weight
    own = default_planner(Corridor(1), prior_weight=0.7)
    assert isinstance(own, BestFirstSearch) and own.prior_weight == 0.7


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="auto, search, graph"):
        chosen_planner("astar")
