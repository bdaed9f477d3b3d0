"""What an agent went through in an episode, and what its landmark graphs learn from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from hplan.control.memory import FailureMemory
from hplan.levels.landmark_edges import LandmarkEdges, crossed
from hplan.levels.landmarks import nearest_landmark
from hplan.levels.vector import VectorLevel
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.types import Planner, WorldModel

LONGEST = 10_000  # steps that are remembered, the latest ones


class Experience:
    """The course of one episode: latents of every level, and actions."""

    def __init__(self) -> None:
        self.moments: deque[tuple[tuple[Tensor, ...], Tensor]] = deque(maxlen=LONGEST)

    def add(self, latents: tuple[Tensor, ...], action: Tensor) -> None:
        """Once a step: one (*z) per level, and the macro-action of level 0 that was taken there."""
        self.moments.append((latents, action))

    def taught(
        self, levels: Sequence[WorldModel], planners: Sequence[Planner], memories: Sequence[FailureMemory]
    ) -> tuple[Planner, ...]:
        """The planners after this episode: a landmark graph knows what was crossed, by the rule that holds for play
        (`hplan.levels.landmark_edges.crossed`), and which of its hops failed, as the memory of every level has it."""
        found = []
        for level, planner, memory in zip(levels, planners, memories, strict=True):
            if isinstance(planner, LandmarkGraph) and isinstance(level, VectorLevel) and self.moments:
                planner = planner.with_edges(_failed(planner, level, memory, self._crossed(planner, level)))
            found.append(planner)
        return tuple(found)

    def _crossed(self, planner: LandmarkGraph, level: VectorLevel) -> LandmarkEdges:
        z = torch.stack([latents[level.index] for latents, _ in self.moments])
        actions = torch.stack([action for _, action in self.moments])
        rows = torch.arange(max(len(z) - round(level.stride), 0))
        return planner.edges.joined(crossed(level, planner.edges.count, z, actions, rows))


def _failed(planner: LandmarkGraph, level: WorldModel, memory: FailureMemory, edges: LandmarkEdges) -> LandmarkEdges:
    """A hop may begin beside a landmark: what failed is the edge to its end that begins nearest."""
    for (start, end), times in zip(memory.hops, memory.times, strict=True):
        target = int(nearest_landmark(end[None], planner.landmarks))
        begins = torch.from_numpy(edges.start[edges.end == target].astype(int))
        if len(begins):
            off = level.distance(start.expand(len(begins), *start.shape), planner.landmarks[begins])
            edges = edges.failed(int(begins[off.argmin()]), target, times)
    return edges
