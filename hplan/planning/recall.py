"""Imagine first, and remember where imagination failed: search, and the landmark graph of the same level behind it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hplan.models.landmark_edges import LandmarkEdges
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.planning.search import BestFirstSearch
from hplan.types import Budget, Energy, HopCost, PlanResult, WorldModel


@dataclass(frozen=True, eq=False)
class Recall:
    """A search until the first hop of its level fails in an episode (`hop_cost` tells of it), then the landmark graph.

    A search sees ways that nobody took, and now and then one that is none, through a thin wall: having failed there it
    finds the next such way. What was crossed can be crossed. But a graph knows one world only, and a search any.
    """

    search: BestFirstSearch
    graph: LandmarkGraph

    complete = True  # as both are

    @property
    def landmarks(self) -> Tensor:
        return self.graph.landmarks

    @property
    def edges(self) -> LandmarkEdges:
        return self.graph.edges

    def with_edges(self, edges: LandmarkEdges) -> Recall:
        """The same search before a graph of other edges."""
        return Recall(self.search, self.graph.with_edges(edges))

    @torch.inference_mode()
    def plan(
        self,
        level: WorldModel,
        start: Tensor,
        goal: Energy,
        *,
        budget: Budget,
        hop_cost: HopCost | None = None,
        generator: torch.Generator | None = None,
    ) -> PlanResult:
        planner = self.search if hop_cost is None else self.graph
        return planner.plan(level, start, goal, budget=budget, hop_cost=hop_cost, generator=generator)
