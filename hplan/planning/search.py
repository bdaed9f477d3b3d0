"""Best-first search over discrete macro-actions in latent space, with merging of equal latents."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from hplan.planning.proposal import PriorProposal
from hplan.types import Budget, Energy, PlanResult, Proposal, StepCost, WorldModel
from hplan.validation import Count, NonNegative, Share

PRIOR_WEIGHT = 1.0  # steps that a macro-action costs for each nat by which it is unlikely
COMPATIBILITY_WEIGHT = 1.0  # steps of cost of a step for each unit of energy above what real steps have
UNCERTAINTY_WEIGHT = 1.0  # steps of cost of a step for each step by which its end may be off, beyond the first
FLOORS = (0.005, 0.0)  # macro-actions less probable than this are not tried, unless the search above failed
SMALL = 4096  # evaluations that are not shared out between the rounds of a search
LEAST = 1.0 - 1e-6  # that a step costs, but for rounding
FINER = 0.1  # steps within which latents are merged, where a search found nothing more to try
WORTH = 32  # times what that search took are spent on it at the most
INFORMED = 8  # steps imagined at once where the way to the goal is known: more are mostly beside it


class BestFirstSearch:
    """Uniform-cost search (Dijkstra) on the graph that a level's predictor unfolds.

    Cost of a step: 1 - `prior_weight` * log p(m | z) + `step_cost` + `compatibility_weight` * its energy, where that is
    above what real steps have + `uncertainty_weight` * the steps by which it may end elsewhere, beyond the first: a
    sure detour beats a gamble. Nodes whose `level.keys` are equal are merged. What a step costs by the prior is known
    before it is imagined, so steps rather than nodes wait in the queue, and the predictor is asked only about those
    that cost no more than the way to the goal, but for the rest of its last batch (as in partial expansion; Yoshizumi,
    Miura and Ishida, 2000). Steps within one least step of the cheapest cannot follow from one another: up to `batch`
    of them go into one call of the predictor.

    Where the goal tells how many steps are `left` to it at least (`hplan.planning.energy.Informed`), the search is A*
    (Hart, Nilsson and Raphael, 1968), and nothing is imagined from where there is no way.

    The search starts narrow and widens only while the goal is not reached (`PriorProposal`). Where nothing is left to
    try, it begins again with latents merged only within `FINER` steps. Where the goal never is reached, the answer is
    the path to the least energy.
    """

    complete = True  # where it fails, no plan exists within the budget, as far as the level's model knows

    def __init__(
        self,
        *,
        prior_weight: NonNegative = PRIOR_WEIGHT,
        compatibility_weight: NonNegative = COMPATIBILITY_WEIGHT,
        uncertainty_weight: NonNegative = UNCERTAINTY_WEIGHT,
        floors: Annotated[tuple[Share, ...], Field(strict=False, min_length=1)] = FLOORS,
        widest: Count = 16,
        batch: Count = 64,
        proposal: Callable[..., Proposal] = PriorProposal,
    ) -> None:
        """`widest`: macro-actions tried at one node at the most, until at the last floor all are. `proposal`: made with
        `floors` and `widest`, says which macro-actions are tried in which round."""
        self.prior_weight, self.compatibility_weight = prior_weight, compatibility_weight
        self.uncertainty_weight = uncertainty_weight
        self.proposal, self.batch = proposal(floors=tuple(floors), widest=widest), batch

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
        tree = _Tree(level, start, goal, budget.horizon)
        spent = self._widening(tree, budget.evaluations, step_cost)
        if not tree.reached and spent < budget.evaluations and not level.capabilities.discrete:
            # Nothing is left to try: what was merged may have been several places.
            tree = _Tree(level, start, goal, budget.horizon, nearest=FINER, evaluations=spent)
            self._widening(tree, min(budget.evaluations, WORTH * spent), step_cost)
        return tree.path()

    def _widening(self, tree: _Tree, evaluations: int, step_cost: StepCost | None) -> int:
        """Search narrowly at first, in as many rounds as the proposal has. Returns what was spent."""
        last = self.proposal.rounds - 1
        for turn in range(last + 1):
            tree.widen(turn)
            self._grow(tree, evaluations if turn == last else _narrow(evaluations), step_cost)
            if tree.reached or tree.evaluations >= evaluations:
                break
        return tree.evaluations

    def _grow(self, tree: _Tree, evaluations: int, step_cost: StepCost | None) -> None:
        """Imagine steps until the goal is reached at least cost, so many are spent in all, or none is left."""
        while (cheapest := tree.cheapest()) < tree.goal_cost:
            room = min(INFORMED if tree.left else self.batch, evaluations - tree.evaluations)
            if room <= 0:
                return
            limit = min(cheapest + LEAST * tree.least, tree.goal_cost)
            if nodes := [node for *_, node in tree.pop(tree.closed, limit, self.batch)]:
                self._open(tree, nodes)
            elif steps := tree.pop(tree.steps, limit, room):
                _, _, nodes, costs, macros = zip(*steps, strict=True)
                z = tree.latents(nodes)
                macro = torch.tensor(macros, device=z.device)
                following = tree.level.predict(z, macro)
                extra = self._extra(tree.level, z, macro, following, step_cost)
                tree.add(nodes, macros, following, [cost + more for cost, more in zip(costs, extra, strict=True)])

    def _open(self, tree: _Tree, nodes: Sequence[int]) -> None:
        """What can follow these nodes joins the queue."""
        log_p = tree.level.prior(tree.latents(nodes))
        costs, rounds = 1.0 - self.prior_weight * log_p, self.proposal(log_p, tree.level.macro.size)
        rows, macros = torch.nonzero(rounds >= 0, as_tuple=True)
        tree.open(nodes, rows, macros, costs[rows, macros], rounds[rows, macros])

    def _extra(
        self, level: WorldModel, z: Tensor, macro: Tensor, following: Tensor, step_cost: StepCost | None
    ) -> list[float]:
        """What steps cost beyond the prior."""
        cost = torch.zeros(len(z), device=z.device) if step_cost is None else step_cost(z, following)
        if self.uncertainty_weight:
            cost = cost + self.uncertainty_weight * (level.uncertainty(z, macro) - 1).clamp(min=0)
        if self.compatibility_weight and level.compatibility is not None:
            cost = cost + self.compatibility_weight * level.compatibility(z, following).clamp(min=0)
        return cost.tolist()


def _narrow(evaluations: int) -> int:
    """What the rounds before the last may spend of a budget: two thirds, so that what they never try can still be
    found. All of a small one: to look everywhere with it is to look nowhere."""
    return max(2 * evaluations // 3, min(evaluations, SMALL))


@dataclass(frozen=True, slots=True)
class _Node:
    """A latent (*z), and how it was reached: from which node (-1: the start), by what, at what cost from the start."""

    latent: Tensor
    key: bytes  # equal for latents that are merged
    energy: float
    parent: int = -1
    macro: int = -1
    cost: float = 0.0
    depth: int = 0
    rest: float = 0.0  # cost from here to the goal, at least


class _Tree:
    """The search tree: nodes, queues of what to look at next, and a table of merged latents.

    A cheaper way to a known latent is a node of its own. The old one stays for the paths through it, and leads no
    further.
    """

    def __init__(
        self,
        level: WorldModel,
        start: Tensor,
        goal: Energy,
        horizon: int,
        *,
        least: float = 1.0,
        nearest: float = 0.0,
        evaluations: int = 0,
    ) -> None:
        """`least`: that any step costs. `nearest`: steps within which latents are merged; 0: as `level.keys` has it.
        `evaluations`: spent before."""
        self.level, self.goal, self.horizon, self.least = level, goal, horizon, least
        self.nearest, self.apart = nearest, start[:0].new_zeros((0, *start.shape))
        self.left: Callable[[Tensor], Tensor] | None = getattr(goal, "left", None)
        energy = goal(start[None])
        root = _Node(start, self._keys(start[None])[0], float(energy[0]), rest=self._rest(start[None], energy)[0])
        self.nodes, self.known = [root], {root.key: 0}
        self.goal_node = 0 if root.energy <= goal.threshold else -1
        self.turn, self.evaluations = 0, evaluations
        # Queues are ordered by what a way to the goal costs at least, or one step more where nothing is known of it.
        # Of equal ones those come first which are nearer to the goal.
        self.closed: list[tuple[float, float, int]] = []  # (cost, rest, node) without a prior
        self.steps: list[tuple[float, float, int, float, int]] = []  # (cost, rest, node, its own cost, macro)
        self.later: list[tuple[int, Any]] = []  # (round, step) for when the search is wider
        self._wait(0)

    @property
    def reached(self) -> bool:
        return self.goal_node >= 0

    @property
    def goal_cost(self) -> float:
        """Of the cheapest known way to the goal."""
        return self.nodes[self.goal_node].cost if self.reached else math.inf

    def novel(self, key: bytes) -> bool:
        """Whether a latent that was not met before is kept."""
        return True

    def _rest(self, z: Tensor, energies: Tensor) -> list[float]:
        """Cost that is left to the goal from each of (B, *z), at least. No less for rounding: what is far along the way
        would come after all that is as good and has hardly begun."""
        if self.left is None:
            return [0.0] * len(z)
        return torch.where(energies <= self.goal.threshold, 0.0, self.least * self.left(z)).tolist()

    def _wait(self, number: int) -> None:
        node = self.nodes[number]
        if node.depth < self.horizon and math.isfinite(node.rest):
            heapq.heappush(self.closed, (node.cost + max(node.rest, LEAST * self.least), node.rest, number))

    def cheapest(self) -> float:
        """The least cost of anything that is not imagined yet in this round."""
        return min((queue[0][0] for queue in (self.closed, self.steps) if queue), default=math.inf)

    def latents(self, nodes: Sequence[int]) -> Tensor:
        return torch.stack([self.nodes[n].latent for n in nodes])

    def widen(self, turn: int) -> None:
        """Begin a round: what was kept for it joins the queue."""
        self.turn = turn
        self.steps += [step for later, step in self.later if later == turn]
        self.later = [(later, step) for later, step in self.later if later > turn]
        heapq.heapify(self.steps)

    def pop(self, queue: list[Any], limit: float, most: int) -> list[Any]:
        """The cheapest of a queue that cost less than `limit`, without nodes that a cheaper one has replaced."""
        taken = []
        while queue and queue[0][0] < limit and len(taken) < most:
            entry = heapq.heappop(queue)
            if self.known[self.nodes[entry[2]].key] == entry[2]:
                taken.append(entry)
        return taken

    def open(self, nodes: Sequence[int], rows: Tensor, macros: Tensor, costs: Tensor, rounds: Tensor) -> None:
        """Steps (N,) from these nodes: from which of them, by what, at what cost, and in which round each is tried."""
        steps = zip(rows.tolist(), macros.tolist(), costs.tolist(), rounds.tolist(), strict=True)
        for row, macro, cost, turn in steps:
            node = self.nodes[nodes[row]]
            rest = max(node.rest - self.least, 0.0)  # after one step, at least
            step = (node.cost + cost + rest, rest, nodes[row], node.cost + cost, macro)
            if turn <= self.turn:
                heapq.heappush(self.steps, step)
            else:
                self.later.append((turn, step))

    def add(self, parents: Sequence[int], macros: Sequence[int], following: Tensor, costs: list[float]) -> None:
        """What the steps from `parents` led to, (B, *z), and what each path costs by now; infinite is forbidden."""
        self.evaluations += len(following)
        reached = self.goal(following)
        energies, rests, keys = reached.tolist(), self._rest(following, reached), self._keys(following)
        for i, (parent, cost, key) in enumerate(zip(parents, costs, keys, strict=True)):
            before = self.known.get(key)
            if cost >= (math.inf if before is None else self.nodes[before].cost):
                continue
            if before is None and not self.novel(key):
                continue
            number = self.known[key] = len(self.nodes)
            depth = self.nodes[parent].depth + 1
            self.nodes.append(_Node(following[i], key, energies[i], parent, macros[i], cost, depth, rests[i]))
            self._wait(number)
            if energies[i] <= self.goal.threshold and cost < self.goal_cost:
                self.goal_node = number

    def _keys(self, z: Tensor) -> list[bytes]:
        if not self.nearest:
            return [row.tobytes() for row in self.level.keys(z).numpy(force=True)]
        # the latent that each lies nearest to of those met before, else the first of these that it lies near
        away, numbers = self._apart(z, self.apart), torch.full((len(z),), -1)
        if away.shape[1]:
            least, nearest = away.min(1)
            numbers = torch.where(least <= self.nearest, nearest, -1)
        new = torch.nonzero(numbers < 0)[:, 0]
        near = self._apart(z[new], z[new]) <= self.nearest
        for i, row in enumerate(new.tolist()):
            if numbers[row] < 0:
                alike = new[near[i] & (numbers[new] < 0)]
                numbers[alike] = numbers[row] = len(self.apart)
                self.apart = torch.cat([self.apart, z[row : row + 1]])
        return [number.to_bytes(4) for number in numbers.tolist()]

    def _apart(self, z: Tensor, others: Tensor) -> Tensor:
        """(B, *z), (R, *z) -> (B, R): how far each of these lies from each of the others, in steps."""
        pairs = torch.cartesian_prod(torch.arange(len(z)), torch.arange(len(others))).view(-1, 2)
        return self.level.distance(z[pairs[:, 0]], others[pairs[:, 1]]).view(len(z), len(others))

    def path(self) -> PlanResult:
        """To the goal, else to the least energy."""
        number = self.goal_node
        if not self.reached:
            number = min(range(len(self.nodes)), key=lambda n: (self.nodes[n].energy, self.nodes[n].cost))
        path = [self.nodes[number]]
        while path[-1].parent >= 0:
            path.append(self.nodes[path[-1].parent])
        path.reverse()
        return PlanResult(
            macros=torch.tensor([node.macro for node in path[1:]], dtype=torch.long),
            latents=torch.stack([node.latent for node in path]),
            energies=torch.tensor([node.energy for node in path]),
            costs=torch.tensor([node.cost for node in path], dtype=torch.float64).diff().float(),
            reached=self.reached,
            evaluations=self.evaluations,
        )
