"""Best-first search over discrete macro-actions in latent space, with merging of equal latents."""

from __future__ import annotations

import heapq
from dataclasses import replace

import torch
from torch import Tensor

from hplan.types import Budget, Energy, HopCost, PlanResult, WorldModel

PRIOR_WEIGHT = 0.3  # how much an unlikely macro-action costs beside the step itself: cost = 1 - 0.3 log p
COMPATIBILITY_WEIGHT = 1.0  # steps that a hop costs for each unit of energy above what real steps have
FLOORS = (0.005, 0.0)  # macro-actions less probable than this are not tried, unless the search above failed


class BestFirstSearch:
    """Uniform-cost search (Dijkstra) on the graph that a level's predictor unfolds.

    Cost of a step: 1 - `prior_weight` * log p(m | z) + `hop_cost`. Nodes whose `level.keys` are equal are merged.
    Whole layers of the frontier, up to `batch` nodes, are expanded by one call of the predictor. Where the goal is not
    reached, the search is repeated with the next lower `floor` of the prior, and finally answers with the path to the
    least energy.
    """

    complete = True  # where it fails, no plan exists within the budget, as far as the level's model knows

    def __init__(
        self,
        *,
        prior_weight: float = PRIOR_WEIGHT,
        compatibility_weight: float = COMPATIBILITY_WEIGHT,
        floors: tuple[float, ...] = FLOORS,
        widest: int = 16,
        batch: int = 64,
    ) -> None:
        """`widest`: macro-actions tried at one node at the most, the most probable first."""
        self.prior_weight, self.compatibility_weight, self.floors = prior_weight, compatibility_weight, floors
        self.widest, self.batch = widest, batch

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
        spent, result = 0, None
        for floor in self.floors:
            tree = _Tree(level, start, goal)
            exhausted = self._grow(tree, budget.evaluations - spent, budget.horizon, floor, hop_cost)
            spent += tree.evaluations
            if result is None or tree.reached or tree.best_energy() < float(result.energies[-1]):
                result = tree.path()
            if tree.reached or not exhausted or spent >= budget.evaluations:
                break
        assert result is not None, "floors is empty: nothing to search with"
        return replace(result, evaluations=spent)

    def _grow(self, tree: _Tree, evaluations: int, horizon: int, floor: float, hop_cost: HopCost | None) -> bool:
        """Expand until the goal is reached at least cost, the budget is spent, or nothing is left (True)."""
        while tree.frontier:
            if tree.reached and tree.cost[tree.goal_node] <= tree.frontier[0][0] + 1e-6:
                return False
            nodes = tree.pop(self.batch, horizon)
            if not nodes:
                continue
            z = torch.stack([tree.latent[n] for n in nodes])
            every = tree.level.prior(z)
            log_p, macros = every.topk(min(self.widest, every.shape[-1]), dim=-1)
            rows, columns = torch.nonzero(log_p >= max(_log(floor), -100.0), as_tuple=True)
            room = evaluations - tree.evaluations
            if room <= 0:
                return False
            rows, columns = rows[:room], columns[:room]
            if not len(rows):
                continue
            macro = macros[rows, columns]
            following = tree.level.predict(z[rows], macro)
            tree.evaluations += len(rows)
            step = 1.0 - self.prior_weight * log_p[rows, columns]
            if self.compatibility_weight and not tree.level.exact:
                step = step + self.compatibility_weight * tree.level.compatibility(z[rows], following).clamp(min=0)
            if hop_cost is not None:
                step = step + hop_cost(z[rows], following)
                allowed = step.isfinite()
                rows, macro, following, step = rows[allowed], macro[allowed], following[allowed], step[allowed]
            tree.add([nodes[r] for r in rows.tolist()], macro, following, step)
        return True


def _log(p: float) -> float:
    return float(torch.tensor(p).log()) if p > 0 else -float("inf")


class _Tree:
    """The search tree: columns by node number, a heap of open nodes, and a table of merged latents."""

    def __init__(self, level: WorldModel, start: Tensor, goal: Energy) -> None:
        self.level, self.goal = level, goal
        self.latent, self.parent, self.macro = {0: start}, {0: -1}, {0: torch.tensor(-1)}
        self.cost, self.step, self.depth = {0: 0.0}, {0: 0.0}, {0: 0}
        self.energy = {0: float(goal(start[None])[0])}
        self.known = {_key(level.keys(start[None])[0]): 0}
        self.frontier: list[tuple[float, int]] = [(0.0, 0)]
        self.evaluations = 0
        self.goal_node = 0 if self.energy[0] <= goal.threshold else -1

    @property
    def reached(self) -> bool:
        return self.goal_node >= 0

    def pop(self, batch: int, horizon: int) -> list[int]:
        """The cheapest open nodes: those within one least step of the cheapest, `batch` at the most."""
        limit, nodes = self.frontier[0][0] + 1.0, []
        while self.frontier and len(nodes) < batch and self.frontier[0][0] < limit - 1e-6:
            cost, node = heapq.heappop(self.frontier)
            if cost <= self.cost[node] and self.depth[node] < horizon:
                nodes.append(node)
        return nodes

    def add(self, parents: list[int], macro: Tensor, following: Tensor, step: Tensor) -> None:
        energies, keys = self.goal(following).tolist(), self.level.keys(following).numpy(force=True)
        for i, (parent, extra) in enumerate(zip(parents, step.tolist(), strict=True)):
            cost, key = self.cost[parent] + extra, keys[i].tobytes()
            node = self.known.get(key)
            if node is not None and self.cost[node] <= cost:
                continue
            if node is None:
                node = self.known[key] = len(self.latent)
            self.latent[node], self.parent[node], self.macro[node] = following[i], parent, macro[i]
            self.cost[node], self.step[node], self.depth[node] = cost, extra, self.depth[parent] + 1
            self.energy[node] = energies[i]
            heapq.heappush(self.frontier, (cost, node))
            if self.energy[node] <= self.goal.threshold and (not self.reached or cost < self.cost[self.goal_node]):
                self.goal_node = node

    def best_energy(self) -> float:
        return min(self.energy.values())

    def path(self) -> PlanResult:
        node = self.goal_node if self.reached else min(self.energy, key=lambda n: (self.energy[n], self.cost[n]))
        nodes = [node]
        while self.parent[nodes[-1]] >= 0:
            nodes.append(self.parent[nodes[-1]])
        nodes.reverse()
        return PlanResult(
            macros=torch.stack([self.macro[n] for n in nodes[1:]]) if nodes[1:] else torch.empty(0, dtype=torch.long),
            latents=torch.stack([self.latent[n] for n in nodes]),
            energies=torch.tensor([self.energy[n] for n in nodes]),
            costs=torch.tensor([self.step[n] for n in nodes[1:]]),
            reached=self.reached,
            evaluations=self.evaluations,
        )


def _key(row: Tensor) -> bytes:
    return row.numpy(force=True).tobytes()
