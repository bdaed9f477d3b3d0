"""Greedy search towards what is left of the goal if nothing were ever undone."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

import torch
from torch import Tensor

from hplan.planning.search import BestFirstSearch, _Tree
from hplan.types import Budget, Energy, StepCost, WorldModel

GREEDY = 5.0  # steps of the way behind that one step less to go is worth


class RelaxedSearch(BestFirstSearch):
    """Best-first search for levels with `relaxation`, by the way behind + `GREEDY` times what is left (weighted A*;
    Pohl, 1970). What helps in the relaxed world counts as done (helpful actions; Hoffmann and Nebel, 2001). Latents
    from which the goal is out of reach even there lead nowhere.

    It finds long plans where others only find short ones, and not the shortest.
    """

    def search(
        self, level: WorldModel, start: Tensor, goal: Energy, budget: Budget, spent: int, step_cost: StepCost | None
    ) -> _Tree | None:
        """`spent`: evaluations of the budget that are used up. None where the relaxed world says nothing."""
        assert level.relaxation is not None and level.possible is not None
        left = level.relaxation(start, goal)
        if left is None:
            return None
        tree = _Tree(level, start, goal, budget.horizon)
        tree.evaluations = spent
        queue: list[tuple[float, int, int, float, int]] = []  # (order, number, node, its cost, macro)
        while not tree.reached and tree.evaluations < budget.evaluations:
            for *_, number in tree.pop(tree.closed, math.inf, len(tree.closed)):
                self._look(tree, number, left, queue)
            steps = [heapq.heappop(queue) for _ in range(min(self.batch, len(queue)))]
            if not steps:
                break
            _, _, nodes, costs, macros = zip(*steps, strict=True)
            z, macro = tree.latents(nodes), torch.tensor(macros, device=start.device)
            following = level.predict(z, macro)
            extra = self._extra(level, z, macro, following, step_cost)
            tree.add(nodes, macros, following, [cost + more for cost, more in zip(costs, extra, strict=True)])
        return tree

    def _look(
        self,
        tree: _Tree,
        number: int,
        left: Callable[[Tensor], tuple[float, list[int]]],
        queue: list[tuple[float, int, int, float, int]],
    ) -> None:
        """What can follow a node joins the queue."""
        node, level = tree.nodes[number], tree.level
        assert level.possible is not None
        rest, helpful = left(node.latent)
        if not math.isfinite(rest):
            return
        _, macros, steps = level.possible(node.latent[None])
        costs = steps / max(level.stride, 1.0)
        for macro, cost in zip(macros.tolist(), costs.tolist(), strict=True):
            behind = node.cost + cost
            order = behind + GREEDY * (rest - (macro in helpful))
            heapq.heappush(queue, (order, len(queue), number, behind, macro))
