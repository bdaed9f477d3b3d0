"""Shortest ways on a graph of real latents: the planner for where play, or the agent itself, has been before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hplan.levels.heads.landmarks import LandmarkEdges, crossed, nearest_landmark
from hplan.types import Budget, Energy, PlanResult, StepCost, WorldModel

if TYPE_CHECKING:
    from hplan.levels.level import Level

ENTRANCES = 8  # landmarks near the start whose edges may be taken from there


class LandmarkGraph:
    """Plans along edges between landmarks, in the latents of any level.

    An edge costs the steps that it takes, times the tries that it needs (`LandmarkEdges.costs`), plus what
    `BestFirstSearch` adds too: `uncertainty_weight` * the steps by which its end may be off, beyond the first, and
    `compatibility_weight` * its energy where that is above what real steps have, and `step_cost`. From the start one
    may take the edges of landmarks within `reach` steps of it, or else of the nearest that is ever left; they take as
    much longer as the start is off. A plan leads to the landmark that meets the goal at the least cost; where none
    does, to the least energy. Nothing is imagined: a plan costs no predictor evaluation.

    Costs from the start are those of Bellman and Ford. What `step_cost` adds is asked for where the way leads, and the
    way is sought again until it leads nowhere new (LazySP; Dellin and Srinivasa, 2016): since it adds and never takes
    away, the way is then the shortest.
    """

    complete = True  # where it fails, there is no way over what is known

    def __init__(
        self,
        landmarks: Tensor,
        edges: LandmarkEdges,
        *,
        uncertainty_weight: float = 1.0,
        compatibility_weight: float = 1.0,
        reach: float = 0.5,
    ) -> None:
        """`landmarks` (K, *z), of which `edges` tells. `reach`: by default, what the controller counts as arrived."""
        self.landmarks, self.edges, self.reach = landmarks, edges, reach
        self.uncertainty_weight, self.compatibility_weight = uncertainty_weight, compatibility_weight
        self._known: tuple[WorldModel, np.ndarray] | None = None

    def with_edges(self, edges: LandmarkEdges) -> LandmarkGraph:
        """The same planner over other edges between its landmarks."""
        weights = {"uncertainty_weight": self.uncertainty_weight, "compatibility_weight": self.compatibility_weight}
        return LandmarkGraph(self.landmarks, edges, reach=self.reach, **weights)

    def taught(
        self, level: Level, z: Tensor, actions: Tensor, failed: Sequence[tuple[Tensor, Tensor, int]]
    ) -> LandmarkGraph:
        """Edges that were crossed, by the rule that holds for play, and those that failed. A failed step may begin
        beside a landmark: what failed is the edge to its end that begins nearest."""
        rows = torch.arange(max(len(z) - round(level.stride), 0))
        edges = self.edges.joined(crossed(level, self.edges.count, z, actions, rows))
        for start, end, times in failed:
            target = int(nearest_landmark(end[None], self.landmarks))
            begins = torch.from_numpy(edges.start[edges.end == target].astype(int))
            if len(begins):
                off = level.distance(start.expand(len(begins), *start.shape), self.landmarks[begins])
                edges = edges.failed(int(begins[off.argmin()]), target, times)
        return self.with_edges(edges)

    @torch.inference_mode()
    def plan(
        self,
        level: WorldModel,
        start: Tensor,
        goal: Energy,
        *,
        budget: Budget,
        step_cost: StepCost | None = None,
        generator: torch.Generator | None = None,
    ) -> PlanResult:
        """Random numbers and evaluations are not needed; a way longer than the budget's horizon is cut there."""
        paths = _Paths(self, level, start, self._costs(level))
        here, energies = float(goal(start[None])[0]), goal(self.landmarks).numpy(force=True)
        way = [] if here <= goal.threshold else self._way(paths, here, energies, goal.threshold, step_cost)
        way = way[: budget.horizon]
        nodes = paths.end[way]
        path = np.concatenate([[here], energies[nodes]]).astype(np.float32)
        return PlanResult(
            macros=torch.from_numpy(paths.macros[way].astype(np.int64)),
            latents=torch.cat([start[None], self.landmarks[nodes].to(start)]),
            energies=torch.from_numpy(path),
            costs=torch.from_numpy(paths.costs[way].astype(np.float32)),
            reached=bool(path[-1] <= np.float32(goal.threshold)),
            evaluations=0,
        )

    def _way(
        self, paths: _Paths, here: float, energies: np.ndarray, threshold: float, step_cost: StepCost | None
    ) -> list[int]:
        """The edges of the best way, the first one from the start; none where it is best to stay."""
        while True:
            costs = paths.solve()
            met = np.isfinite(costs) & (energies <= threshold)
            if met.any():
                target = int(np.where(met, costs, np.inf).argmin())
            else:
                target = int(np.where(np.isfinite(costs), energies, np.inf).argmin())
                if not np.isfinite(costs[target]) or energies[target] >= here:
                    return []
            way = paths.to(target)
            if step_cost is None or not paths.ask(step_cost, way):
                return way

    def _costs(self, level: WorldModel) -> np.ndarray:
        """(E,) of every edge, without what `step_cost` adds; asked once for a level."""
        if self._known is None or self._known[0] is not level:
            z, following = (
                self.landmarks[torch.from_numpy(n.astype(np.int64))] for n in (self.edges.start, self.edges.end)
            )
            macros = torch.from_numpy(self.edges.macros.astype(np.int64))
            extra = self.uncertainty_weight * (level.uncertainty(z, macros) - 1).clamp(min=0)
            if self.compatibility_weight and level.compatibility is not None:
                extra = extra + self.compatibility_weight * level.compatibility(z, following).clamp(min=0)
            self._known = level, self.edges.costs() + extra.numpy(force=True)
        return self._known[1]


class _Paths:
    """Shortest ways from one start. It is the node after the landmarks, and the edges of those near it are its own too:
    start, end, costs, macros (E,), sorted by `end`."""

    def __init__(self, graph: LandmarkGraph, level: WorldModel, start: Tensor, costs: np.ndarray) -> None:
        edges, count = graph.edges, len(graph.landmarks)
        self.z = torch.cat([graph.landmarks, start[None].to(graph.landmarks)])
        from_start, longer = self._from_start(graph, level)
        chosen = np.concatenate([np.arange(len(edges)), from_start])
        ends = edges.end[chosen].astype(np.int64)
        order = ends.argsort(kind="stable")
        starts = np.concatenate([edges.start.astype(np.int64), np.full(len(from_start), count)])
        self.start, self.end, self.macros = starts[order], ends[order], edges.macros[chosen][order]
        self.costs = np.concatenate([costs, costs[from_start] + longer])[order]
        self.ends, self.first = np.unique(self.end, return_index=True)
        self.asked = np.zeros(len(order), bool)
        self.best = np.full(count + 1, np.inf)

    def _from_start(self, graph: LandmarkGraph, level: WorldModel) -> tuple[np.ndarray, np.ndarray]:
        """Edges that the start may take, and how much more they cost from there."""
        edges, start = graph.edges, self.z[-1:]
        leaving = np.unique(edges.start)
        off = level.distance(start.expand(len(leaving), *start.shape[1:]), self.z[leaving.astype(int)])
        off, near = off.topk(min(ENTRANCES, len(leaving)), largest=False)
        limit = max(graph.reach, float(off[:1].sum()))
        allowed = {int(leaving[n]): d for n, d in zip(near.tolist(), off.tolist(), strict=True) if d <= limit}
        rows = np.flatnonzero(np.isin(edges.start, list(allowed)))
        longer = np.array([allowed[int(n)] for n in edges.start[rows]])
        if graph.compatibility_weight and level.compatibility is not None:
            ends = self.z[edges.end[rows].astype(int)]
            unlike = level.compatibility(start.expand_as(ends), ends).clamp(min=0)
            longer = longer + graph.compatibility_weight * unlike.numpy(force=True)
        return rows, longer

    def solve(self) -> np.ndarray:
        """(K,) the least cost of getting to every landmark, infinite where none is known."""
        self.best[:] = np.inf
        self.best[-1] = 0.0
        while len(self.ends):
            found = np.minimum.reduceat(self.best[self.start] + self.costs, self.first)
            if not (found < self.best[self.ends]).any():
                break
            self.best[self.ends] = np.minimum(self.best[self.ends], found)
        return self.best[:-1]

    def to(self, target: int) -> list[int]:
        """The edges of the best way to a landmark that can be reached."""
        way: list[int] = []
        node = target
        while node != len(self.best) - 1:
            into = np.arange(*np.searchsorted(self.end, [node, node + 1]))
            way.append(int(into[(self.best[self.start[into]] + self.costs[into]).argmin()]))
            node = int(self.start[way[-1]])
        return way[::-1]

    def ask(self, step_cost: StepCost, way: list[int]) -> bool:
        """Add what steps cost that begin at places on the way; whether it has become dearer by that."""
        new = np.flatnonzero(np.isin(self.start, self.start[way]) & ~self.asked)
        self.asked[new] = True
        extra = np.zeros(len(self.costs))
        z, following = (self.z[torch.from_numpy(nodes[new])] for nodes in (self.start, self.end))
        extra[new] = step_cost(z, following).numpy(force=True)
        self.costs = self.costs + extra
        return bool(extra[way].any())
