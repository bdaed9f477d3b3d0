"""Planning where the same action may end in several ways: a policy over the imagined graph, not a single path.

Search on the likeliest outcome walks along cliffs and hopes. Here every outcome that the level holds possible is
unfolded, and value iteration finds what to do in each of the latents met.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hplan.types import Budget, Energy, PlanResult, StepCost, WorldModel

DISCOUNT = 0.999  # of success per step: a sure way is worth a detour of about a thousand steps times the risk it avoids
TOLERANCE = 1e-6  # of a chance, between two sweeps
SWEEPS = 2000
LEAST = 0.05  # outcomes less likely are noise: a dead end that leaked a little would be none in the long run
SURE = 0.9  # a step whose likeliest outcome is less likely than this ends the path


class ValueIteration:
    """Maximises the discounted chance of reaching the goal on the graph of latents that the level can imagine.

    Source: Bellman, 1957; for goals, the MAXPROB problem of Kolobov et al., 2011. The answer follows the policy up to
    and including the first step that may well end otherwise: what to do then depends on how it ended.
    """

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
        graph = _Graph(level, start, goal, step_cost)
        while graph.open and graph.evaluations < budget.evaluations:
            graph.unfold(budget.evaluations)
        values = graph.values(graph.energies <= goal.threshold)
        if not values[0]:  # nothing leads to the goal, as far as is known: the least energy is the next best
            values = graph.values(graph.energies <= graph.energies.min())
        return graph.follow(values, budget.horizon)


class _Graph:
    """Latents by number, and for every macro-action of the expanded ones: successors and their probabilities."""

    def __init__(self, level: WorldModel, start: Tensor, goal: Energy, step_cost: StepCost | None = None) -> None:
        """`step_cost`: of an infinite one no outcome of a step may be, however unlikely among those that count."""
        self.level, self.goal, self.step_cost, self.evaluations = level, goal, step_cost, 0
        self.latents, self.known = start[None], {self._key(start[None])[0]: 0}
        self.energies = goal(self.latents)
        self.open = [] if bool(self.energies[0] <= goal.threshold) else [0]
        self.edges: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # macros (A,), successors (A, K), chances (A, K)

    def _key(self, z: Tensor) -> list[bytes]:
        return [row.tobytes() for row in self.level.keys(z).numpy(force=True)]

    def unfold(self, evaluations: int) -> None:
        """Expand every open latent by all macro-actions that play showed to be possible."""
        log_p = self.level.prior(self.latents[self.open])
        rows, macros = torch.nonzero(log_p > -100.0, as_tuple=True)
        room = evaluations - self.evaluations
        rows, macros = rows[:room], macros[:room]
        assert self.level.outcomes is not None
        following, chance = self.level.outcomes(self.latents[self.open][rows], macros)
        self.evaluations += len(rows)
        chance = torch.where(chance < LEAST, 0.0, chance)
        chance = chance / chance.sum(1, keepdim=True)
        if self.step_cost is not None:
            z = self.latents[self.open][rows].repeat_interleave(chance.shape[1], 0)
            forbidden = self.step_cost(z, following.flatten(0, 1)).isinf().view(chance.shape) & (chance > 0)
            allowed = ~forbidden.any(1)
            rows, macros, following, chance = (each[allowed] for each in (rows, macros, following, chance))
        flat = following.flatten(0, 1)
        numbers = self._number(flat).view(chance.shape)
        expanded, self.open = self.open, self.fresh
        for i, node in enumerate(expanded):
            mine = rows == i
            if bool(mine.any()):
                self.edges[node] = (macros[mine], numbers[mine], chance[mine])

    def _number(self, z: Tensor) -> Tensor:
        """The number of each latent; new ones are added, and opened unless they are goals."""
        numbers, new = [], []
        for i, key in enumerate(self._key(z)):
            if key not in self.known:
                self.known[key] = len(self.known)
                new.append(i)
            numbers.append(self.known[key])
        self.fresh: list[int] = []
        if new:
            first, added = len(self.latents), z[new]
            energies = self.goal(added)
            self.latents = torch.cat([self.latents, added])
            self.energies = torch.cat([self.energies, energies])
            self.fresh = [first + i for i in torch.nonzero(energies > self.goal.threshold)[:, 0].tolist()]
        return torch.tensor(numbers)

    def values(self, met: Tensor) -> Tensor:
        """met (N,) bool -> (N,): each latent's discounted chance to come to one of these, under the best policy."""
        values = met.double().numpy()
        if not self.edges:
            return torch.from_numpy(values)
        # Sweeps are many and small: numpy has the least overhead. Rows of one latent lie together, so that reduceat
        # takes the best of them.
        nodes = np.fromiter(self.edges, int)
        first = np.concatenate([[0], np.cumsum([len(m) for m, _, _ in self.edges.values()])[:-1]])
        following = torch.cat([s for _, s, _ in self.edges.values()]).numpy()
        chance = torch.cat([c for _, _, c in self.edges.values()]).double().numpy()
        for _ in range(SWEEPS):
            best = DISCOUNT * np.maximum.reduceat((chance * values[following]).sum(1), first)
            best = np.where(met.numpy()[nodes], 1.0, best)
            change = np.abs(best - values[nodes]).max()
            values[nodes] = best
            if change < TOLERANCE:
                break
        return torch.from_numpy(values)

    def follow(self, values: Tensor, horizon: int) -> PlanResult:
        path, macros, sure = [0], [], True
        while sure and values[path[-1]] < 1 and path[-1] in self.edges and len(macros) < horizon:
            options, following, chance = self.edges[path[-1]]
            choice = int((chance * values[following]).sum(1).argmax())
            likeliest = int(chance[choice].argmax())
            sure = float(chance[choice, likeliest]) >= SURE
            macros.append(options[choice])
            path.append(int(following[choice, likeliest]))
        return PlanResult(
            macros=torch.stack(macros) if macros else torch.empty(0, dtype=torch.long),
            latents=self.latents[path],
            energies=self.energies[path],
            costs=torch.ones(len(macros)),
            reached=bool(self.energies[path[-1]] <= self.goal.threshold),
            evaluations=self.evaluations,
        )
