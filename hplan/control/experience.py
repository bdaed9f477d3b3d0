"""What an agent went through in an episode, and what its planners learn from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from hplan.control.memory import FailureMemory
from hplan.types import LearningPlanner, Planner, WorldModel

LONGEST = 10_000  # steps that are remembered, the latest ones


class Experience:
    """The trajectory of one episode: latents of every level, and actions."""

    def __init__(self) -> None:
        self.moments: deque[tuple[tuple[Tensor, ...], Tensor]] = deque(maxlen=LONGEST)

    def add(self, latents: tuple[Tensor, ...], action: Tensor) -> None:
        """Once a step: one (*z) per level, and the macro-action of level 0 that was taken there."""
        self.moments.append((latents, action))

    def taught(
        self, levels: Sequence[WorldModel], planners: Sequence[Planner], memories: Sequence[FailureMemory]
    ) -> tuple[Planner, ...]:
        """The planners after this episode: those that learn know what was done, and what failed, as the memory of every
        level has it."""
        if not self.moments:
            return tuple(planners)
        actions = torch.stack([action for _, action in self.moments])
        found = []
        for level, planner, memory in zip(levels, planners, memories, strict=True):
            if isinstance(planner, LearningPlanner):
                z = torch.stack([latents[level.index] for latents, _ in self.moments])
                failed = [(*ends, times) for ends, times in zip(memory.steps, memory.times, strict=True)]
                planner = planner.taught(level, z, actions, failed)
            found.append(planner)
        return tuple(found)
