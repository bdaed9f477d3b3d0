"""What was decided and spent in one episode so far: plans and what came of them, plan tree, memory, bill."""

from __future__ import annotations

import warnings
from typing import Literal

from torch import Tensor

from hplan.control.decompose import Decomposition
from hplan.control.memory import memories_for
from hplan.control.plan_tree import ROOT, PlanTree
from hplan.control.plans import ControlConfig, Ledger, LevelPlan, plan_nodes
from hplan.control.retry import Retries
from hplan.control.surprise import Surprise
from hplan.planning.energy import Goal
from hplan.types import Cause, Energy, ForbiddenWarning, PlanResult, Repair, WorldModel, is_spelled


class Execution:
    """A plan begins, its subgoal steps succeed or fail, it is dropped: all that changes a plan goes through here.

    `step`: environment steps so far; `cause`: why the next plan is made; `last_repair`: of the latest step, if any.
    """

    def __init__(
        self, levels: tuple[WorldModel, ...], goal: Goal, config: ControlConfig, retries: Retries, surprise: Surprise
    ) -> None:
        self.levels, self.config, self.retries, self.surprise = levels, config, retries, surprise
        self.plans = Decomposition(levels, goal, tolerance=config.subgoal_tolerance, subgoals=config.subgoals)
        self.memories = memories_for(levels, config)
        self.tree = PlanTree.empty(goal.label, levels=len(levels))
        self.ledger, self.step = Ledger(), 0
        self.last_repair: Repair | None = None
        self.cause: Cause = "start"

    def begin(self, k: int, goal: Energy, parent: int, result: PlanResult, z: Tensor) -> None:
        """Level k, at z (*z), carries out a plan for `goal` from now on, which refines that node of the tree."""
        above = self.plans.above(k)
        if above is not None and (upper := self.plans[above]) is not None and not upper.duration and result.reached:
            upper.duration = len(result) * self.levels[k].stride
            self.tree = self.tree.update(upper.nodes[upper.at], expected_steps=upper.duration)
        if above is not None and is_spelled(self.levels[k]) and result.reached:
            self.plans.under_way(above).failures = 0
        hands_goal = self.plans.hands_goal(k, goal, result)
        nodes = plan_nodes(self.levels[k], result, z, self.cause, hands_goal=hands_goal)
        first = self.tree.next_id
        if nodes:
            self.tree = self.tree.add(parent, nodes)
        self._begin(k, goal, result, tuple(range(first, first + len(nodes))), z, hands_goal)

    def keep(self, k: int, rest: PlanResult | None, z: Tensor) -> None:
        """Level k was surprised and its plan holds, from z (*z) on. Of level 0, `rest` is what is left of it."""
        plan = self.plans.under_way(k)
        if rest is None:
            plan.start = z
        else:
            self._mark(plan, "reached")
            nodes, hands_goal = plan.nodes[plan.at + 1 :], self.plans.hands_goal(k, plan.goal, rest)
            self._begin(k, plan.goal, rest, nodes, z, hands_goal)
        self._report(k, "surprise", dropped=0)

    def advance(self, k: int, z: Tensor, status: Literal["reached", "failed"] = "reached") -> None:
        """The subgoal step is over: the next one begins, or the plan is used up."""
        plan = self.plans.under_way(k)
        self._mark(plan, status)
        self.plans.plans[:k] = [None] * k
        above = self.plans.above(k) if k and not is_spelled(self.levels[k]) else None  # a word is done, whatever it did
        if above is not None and (parent := self.plans[above]) is not None:
            parent.failures = 0  # it gets on
        if k == self.plans.top and len(plan.result):
            self.retries.renew()
        plan.go_on(self.step, z)
        if plan.at >= len(plan.result):
            self.plans[k] = None
            self.cause = "used-up"
        else:
            self.tree = self.tree.update(plan.nodes[plan.at], status="active")

    def fail(self, k: int, cause: Cause, by: int | None = None, start: Tensor | None = None) -> int:
        """The subgoal step that level k has under way does not work: remember it, from where it began or from `start`,
        and plan again. Where one subgoal step of the level above has seen a few of its subgoal steps fail, it is itself
        what does not work. `by`: the level below that could not do it. Returns the level that plans again."""
        plan, above = self.plans.under_way(k), self.plans.above(k)
        if (start is not None and plan.is_left(self.levels[k], start)) or not self.retries.is_over(k, by, self.step):
            self.drop(k, cause)
            return k
        if k == self.plans.highest:
            self.retries.look_farther()
        self.memories[k] = self.memories[k].add(plan.start if start is None else start, plan.target())
        if above is not None and (parent := self.plans[above]) is not None:
            parent.failures += 1
            if parent.failures >= self.config.failures:
                return self.fail(above, cause)
        self.drop(k, cause)
        return k

    def refuse(self) -> None:
        """The goal can only be had by what is forbidden, as far as is known: the tree says so, and once a warning."""
        if self.tree.root.cause == "forbidden":
            return
        self.tree = self.tree.update(ROOT, cause="forbidden")
        warnings.warn(
            f"{self.tree.root.label}: refused, since as far as the agent knows it can only be had by breaking a "
            "constraint. It goes as near as is allowed; lift the constraint, or give another goal",
            ForbiddenWarning,
            stacklevel=2,
        )

    def remember_failure(self, start: Tensor, end: Tensor) -> None:
        """Level 0 took a step from `start` that should have led to `end`, and did not: it must not be imagined for
        ever."""
        self.memories[0] = self.memories[0].add(start, end)

    def drop(self, k: int, cause: Cause) -> None:
        """Throw away the plans of level k and below; what is above stays."""
        dropped = 0
        for lower in range(k + 1):
            plan = self.plans[lower]
            if plan is not None:
                dropped += len(plan.result) - plan.at
                self._mark(plan, "failed" if lower == k else "dropped")
                self.plans[lower] = None
        self.cause = cause
        self.ledger.repairs[k] = self.ledger.repairs.get(k, 0) + 1
        self._report(k, cause, dropped)

    def count(self, evaluations: int, node: int) -> None:
        """What was spent to refine a node is spent for all that it serves."""
        self.ledger.evaluations += evaluations
        self.tree = self.tree.charge(node, evaluations)

    def _begin(
        self, k: int, goal: Energy, result: PlanResult, nodes: tuple[int, ...], z: Tensor, hands_goal: bool
    ) -> None:
        """The first subgoal step of a plan begins."""
        if nodes:
            self.tree = self.tree.update(nodes[0], status="active")
        expected = self.levels[k].uncertainty(result.latents[:-1], result.macros).cumsum(0)
        self.plans[k] = LevelPlan(goal, result, nodes, hands_goal, z, self.step, expected)

    def _report(self, k: int, cause: Cause, dropped: int) -> None:
        kept = sum(len(c.result) - c.at for c in self.plans.plans if c is not None)
        self.last_repair = Repair(self.step, k, cause, self.surprise.now[k], self.surprise.threshold[k], kept, dropped)

    def _mark(self, plan: LevelPlan, status: Literal["reached", "failed", "dropped"]) -> None:
        if plan.at < len(plan.nodes) and plan.nodes[plan.at] in self.tree:
            self.tree = self.tree.update(plan.nodes[plan.at], status=status)
