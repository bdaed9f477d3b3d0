"""Search over the events of a level that knows which are possible: cheapest first, and only what is new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from hplan.planning.relaxed import RelaxedSearch
from hplan.planning.search import BestFirstSearch, _Tree
from hplan.types import Budget, Energy, PlanResult, StepCost, WorldModel
from hplan.validation import Count, NonNegative

NARROW = 1000  # evaluations that the search for what is new may spend, where another can follow
MOST = 8000  # evaluations of a plan, a millisecond each: whole episodes of the longest tasks mostly take 3,000
WIDTHS = (2, 0)  # in turn, until one reaches the goal; 0 keeps everything
RANK_WEIGHT = 10.0  # environment steps that a place costs for each doubling of its rank among those of its type


class NoveltySearch(BestFirstSearch):
    """Best-first search for levels with `possible`, which keeps latents of a small *width*: those that show one of so
    many facts, which differ from the start, together for the first time (IW; Lipovetzky and Geffner, 2012).

    Cost of a step: its environment steps over the level's stride + `step_cost`. Of the places where one type of event
    is possible, the nearest comes first, and the others as much later as their rank is higher: a thing can be put down
    anywhere, and where exactly hardly ever matters. What is not found with little effort, `RelaxedSearch` looks for.
    """

    def __init__(
        self,
        *,
        widths: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = WIDTHS,
        rank_weight: NonNegative = RANK_WEIGHT,
        batch: Count = 16,
        most: Count = MOST,
    ) -> None:
        """`most`: evaluations that a plan may spend, however many there are (`hplan.control.retry`)."""
        super().__init__(prior_weight=0.0, batch=batch)
        self.widths, self.rank_weight, self.most = widths, rank_weight, most
        self.relaxed = RelaxedSearch(prior_weight=0.0)

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
        spent, result = 0, None
        for width in self.widths:
            tree = _NovelTree(level, start, goal, budget.horizon, width)
            tree.evaluations = spent
            followed = width and level.relaxation is not None
            most = min(budget.evaluations, spent + NARROW) if followed else budget.evaluations
            self._grow(tree, most, step_cost)
            result, spent = tree.path(), tree.evaluations
            if tree.reached or spent >= budget.evaluations or not (tree.cut or spent >= most):
                break
            if level.relaxation is not None:
                found = self.relaxed.search(level, start, goal, budget, spent, step_cost)
                if found is not None:  # it leaves out only what leads nowhere
                    return found.path() if found.reached else replace(result, evaluations=found.evaluations)
        assert result is not None
        return result

    def _open(self, tree: _Tree, nodes: Sequence[int]) -> None:
        z = tree.latents(nodes)
        assert tree.level.possible is not None
        rows, macros, steps = (each.numpy(force=True) for each in tree.level.possible(z))
        types = macros // z[0].numel()
        order = np.lexsort([macros, steps, types, rows])
        rows, macros, steps, types = rows[order], macros[order], steps[order], types[order]
        new = np.append(True, (np.diff(rows) != 0) | (np.diff(types) != 0))[: len(rows)]
        rank = np.arange(len(rows)) - np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))
        costs = (steps + self.rank_weight * np.log2(1 + rank.astype(np.float32))) / max(tree.level.stride, 1.0)
        tree.open(nodes, *(torch.from_numpy(each) for each in (rows, macros, costs, np.zeros_like(rows))))


class _NovelTree(_Tree):
    """`width`: of the facts that a latent has to show together for the first time. A fact is a key that is not what it
    is at the start, and its value."""

    def __init__(self, level: WorldModel, start: Tensor, goal: Energy, horizon: int, width: int) -> None:
        super().__init__(level, start, goal, horizon, least=1.0 / max(level.stride, 1.0))
        self.width, self.cut, self.seen = width, False, set[tuple[tuple[int, int], ...]]()
        self.root = np.frombuffer(self.nodes[0].key, np.int64)

    def novel(self, key: bytes) -> bool:
        if not self.width:
            return True
        values = np.frombuffer(key, np.int64)
        facts = [(int(i), int(values[i])) for i in np.flatnonzero(values != self.root)]
        new = [each for size in range(1, self.width + 1) for each in combinations(facts, size) if each not in self.seen]
        self.seen.update(new)
        self.cut |= not new
        return bool(new)
