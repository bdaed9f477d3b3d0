"""Landmark graphs against Dijkstra on small graphs, and what makes an edge dearer."""

from __future__ import annotations

import math
from typing import Any

import networkx as nx
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from levels.line_levels import Known, edges, line_level
from torch import Tensor

from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.levels.level import Level
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.testing import check_planner
from hplan.types import Budget, Planner, PlanResult, StepCost

BUDGET = Budget(1000, 500)


class At:
    """To be at a position, or within `threshold` of it."""

    def __init__(self, position: float, threshold: float = 0.25) -> None:
        self.position, self.threshold = position, threshold

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, 0] - self.position).abs()


class Random:
    """Costs of steps between the nodes of a graph, given once."""

    def __init__(self, count: int, generator: torch.Generator) -> None:
        dear = torch.rand(count, count, generator=generator) < 0.3
        self.table = torch.where(dear, 5 * torch.rand(count, count, generator=generator), 0.0)

    def __call__(self, z: Tensor, following: Tensor) -> Tensor:
        return self.table[z[:, 0].long(), following[:, 0].long()]


def anywhere() -> Level:
    """Any step is as real as any other: what edges cost is all that counts."""
    level = line_level(stride=1)
    level.compatibility_head = None
    return level


def graph(known: LandmarkEdges, **options: Any) -> LandmarkGraph:
    """Landmark n is at position n."""
    return LandmarkGraph(torch.arange(float(known.count))[:, None], known, **options)


def plan(planner: Planner, goal: At, start: float = 0.0, level: Level | None = None, **options: Any) -> PlanResult:
    level = level or anywhere()
    return planner.plan(level, torch.tensor([start]), goal, budget=options.pop("budget", BUDGET), **options)


def positions(found: PlanResult) -> list[float]:
    return found.latents[:, 0].tolist()


def test_keeps_to_the_planner_protocol() -> None:
    line = range(-20, 20)
    both = [(n + 20, n + 21, 1, 2, 9, 0) for n in line] + [(n + 21, n + 20, 1, 0, 9, 0) for n in line]
    check_planner(LandmarkGraph(torch.arange(-20.0, 21)[:, None], edges(41, *both)))


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 25), st.integers(1, 70), st.integers(0, 10_000), st.booleans())
def test_the_way_is_one_of_the_graph_and_none_is_shorter(count: int, most: int, seed: int, dear: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    ends = torch.randint(count, (most, 2), generator=generator)
    steps = (1 + torch.rand(most, generator=generator)).tolist()
    seen = torch.randint(5, (most, 2), generator=generator).tolist()
    known = edges(count, *((a, b, s, 0, *c) for (a, b), s, c in zip(ends.tolist(), steps, seen, strict=True) if a != b))
    assume(0 in known.start)
    cost: StepCost | None = Random(count, generator) if dear else None
    network = nx.DiGraph()
    network.add_nodes_from(range(count))
    for a, b, weight in zip(known.start.tolist(), known.end.tolist(), known.costs().tolist(), strict=True):
        extra = float(cost(torch.tensor([[float(a)]]), torch.tensor([[float(b)]]))) if cost else 0.0
        network.add_edge(a, b, weight=weight + extra)
    found = plan(graph(known, reach=0.0), At(count - 1), step_cost=cost)
    assert found.evaluations == 0
    assert found.reached == nx.has_path(network, 0, count - 1)
    ways = [(int(a), int(b)) for a, b in zip(positions(found), positions(found)[1:], strict=False)]
    assert all(network.has_edge(*way) for way in ways)
    for way, paid in zip(ways, found.costs.tolist(), strict=True):
        assert paid == pytest.approx(network.edges[way]["weight"], abs=1e-4)
    if found.reached:
        best = nx.shortest_path_length(network, 0, count - 1, weight="weight")
        assert float(found.costs.sum()) == pytest.approx(best, abs=1e-3)


def test_a_one_way_edge_is_taken_one_way() -> None:
    known = edges(3, (0, 1, 1, 1, 9, 0), (1, 2, 1, 1, 9, 0))
    assert positions(plan(graph(known), At(2))) == [0, 1, 2]
    back = plan(graph(known), At(0), start=2.0)
    assert not back.reached and len(back) == 0


def test_of_several_landmarks_that_meet_the_goal_the_nearest_by_the_way_is_chosen() -> None:
    known = edges(5, (0, 1, 1, 1, 9, 0), (1, 2, 1, 1, 9, 0), (2, 4, 1, 1, 9, 0), (4, 3, 1, 1, 9, 0))
    assert positions(plan(graph(known), At(3.5, threshold=0.6))) == [0, 1, 2, 4]


def test_where_none_meets_the_goal_the_way_leads_to_the_least_energy_that_can_be_reached() -> None:
    known = edges(5, (0, 1, 1, 1, 9, 0), (1, 2, 1, 1, 9, 0), (4, 3, 1, 1, 9, 0))
    found = plan(graph(known), At(3.0))
    assert not found.reached and positions(found) == [0, 1, 2]
    assert found.energies.tolist() == [3, 2, 1]
    assert len(plan(graph(known), At(-1.0))) == 0, "it is nearest where it is"


def test_who_is_there_need_not_go() -> None:
    found = plan(graph(edges(2, (0, 1, 1, 1, 9, 0))), At(0.1))
    assert found.reached and len(found) == 0


def test_a_way_longer_than_the_horizon_is_cut() -> None:
    known = edges(9, *((n, n + 1, 1, 1, 9, 0) for n in range(8)))
    found = plan(graph(known), At(8), budget=Budget(1, 5))
    assert len(found) == 5 and not found.reached


def test_from_beside_a_landmark_its_edges_can_be_taken_and_take_longer() -> None:
    known = edges(3, (0, 1, 1, 1, 9, 0), (1, 2, 1, 1, 9, 0))
    found = plan(graph(known, compatibility_weight=0.0), At(2), start=0.25)
    assert positions(found) == [0.25, 1, 2]
    assert float(found.costs[0]) == pytest.approx(float(found.costs[1]) + 0.25)


def test_a_landmark_that_is_never_left_is_no_place_to_begin() -> None:
    known = edges(3, (0, 1, 1, 1, 9, 0), (0, 2, 1, 1, 9, 0))
    assert positions(plan(graph(known), At(2), start=0.9)) == [pytest.approx(0.9), 2]


def test_no_landmark_has_an_edge() -> None:
    found = plan(graph(edges(2)), At(1))
    assert not found.reached and len(found) == 0 and positions(found) == [0]


def gamble() -> Level:
    """Whatever is done by the second code may end five steps elsewhere."""
    level = anywhere()
    level.uncertainty_head = Known(lambda one, z, macro: 5.0 * macro)
    return level


@pytest.mark.parametrize(("weight", "way"), [(1.0, [0, 1, 2]), (0.0, [0, 2])])
def test_a_sure_detour_beats_a_gamble(weight: float, way: list[int]) -> None:
    known = edges(3, (0, 2, 1, 1, 9, 0), (0, 1, 1, 0, 9, 0), (1, 2, 1, 0, 9, 0))
    found = plan(graph(known, uncertainty_weight=weight), At(2), level=gamble())
    assert positions(found) == way


@pytest.mark.parametrize(("weight", "way"), [(5.0, [0, 1, 2]), (0.0, [0, 2])])
def test_an_edge_unlike_real_steps_costs_what_it_is_unlike_them(weight: float, way: list[int]) -> None:
    known = edges(3, (0, 2, 1, 1, 9, 0), (0, 1, 1, 1, 9, 0), (1, 2, 1, 1, 9, 0))
    found = plan(graph(known, compatibility_weight=weight), At(2), level=line_level(stride=1))
    assert positions(found) == way


def test_a_step_that_is_forbidden_is_not_taken() -> None:
    known = edges(3, (0, 2, 1, 1, 9, 0), (0, 1, 1, 1, 9, 0), (1, 2, 1, 1, 9, 0))

    def forbid(z: Tensor, following: Tensor) -> Tensor:
        return torch.where(following[:, 0] - z[:, 0] > 1, math.inf, 0.0)

    assert positions(plan(graph(known), At(2), step_cost=forbid)) == [0, 1, 2]
    nothing = plan(graph(known), At(2), step_cost=lambda z, following: torch.full((len(z),), math.inf))
    assert not nothing.reached and len(nothing) == 0


def test_an_edge_that_failed_often_is_gone_around() -> None:
    known = edges(3, (0, 2, 1, 1, 9, 0), (0, 1, 1, 1, 9, 0), (1, 2, 1, 1, 9, 0))
    assert positions(plan(graph(known), At(2))) == [0, 2]
    assert positions(plan(graph(known).with_edges(known.failed(0, 2, 20)), At(2))) == [0, 1, 2]
