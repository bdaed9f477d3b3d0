"""Best-first search against brute force on small graphs, and its promises on budget, merging and the prior."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hplan.planning.search import BestFirstSearch
from hplan.testing import check_planner
from hplan.types import Budget, MacroSpec


class Graph:
    """A level whose latents are nodes of a random directed graph; macro m of node n leads to table[n, m]."""

    index, stride, exact = 0, 1.0, True

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

    def keys(self, z: Tensor) -> Tensor:
        return z.long()


class At:
    threshold = 0.0

    def __init__(self, node: int) -> None:
        self.node = node

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, 0] - self.node).abs()


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
    graph = nx.DiGraph()
    graph.add_nodes_from(range(nodes))
    for node in range(nodes):
        for m in range(macros):
            cost, target = 1 - 0.3 * float(level.log_p[node, m]), int(table[node, m])
            if target not in graph[node] or graph[node][target]["weight"] > cost:
                graph.add_edge(node, target, weight=cost)
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


def test_failed_hops_cost_more_and_are_not_forbidden() -> None:
    table = torch.tensor([[1, 2], [3, 3], [4, 4], [3, 3], [3, 3]])

    def cost(z: Tensor, following: Tensor) -> Tensor:
        return 5.0 * ((z[:, 0] == 0) & (following[:, 0] == 1))

    plain = BestFirstSearch().plan(Graph(table), torch.zeros(1), At(3), budget=Budget(100, 10))
    assert plain.latents[:, 0].tolist() == [0, 1, 3]
    detour = BestFirstSearch().plan(Graph(table), torch.zeros(1), At(3), budget=Budget(100, 10), hop_cost=cost)
    assert detour.latents[:, 0].tolist() == [0, 2, 4, 3]
    only = Graph(table[:, :1])
    forced = BestFirstSearch().plan(only, torch.zeros(1), At(3), budget=Budget(100, 10), hop_cost=cost)
    assert forced.reached
