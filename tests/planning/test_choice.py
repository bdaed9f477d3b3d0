"""Who gets which planner."""

from __future__ import annotations

from typing import Any

import pytest
from control.corridor import Corridor
from levels.line_levels import edges, line_level
from levels.small_levels import cells_level, events_level

from hplan.planning.cem import CrossEntropy
from hplan.planning.choice import Planning, chosen_planner, planner_settings, search
from hplan.planning.gradient import GradientDescent
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.planning.mppi import PathIntegral
from hplan.planning.rollout import PLAN_STEPS
from hplan.planning.search import BestFirstSearch
from hplan.planning.value_iteration import ValueIteration
from hplan.types import Planner, UsageError, WorldModel

LEVEL, BASE = line_level(1, 4, tuple(float(n) for n in range(0, 41, 4))), line_level(0)
KNOWN = {1: edges(11, *((n, n + 1, 1.0, 1, 8, 0) for n in range(10)))}


def test_the_graph_plans_where_it_is_asked_for_or_where_there_is_chance() -> None:
    assert isinstance(chosen_planner("auto", Planning(KNOWN))(LEVEL), BestFirstSearch)
    assert isinstance(chosen_planner("auto", Planning(KNOWN, chance=True))(LEVEL), LandmarkGraph)
    assert isinstance(chosen_planner("graph", Planning(KNOWN))(LEVEL), LandmarkGraph)
    assert isinstance(chosen_planner("search", Planning(KNOWN, chance=True))(LEVEL), BestFirstSearch)


def test_levels_without_a_graph_keep_their_planner() -> None:
    assert isinstance(chosen_planner("graph", Planning(KNOWN))(BASE), CrossEntropy)
    assert isinstance(chosen_planner("auto", Planning(chance=True))(LEVEL), BestFirstSearch)


def test_a_graph_that_no_level_has_is_refused() -> None:
    with pytest.raises(UsageError, match="no level of this agent has a landmark graph"):
        chosen_planner("graph")


def test_settings_go_to_the_planner_that_has_them() -> None:
    planning = Planning(settings=planner_settings() | {"candidates": 640, "batch": 7})
    sampling, searching = search(BASE, planning), search(LEVEL, planning)
    assert isinstance(sampling, CrossEntropy) and isinstance(searching, BestFirstSearch)
    assert (sampling.candidates, sampling.rounds, sampling.elites, searching.batch) == (640, 3, 8, 7)


def test_sampled_plans_of_level_0_are_as_long_as_a_step_of_the_level_above() -> None:
    for step, length in ((0, PLAN_STEPS), (5, PLAN_STEPS), (14, 14)):
        for name, kind in (("auto", CrossEntropy), ("mppi", PathIntegral), ("gradient", GradientDescent)):
            sampling: Any = chosen_planner(name, Planning(subgoal_steps=step))(BASE)
            assert isinstance(sampling, kind) and sampling.plan_steps == length


def test_a_search_relies_on_a_prior_as_far_as_the_level_says() -> None:
    steps, events = cells_level(), events_level(cells_level())
    for level in (steps, events, LEVEL):
        found = search(level, Planning())
        assert isinstance(found, BestFirstSearch)
        assert found.prior_weight == level.capabilities.prior_weight
    assert 0 < events.capabilities.prior_weight < 0.1 < steps.capabilities.prior_weight
    own = search(Corridor(1), Planning(settings={"prior_weight": 0.7}))
    assert isinstance(own, BestFirstSearch) and own.prior_weight == 0.7


def test_where_the_world_leaves_much_to_chance_a_policy_is_planned_and_rare_chances_are_left_to_repair() -> None:
    level = cells_level()
    for certainty, kind in ((1.0, BestFirstSearch), (0.91, BestFirstSearch), (0.89, ValueIteration)):
        level.uncertainty_head.certainty.fill_(certainty)
        assert isinstance(search(level, Planning()), kind)


class Mine:
    """A planner of one's own."""

    def plan(self, *_: Any, **__: Any) -> Any: ...


def mine(level: WorldModel, planning: Planning) -> Planner:
    return Mine() if level.index else search(level, planning)


def test_planners_of_ones_own_are_objects_classes_functions_or_names_of_these() -> None:
    here, instance = __name__, Mine()
    assert chosen_planner(instance)(BASE) is instance
    for one in (Mine, f"{here}:Mine"):
        assert isinstance(chosen_planner(one)(BASE), Mine)
    for one in (mine, f"{here}:mine"):
        planner = chosen_planner(one)
        assert isinstance(planner(LEVEL), Mine) and isinstance(planner(BASE), CrossEntropy)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="planner 'zzz' is not known: expected one of auto, search, graph"):
        chosen_planner("zzz")
    with pytest.raises(UsageError, match="did you mean search"):
        chosen_planner("serch")
