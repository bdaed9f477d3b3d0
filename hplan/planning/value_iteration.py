"""Planning where the same action may end in several ways: a policy over all that may follow, not a single path.

Search on the likeliest outcome walks along cliffs and hopes. Here every outcome that the level holds possible counts,
and value iteration finds what to do in each of the latents. A level of few latents knows all of them (`types.WorldModel
.process`); of others the graph of what can be imagined from the start is unfolded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hplan.planning.energy import Return
from hplan.types import Budget, DecisionProcess, Energy, PlanResult, Returns, StepCost, WorldModel

DISCOUNT = 0.999  # of success per step: a sure way is worth a detour of about a thousand steps times the risk it avoids
TOLERANCE = 1e-6  # of a chance, or of the largest reward, between two sweeps
SWEEPS = 20_000
LEAST = 0.05  # outcomes less likely are noise: a dead end that leaked a little would be none in the long run
SURE = 0.9  # a step whose likeliest outcome is less likely than this ends the path
NEVER = -100.0  # log probability of what play never showed


class ValueIteration:
    """Maximises the discounted chance of reaching the goal; of a `Return`, the discounted rewards.

    Source: Bellman, 1957; for goals, the MAXPROB problem of Kolobov et al., 2011. The answer follows the policy up to
    and including the first step that may well end otherwise: what to do then depends on how it ended. The policy of a
    level's own process is kept, and looked up while level and goal stay the same.
    """

    def __init__(self) -> None:
        self._kept: tuple[DecisionProcess, Policy] | None = None

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
        process, spent = level.process, 0
        if process is None or step_cost is not None:
            if process is None:
                process, spent = unfolded(level, start, goal, budget.evaluations)
            process = allowed(process, step_cost)
            policy = policy_for(process, goal(process.latents), goal, start)
        else:
            energies = goal(process.latents)
            kept = self._kept
            if kept is not None and kept[0] is process and kept[1].is_for(energies, goal):
                policy = kept[1]
            else:
                policy = policy_for(process, energies, goal)
                self._kept = process, policy
            if not policy.knows(start):
                policy = policy_for(process, energies, goal, start)
        return policy.follow(start, budget.horizon, spent)


@dataclass(frozen=True, eq=False)
class Policy:
    """What to do at every latent of a process, and what that is worth, (N,). energies (N,) to the goal."""

    process: DecisionProcess
    goal: Energy
    energies: Tensor
    values: np.ndarray
    worth: np.ndarray  # (P,) of the pairs

    def is_for(self, energies: Tensor, goal: Energy) -> bool:
        """Whether this is the policy for a goal of these energies."""
        same = isinstance(goal, Return) == isinstance(self.goal, Return) and goal.threshold == self.goal.threshold
        return same and torch.equal(energies, self.energies)

    def knows(self, start: Tensor) -> bool:
        """Whether anything leads on from a latent (*z) to the goal."""
        number = int(self.process.number(start[None])[0])
        return isinstance(self.goal, Return) or self.values[number] > 0

    @cached_property
    def choice(self) -> np.ndarray:
        """(N,): the pair that is best at each latent, the first of equals; -1 where there is none."""
        node = self.process.node.numpy()
        found = np.full(len(self.values), -1)
        order = np.lexsort((-np.arange(len(node)), self.worth))  # the best last, and of equals the first
        found[node[order]] = order
        return found

    @cached_property
    def likeliest(self) -> tuple[np.ndarray, np.ndarray]:
        """(P,) each: where each pair most likely leads, and the chance of it."""
        pair, chance = self.process.pair.numpy(), self.process.chance.numpy()
        order = np.lexsort((-np.arange(len(pair)), chance))
        entry = np.zeros(len(self.worth), np.int64)
        entry[pair[order]] = order
        return self.process.following.numpy()[entry], chance[entry]

    def follow(self, start: Tensor, horizon: int, spent: int) -> PlanResult:
        process, sure = self.process, True
        returns = isinstance(self.goal, Return)
        following, chance = self.likeliest
        path, macros = [int(process.number(start[None])[0])], []
        while sure and (returns or self.values[path[-1]] < 1) and len(macros) < horizon:
            pair = self.choice[path[-1]]
            if pair < 0:
                break
            sure = bool(chance[pair] >= SURE)
            macros.append(int(process.macro[pair]))
            path.append(int(following[pair]))
        energies = self.energies[path]
        return PlanResult(
            macros=torch.tensor(macros, dtype=torch.long),
            latents=process.latents[path],
            energies=energies,
            costs=torch.ones(len(macros)),
            reached=bool(energies[-1] <= self.goal.threshold),
            evaluations=spent,
        )


def policy_for(process: DecisionProcess, energies: Tensor, goal: Energy, start: Tensor | None = None) -> Policy:
    """The best policy for a goal of these energies (N,). start (*z): where nothing leads to the goal from there, the
    least energy that anything leads to is the next best."""
    if isinstance(goal, Return):
        values = -energies.double().numpy()
        return Policy(process, goal, energies, values, _worth(process, values, *paid(process, goal.returns)))
    met = energies <= goal.threshold
    values = chances(process, met)
    if start is not None and not values[int(process.number(start[None])[0])]:
        there = reachable(process, start)
        values = chances(process, there & (energies <= energies[there].min()))
    nothing = np.zeros(len(process.node))
    return Policy(process, goal, energies, values, _worth(process, values, nothing, _discounted(process)))


def chances(process: DecisionProcess, met: Tensor) -> np.ndarray:
    """met (N,) bool -> (N,): each latent's discounted chance to come to one of these, under the best policy."""
    return solve(process, met.double().numpy(), met.numpy(), np.zeros(len(process.node)), _discounted(process))


def values_of(process: DecisionProcess, returns: Returns, nowhere: float) -> np.ndarray:
    """(N,): the discounted rewards that can be had from each latent, under the best policy. nowhere: what it is worth
    to be where nothing is known to follow."""
    reward, weight = paid(process, returns)
    initial = np.full(len(process.latents), nowhere)
    initial[process.node.numpy()] = 0.0
    return solve(process, initial, np.zeros(len(initial), bool), reward, weight)


def paid(process: DecisionProcess, returns: Returns) -> tuple[np.ndarray, np.ndarray]:
    """The mean reward of every pair (P,), and of every outcome (E,) its chance, times the discount of what follows."""
    z, following = process.latents[process.node[process.pair]], process.latents[process.following]
    reward, ends = returns.step(z, process.macro[process.pair], following)
    mean = torch.zeros(len(process.node), dtype=torch.double)
    mean.index_add_(0, process.pair, process.chance.double() * reward.double())
    return mean.numpy(), (process.chance.double() * returns.discount * (1 - ends.double())).numpy()


def solve(
    process: DecisionProcess, values: np.ndarray, fixed: np.ndarray, reward: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """V(n) = max over pairs p at n of  reward[p] + sum over outcomes e of p of weight[e] V(following[e]), by sweeps.

    values (N,): to begin with, and for good of latents that are `fixed` (N,) or have no pair. reward (P,), weight (E,).
    Sweeps are many and small: numpy has the least overhead. Pairs of one latent lie together, and outcomes of one pair,
    so that reduceat takes the best, and the sum.
    """
    values, node = values.copy(), process.node.numpy()
    if not len(node):
        return values
    first = np.flatnonzero(np.diff(node, prepend=-1))
    nodes, pairs, following = node[first], _firsts(process), process.following.numpy()
    keep, kept, enough = fixed[nodes], values[nodes], TOLERANCE * max(1.0, np.abs(reward).max())
    for _ in range(SWEEPS):
        best = np.maximum.reduceat(reward + np.add.reduceat(weight * values[following], pairs), first)
        best = np.where(keep, kept, best)
        change = np.abs(best - values[nodes]).max()
        values[nodes] = best
        if change <= enough:
            break
    return values


def allowed(process: DecisionProcess, step_cost: StepCost | None) -> DecisionProcess:
    """The process without the pairs of which an outcome costs infinitely much, however unlikely it is."""
    if step_cost is None or not len(process.node):
        return process
    z, following = process.latents[process.node[process.pair]], process.latents[process.following]
    forbidden = process.pair[step_cost(z, following).isinf() & (process.chance > 0)]
    kept = torch.ones(len(process.node), dtype=torch.bool).index_fill(0, forbidden, False)
    left = kept[process.pair]
    return replace(
        process,
        node=process.node[kept],
        macro=process.macro[kept],
        pair=(kept.long().cumsum(0) - 1)[process.pair[left]],
        following=process.following[left],
        chance=process.chance[left],
    )


def reachable(process: DecisionProcess, start: Tensor) -> Tensor:
    """(N,) bool: latents that may follow from one (*z) sooner or later, itself among them."""
    met = torch.zeros(len(process.latents), dtype=torch.bool)
    met[process.number(start[None])] = True
    source, count = process.node[process.pair], 0
    while count < (count := int(met.sum())):
        met[process.following[met[source] & (process.chance > 0)]] = True
    return met


def unfolded(level: WorldModel, start: Tensor, goal: Energy, evaluations: int) -> tuple[DecisionProcess, int]:
    """What the level can imagine from a latent (*z) on up to the goal, with so many predictor evaluations, and how many
    it took. Every latent is expanded by all macro-actions that play showed to be possible."""
    assert level.outcomes is not None
    latents, spent, found = start[None], 0, []
    keys, fresh = level.keys(latents), torch.nonzero(goal(latents) > goal.threshold)[:, 0]
    while len(fresh) and spent < evaluations:
        rows, macro = torch.nonzero(level.prior(latents[fresh]) > NEVER, as_tuple=True)
        rows, macro = rows[: evaluations - spent], macro[: evaluations - spent]
        if not len(rows):
            break
        following, chance = level.outcomes(latents[fresh][rows], macro)
        spent, chance = spent + len(rows), torch.where(chance < LEAST, 0.0, chance)
        every = torch.cat([keys, level.keys(following.flatten(0, 1))])
        same = torch.unique(every, dim=0, return_inverse=True)[1]
        order = torch.arange(len(every))
        first = torch.full_like(order, len(order)).scatter_reduce(0, same, order, "amin")[same]  # the same, met first
        new = order[(first == order) & (order >= len(keys))]
        number = order.clone()
        number[new] = len(keys) + torch.arange(len(new))
        found.append((fresh[rows], macro, number[first][len(keys) :].view(chance.shape), chance))
        fresh = number[new][goal(following.flatten(0, 1)[new - len(keys)]) > goal.threshold]
        latents = torch.cat([latents, following.flatten(0, 1)[new - len(keys)]])
        keys = torch.cat([keys, every[new]])
    none = torch.empty(0, dtype=torch.long)
    node, macro = (torch.cat([each[i] for each in found]) if found else none for i in (0, 1))
    chance = (
        torch.cat([(each[3] / each[3].sum(1, keepdim=True)).flatten() for each in found]) if found else none.double()
    )
    ends = torch.cat([each[2].flatten() for each in found]) if found else none
    count = torch.cat([torch.full((len(each[0]),), each[3].shape[1]) for each in found]) if found else none
    known = level.keys
    process = DecisionProcess(
        latents=latents,
        number=lambda z: (keys == known(z)[:, None]).all(-1).long().argmax(1),
        node=node,
        macro=macro,
        pair=torch.repeat_interleave(count),
        following=ends,
        chance=chance,
    )
    return process, spent


def _discounted(process: DecisionProcess) -> np.ndarray:
    return DISCOUNT * process.chance.double().numpy()


def _worth(process: DecisionProcess, values: np.ndarray, reward: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(P,): of each pair, its reward and what can be had after it."""
    if not len(process.node):
        return reward
    return reward + np.add.reduceat(weight * values[process.following.numpy()], _firsts(process))


def _firsts(process: DecisionProcess) -> np.ndarray:
    """(P,): the first outcome of each pair."""
    return np.flatnonzero(np.diff(process.pair.numpy(), prepend=-1))
