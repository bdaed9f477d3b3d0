"""Best-first search against brute force on small graphs, and its promises on budget, merging and the prior."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hplan.planning.energy import Informed
from hplan.planning.search import INFORMED, PRIOR_WEIGHT, BestFirstSearch
from hplan.testing import check_planner
from hplan.types import Budget, Capabilities, Energy, MacroSpec


class Graph:
    """A level whose latents are nodes of a random directed graph; macro m of node n leads to table[n, m]."""

    index, stride, capabilities = 0, 1.0, Capabilities(discrete=True)
    obstruction = outcomes = process = policy = returns = landmarks = possible = approach = relaxation = None

    def __init__(self, table: Tensor, log_p: Tensor | None = None) -> None:
        self.table = table
        self.log_p = torch.zeros(table.shape) if log_p is None else log_p
        self.macro = MacroSpec("discrete", table.shape[1])
        self.evaluations = 0

    def encode(self, below: Tensor) -> Tensor:
        return below

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        self.evaluations += len(z)
        return self.table[z[:, 0].long(), macro][:, None].float()

    def prior(self, z: Tensor) -> Tensor:
        return self.log_p[z[:, 0].long()]

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z != other).float().sum(-1)

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def keys(self, z: Tensor) -> Tensor:
        return z.long()


class At:
    threshold = 0.0

    def __init__(self, node: int) -> None:
        self.node = node

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, 0] - self.node).abs()


def known(level: Graph, least: float = 0.0) -> nx.DiGraph:
    """The same graph with the costs of its steps, without those that are less probable than `least`."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(level.table)))
    for (node, m), target in np.ndenumerate(level.table.numpy()):
        log_p = float(level.log_p[node, m])
        before = graph.get_edge_data(node, target, {"weight": math.inf})["weight"]
        if math.exp(log_p) >= least:
            graph.add_edge(node, int(target), weight=min(before, 1 - PRIOR_WEIGHT * log_p))
    return graph


def test_keeps_to_the_planner_protocol() -> None:
    check_planner(BestFirstSearch())


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 10_000), st.booleans())
def test_paths_cost_what_dijkstra_says(nodes: int, macros: int, seed: int, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(nodes, (nodes, macros), generator=generator)
    log_p = torch.log_softmax(torch.randn(nodes, macros, generator=generator), -1) if weighted else None
    level = Graph(table, log_p)
    search = BestFirstSearch(floors=(0.0,), batch=3)
    found = search.plan(level, torch.zeros(1), At(nodes - 1), budget=Budget(100_000, 1000))
    graph = known(level)
    reachable = nx.has_path(graph, 0, nodes - 1)
    assert found.reached == reachable
    assert found.evaluations == level.evaluations
    if reachable:
        best = nx.shortest_path_length(graph, 0, nodes - 1, weight="weight")
        assert float(found.costs.sum()) == pytest.approx(best, abs=1e-4)
        walked = [0]
        for macro in found.macros.tolist():
            walked.append(int(table[walked[-1], macro]))
        assert walked == found.latents[:, 0].long().tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(2, 4), st.integers(0, 10_000), st.integers(1, 64))
def test_the_best_probable_way_comes_first_and_the_best_of_all_where_there_is_none(
    nodes: int, macros: int, seed: int, batch: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(nodes, (nodes, macros), generator=generator)
    level = Graph(table, torch.log_softmax(2 * torch.randn(nodes, macros, generator=generator), -1))
    search = BestFirstSearch(floors=(0.3, 0.0), batch=batch)
    found = search.plan(level, torch.zeros(1), At(nodes - 1), budget=Budget(100_000, 1000))
    graphs = [g for g in (known(level, 0.3), known(level)) if nx.has_path(g, 0, nodes - 1)]
    assert found.reached == bool(graphs)
    if graphs:
        best = nx.shortest_path_length(graphs[0], 0, nodes - 1, weight="weight")
        assert float(found.costs.sum()) == pytest.approx(best, abs=1e-4)
        for z, macro, following in zip(found.latents, found.macros, found.latents[1:], strict=False):
            assert int(table[int(z), int(macro)]) == int(following)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_steps_dearer_than_the_goal_are_never_imagined(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(40, (40, 4), generator=generator)
    level = Graph(table, torch.log_softmax(2 * torch.randn(40, 4, generator=generator), -1))
    graph = known(level)
    costs = nx.single_source_dijkstra_path_length(graph, 0)
    goal = max(costs, key=lambda node: costs[node])
    BestFirstSearch(floors=(0.0,), batch=1).plan(level, torch.zeros(1), At(goal), budget=Budget(10_000, 1000))
    steps = [costs[n] + 1 - PRIOR_WEIGHT * float(p) for n in costs for p in level.log_p[n]]
    assert level.evaluations <= sum(cost <= costs[goal] + 1e-4 for cost in steps)


def test_widening_goes_on_where_the_narrow_search_ended() -> None:
    table = torch.tensor([[1, 0], [2, 1], [0, 3], [3, 3]])
    log_p = torch.tensor([[0.99, 0.01], [0.99, 0.01], [0.99, 0.01], [0.5, 0.5]]).log()
    level = Graph(table, log_p)
    found = BestFirstSearch(floors=(0.1, 0.0)).plan(level, torch.zeros(1), At(3), budget=Budget(100, 10))
    assert found.reached and found.macros.tolist() == [0, 0, 1]
    assert found.evaluations <= 6  # every step once


class Places(Graph):
    """Two types of macro-action in `places` places: the first leads back from anywhere, the second in one place on."""

    def __init__(self, places: int, on: int) -> None:
        table = torch.zeros(3, 2 * places, dtype=torch.long)
        table[0, :places] = 1
        table[:, places + on] = 2
        chance = torch.full((3, 2 * places), 1e-30)
        chance[:, :places], chance[:, places + on] = 0.98 / places, 0.02
        super().__init__(table, chance.log())
        self.macro = MacroSpec("discrete", 2, pointed=True)


@pytest.mark.parametrize("places", [10, 1000])
def test_what_can_be_done_in_one_place_is_found_on_a_grid_of_any_size(places: int) -> None:
    level = Places(places, on=7)
    found = BestFirstSearch(floors=(1e-5, 0.0)).plan(level, torch.zeros(1), At(2), budget=Budget(100, 10))
    assert found.macros.tolist() == [places + 7]
    assert found.evaluations <= 16


def test_what_comes_last_at_a_node_is_found_at_last() -> None:
    table = torch.ones(3, 40, dtype=torch.long)
    table[0, 39] = 2
    log_p = torch.linspace(0, -2, 40).log_softmax(0).repeat(3, 1)
    found = BestFirstSearch(widest=16).plan(Graph(table, log_p), torch.zeros(1), At(2), budget=Budget(500, 10))
    assert found.reached and found.macros.tolist() == [39]


def test_merging_expands_every_node_once() -> None:
    table = torch.randint(50, (50, 4), generator=torch.Generator().manual_seed(0))
    level = Graph(table)
    BestFirstSearch(floors=(0.0,)).plan(level, torch.zeros(1), At(-1), budget=Budget(10_000, 1000))
    assert level.evaluations <= 50 * 4


def test_improbable_macros_are_tried_only_when_the_probable_ones_fail() -> None:
    table = torch.tensor([[1, 2], [0, 0], [2, 2]])
    log_p = torch.tensor([[0.999, 0.001], [0.5, 0.5], [0.5, 0.5]]).log()
    level = Graph(table, log_p)
    near = BestFirstSearch().plan(level, torch.zeros(1), At(1), budget=Budget(100, 10))
    assert near.reached and near.evaluations == 1
    far = BestFirstSearch().plan(level, torch.zeros(1), At(2), budget=Budget(100, 10))
    assert far.reached and far.macros.tolist() == [1]


def test_an_unreachable_goal_gives_the_way_to_the_least_energy() -> None:
    table = torch.tensor([[1], [2], [3], [3]])
    found = BestFirstSearch().plan(Graph(table), torch.zeros(1), At(9), budget=Budget(100, 10))
    assert not found.reached
    assert int(found.latents[-1]) == 3


def test_failed_steps_cost_more_and_are_not_forbidden() -> None:
    table = torch.tensor([[1, 2], [3, 3], [4, 4], [3, 3], [3, 3]])

    def cost(z: Tensor, following: Tensor) -> Tensor:
        return 5.0 * ((z[:, 0] == 0) & (following[:, 0] == 1))

    plain = BestFirstSearch().plan(Graph(table), torch.zeros(1), At(3), budget=Budget(100, 10))
    assert plain.latents[:, 0].tolist() == [0, 1, 3]
    detour = BestFirstSearch().plan(Graph(table), torch.zeros(1), At(3), budget=Budget(100, 10), step_cost=cost)
    assert detour.latents[:, 0].tolist() == [0, 2, 4, 3]
    only = Graph(table[:, :1])
    forced = BestFirstSearch().plan(only, torch.zeros(1), At(3), budget=Budget(100, 10), step_cost=cost)
    assert forced.reached


class Gaps(Graph):
    """Node 0 leads to 2 in one step that no real one is like, or by way of 1."""

    capabilities = Capabilities()

    def __init__(self) -> None:
        super().__init__(torch.tensor([[2, 1], [2, 2], [2, 2]]))

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.where((z[:, 0] == 0) & (following[:, 0] == 2), 5.0, -1.0)


@pytest.mark.parametrize(("weight", "steps"), [(1.0, 2), (0.0, 1)])
def test_a_step_unlike_real_ones_costs_what_it_is_unlike_them(weight: float, steps: int) -> None:
    search = BestFirstSearch(compatibility_weight=weight)
    assert len(search.plan(Gaps(), torch.zeros(1), At(2), budget=Budget(100, 10))) == steps


class Crowded(Graph):
    """A chain of nodes, of which keys tell no two neighbours apart: where play seldom was, latents lie close."""

    capabilities = Capabilities()

    def __init__(self, count: int) -> None:
        ahead = (torch.arange(count) + 1).clamp(max=count - 1)
        super().__init__(torch.stack([ahead, (torch.arange(count) - 1).clamp(min=0)], 1))

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return 0.3 * (z - other).abs().sum(-1)

    def keys(self, z: Tensor) -> Tensor:
        return z.long() // 3


def test_what_was_merged_is_told_apart_where_nothing_is_left_to_try() -> None:
    level = Crowded(9)
    found = BestFirstSearch().plan(level, torch.zeros(1), At(8), budget=Budget(1000, 20))
    assert found.reached and found.macros.tolist() == [0] * 8
    assert found.evaluations == level.evaluations, "of both searches"
    level = Crowded(9)
    never = BestFirstSearch().plan(level, torch.zeros(1), At(99), budget=Budget(1000, 20))
    assert not never.reached and never.evaluations == level.evaluations < 40


class Gamble(Graph):
    """Node 0 leads to 2 in one step that may end elsewhere, or surely by way of 1."""

    def __init__(self) -> None:
        super().__init__(torch.tensor([[2, 1], [2, 2], [2, 2]]))

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.where((z[:, 0] == 0) & (macro == 0), 5.0, 0.5)


@pytest.mark.parametrize(("weight", "steps"), [(1.0, 2), (0.0, 1)])
def test_a_sure_detour_beats_a_gamble(weight: float, steps: int) -> None:
    search = BestFirstSearch(uncertainty_weight=weight)
    assert len(search.plan(Gamble(), torch.zeros(1), At(2), budget=Budget(100, 10))) == steps


# ----------------------------------------------------------------------------------------------- where the way is known


class Plane(Graph):
    """Cells of a map (H, W), some of them walls; macro-actions go up, right, down or left, or stay before a wall."""

    def __init__(self, free: np.ndarray) -> None:
        height, width = free.shape
        table = np.arange(free.size)[:, None].repeat(4, 1)
        for cell in range(free.size):
            for m, (down, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
                row, column = cell // width + down, cell % width + right
                if 0 <= row < height and 0 <= column < width and free[row, column]:
                    table[cell, m] = row * width + column
        super().__init__(torch.from_numpy(table))


def left_to(level: Graph, node: int, of: float = 1.0) -> Energy:
    """To be at a node, with the steps that are really left, or some share of them; infinite where there is no way."""
    away = nx.single_source_shortest_path_length(known(level).reverse(), node)
    left = torch.tensor([of * away.get(n, math.inf) for n in range(len(level.table))])
    return Informed(At(node), lambda z: left[z[:, 0].long()])


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 30), st.integers(1, 4), st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 64))
def test_the_way_that_is_left_changes_no_cost(nodes: int, macros: int, seed: int, of: float, batch: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(nodes, (nodes, macros), generator=generator)
    level = Graph(table, torch.log_softmax(torch.randn(nodes, macros, generator=generator), -1))
    search, budget = BestFirstSearch(floors=(0.0,), batch=batch), Budget(100_000, 1000)
    plain = search.plan(level, torch.zeros(1), At(nodes - 1), budget=budget)
    told = search.plan(level, torch.zeros(1), left_to(level, nodes - 1, of), budget=budget)
    assert told.reached == plain.reached
    assert not told.reached or float(told.costs.sum()) == pytest.approx(float(plain.costs.sum()), abs=1e-4)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_who_knows_what_is_left_imagines_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    free = rng.random((12, 12)) > 0.2
    level, goal = Plane(free), int(rng.choice(np.flatnonzero(free)))
    start, budget = torch.tensor([float(rng.choice(np.flatnonzero(free)))]), Budget(100_000, 1000)
    search = BestFirstSearch(floors=(0.0,))
    plain, told = (search.plan(level, start, energy, budget=budget) for energy in (At(goal), left_to(level, goal)))
    assert told.reached == plain.reached
    if told.reached:
        assert len(told) == len(plain)
        assert told.evaluations <= INFORMED * len(told), "whatever it imagines at once comes a step nearer"
        assert len(plain) < 6 or told.evaluations < plain.evaluations
    else:
        assert told.evaluations == 0 < plain.evaluations


def test_nothing_is_imagined_from_where_there_is_no_way() -> None:
    """Node 1 leads to 3 and its like, and on to nowhere; 2 leads to the goal."""
    table = torch.tensor([[1, 2], [3, 4], [5, 2], [1, 1], [1, 1], [5, 5]])
    level = Graph(table)
    asked: list[int] = []
    imagine = level.predict

    def predict(z: Tensor, macro: Tensor) -> Tensor:
        asked.extend(z[:, 0].long().tolist())
        return imagine(z, macro)

    level.predict = predict  # type: ignore[method-assign]
    found = BestFirstSearch(batch=1).plan(level, torch.zeros(1), left_to(level, 5), budget=Budget(100, 10))
    assert found.reached and found.latents[:, 0].tolist() == [0, 2, 5]
    assert not {1, 3, 4} & set(asked)


def test_who_is_there_already_has_nothing_left() -> None:
    level = Graph(torch.tensor([[1], [0]]))
    lost = Informed(At(0), lambda z: torch.full((len(z),), math.inf))
    found = BestFirstSearch().plan(level, torch.zeros(1), lost, budget=Budget(100, 10))
    assert found.reached and len(found) == 0 and found.evaluations == 0
