"""The goal-decomposition controller: plan top down, watch every level, repair the lowest one that explains an error.

Each level k has a *course*: its plan, and which hop of it is under way. The predicted latent at the end of that hop is
the subgoal of level k - 1; the last hop of a plan that reaches its goal hands the goal itself down. One level is the
flat agent: the same code with nothing to decompose.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hplan.control.course import ControlConfig, Course, Ledger, any_action, plan_nodes
from hplan.control.memory import Sum, WithinHop, memories_for
from hplan.control.plan_tree import ROOT, PlanTree
from hplan.control.stall import Stall
from hplan.planning.energy import GivenEnergy, Goal, Lifted, NearLatent, reached
from hplan.types import Budget, Cause, Energy, HopCost, Planner, PlanResult, Repair, WorldModel

Replan = Literal["surprise", "clock", "never"]


class Controller:
    """Acts towards one goal in one episode. `levels` from the finest up, one planner each."""

    def __init__(
        self,
        levels: tuple[WorldModel, ...],
        planners: tuple[Planner, ...],
        thresholds: tuple[float, ...],
        goal: Goal,
        *,
        replan: Replan = "surprise",
        config: ControlConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.levels, self.planners, self.thresholds, self.goal = levels, planners, thresholds, goal
        self.replan, self.config, self.generator = replan, config or ControlConfig(), generator
        # A level takes part where it can tell how far the goal is, and so does every level below it.
        self.top = max((k for k in range(len(levels)) if goal.at(k) is not None), default=0)
        if not self.config.subgoals and (energy := goal.at(self.top)) is not None:
            self.goal, self.top = GivenEnergy(self._lift(energy, self.top, 0), goal.label), 0
        self.courses: list[Course | None] = [None] * len(levels)
        self.memories = memories_for(levels, self.config)
        self.tree = PlanTree.empty(goal.label, levels=len(levels))
        self.ledger, self.step = Ledger(), 0
        self.surprise: dict[int, float] = dict.fromkeys(range(len(levels)), 0.0)
        self.last_repair: Repair | None = None
        self.cause: Cause = "start"
        self.stall = Stall(levels[0], self.config.stall, self.config.stalls)

    # ------------------------------------------------------------------------------------------------------- acting

    @torch.inference_mode()
    def act(self, latents: tuple[Tensor, ...]) -> Tensor:
        """One (*z) per level, of the observation that is there now -> the level-0 macro-action to take, () or (A,)."""
        if self.step:
            self._watch(latents)
        self._decompose(latents)
        course = self.courses[0]
        assert course is not None
        if not len(course.result):  # nothing known leads on: do something that play showed to be possible
            self.courses[0] = None
            action = any_action(self.levels[0], latents[0], self.generator)
        else:
            action = course.result.macros[course.hop]
        self.step += 1
        return action

    # ----------------------------------------------------------------------------------------------------- watching

    def _watch(self, latents: tuple[Tensor, ...]) -> None:
        """Compare what happened with what each level expected; move on, or drop what no longer holds."""
        self.last_repair = None
        self._stall(latents)
        arrived = [k == 0 or self._subgoal_reached(k, latents) for k in range(self.top + 1)]
        for k, finished in enumerate(arrived):
            course = self.courses[k]
            if course is None:
                continue
            self._spend(course)
            self._measure(k, course, latents[k])
            if not len(course.result):  # its goal was met already, and the levels below see to the rest
                if not reached(course.goal, latents[k]):
                    self._advance(k, course, latents[k])
                continue
            if self.replan == "surprise" and self.surprise[k] > self.thresholds[k] and not (k and finished):
                if k == 0 and self.levels[0].exact:  # what it imagined is not so: it must not be imagined for ever
                    self.memories[0] = self.memories[0].add(course.result.latents[course.hop], course.target())
                self._drop(k, "surprise", latents)
            elif self.replan == "clock" and self.step - course.since >= max(self.levels[k].stride, 1):
                self._drop(k, "clock", latents)
            elif finished:
                self._advance(k, course, latents[k])
            elif k and self.replan == "surprise" and self.step - course.since > self._patience(k):
                self._failed(k)
                self._drop(k, "overrun", latents)

    def _stall(self, latents: tuple[Tensor, ...]) -> None:
        """Level 0 expects to move, and does not: that step is refuted, and after a few of them the hop above failed."""
        course, above = self.courses[0], self._above(0)
        refuted = self.stall.refuted(course.target() if course and len(course.result) else None, latents[0])
        if refuted is None or self.replan != "surprise":
            return
        self.memories[0] = self.memories[0].add(*refuted)  # it must not be imagined for ever
        if above is not None and self.stall.is_over():
            self._failed(above, latents[above])
            self._drop(above, "stall", latents)

    def _failed(self, k: int, start: Tensor | None = None) -> None:
        """Remember the hop that level k has under way, from where it began or from `start`."""
        course = self.courses[k]
        assert course is not None
        self.memories[k] = self.memories[k].add(course.start if start is None else start, course.target())

    def _measure(self, k: int, course: Course, z: Tensor) -> None:
        """Level 0 must be where it was predicted; a level above on the way from where its hop began to where it ends,
        as far from the nearer of the two as play was at any moment of a step (which is what thresholds are for), and by
        as much as the controller itself let the hop begin off its planned start."""
        expected = [course.target()] if k == 0 else [course.target(), course.start]
        nearest = min(float(self.levels[k].distance(z[None], e[None])[0]) for e in expected)
        allowed = 0.0 if k == 0 or self.levels[k].exact else self.config.subgoal_tolerance
        self.surprise[k] = max(nearest - allowed, 0.0) if len(course.result) else 0.0

    def _subgoal_reached(self, k: int, latents: tuple[Tensor, ...]) -> bool:
        """Whether the level that carries out the hop of level k has arrived: the next one below with steps to take.

        A hop that hands the task's goal down is done when level 0 is there, not when a coarser level thinks so.
        """
        own = self.courses[k]
        if own is not None and own.hands_goal and own.at_last and self._is_task_goal(k):
            energy = self.goal.at(0)
            return energy is not None and reached(energy, latents[0])
        below = k - 1
        while below > 0 and (course := self.courses[below]) is not None and not len(course.result):
            below -= 1
        course = self.courses[below]
        return course is not None and reached(course.goal, latents[below])

    def _patience(self, k: int) -> float:
        return self.config.patience * self.levels[k].stride + self.config.slack

    def _spend(self, course: Course) -> None:
        if course.hop < len(course.nodes):
            node = self.tree.node(course.nodes[course.hop])
            self.tree = self.tree.update(node.id, spent_steps=node.spent_steps + 1)

    def _advance(self, k: int, course: Course, z: Tensor) -> None:
        """The hop is done: the next one begins, or the plan is used up."""
        self._mark(course, "reached")
        for lower in range(k):
            self.courses[lower] = None
        course.hop, course.since, course.start = course.hop + 1, self.step, z
        if course.hop >= len(course.result):
            self.courses[k] = None
            self.cause = "used-up"
        elif course.hop < len(course.nodes):
            self.tree = self.tree.update(course.nodes[course.hop], status="active")

    def _drop(self, k: int, cause: Cause, latents: tuple[Tensor, ...]) -> None:
        """Throw away the plans of level k and below; what is above stays."""
        dropped = 0
        for lower in range(k + 1):
            course = self.courses[lower]
            if course is not None:
                dropped += len(course.result) - course.hop
                self._mark(course, "failed" if lower == k else "dropped")
                self.courses[lower] = None
        kept = sum(len(c.result) - c.hop for c in self.courses[k + 1 :] if c is not None)
        self.cause = cause
        self.ledger.repairs[k] = self.ledger.repairs.get(k, 0) + 1
        self.last_repair = Repair(self.step, k, cause, self.surprise[k], self.thresholds[k], kept, dropped)

    def _mark(self, course: Course, status: Literal["reached", "failed", "dropped"]) -> None:
        if course.hop < len(course.nodes) and course.nodes[course.hop] in self.tree:
            self.tree = self.tree.update(course.nodes[course.hop], status=status)

    # --------------------------------------------------------------------------------------------------- decomposing

    def _decompose(self, latents: tuple[Tensor, ...]) -> None:
        """Plan every level that has no plan, from the top down; a subgoal that cannot be reached is planned again."""
        retries, k = self.config.retries if self.replan != "never" else 0, self.top
        while k >= 0:
            if self.courses[k] is not None:
                k -= 1
                continue
            goal, parent = self._goal_of(k)
            result = self._plan(k, latents[k], goal)
            above = self._above(k)
            if not result.reached and above is not None and retries and getattr(self.planners[k], "complete", False):
                retries -= 1
                self._failed(above)
                self._drop(above, "infeasible", latents)
                k = above
                continue
            self._take(k, goal, parent, result, latents[k])
            k -= 1
        self.cause = ""

    def _above(self, k: int) -> int | None:
        """The lowest level above k whose current hop gave level k its subgoal."""
        for upper in range(k + 1, self.top + 1):
            course = self.courses[upper]
            if course is not None and len(course.result):
                return upper
        return None

    def _goal_of(self, k: int) -> tuple[Energy, int]:
        """The energy that level k plans for, and the node of the plan tree that it refines."""
        above = self._above(k)
        if above is None:
            own = self.goal.at(k)
            assert own is not None
            return own, ROOT
        course = self.courses[above]
        assert course is not None
        node = course.nodes[course.hop]
        if course.hands_goal and course.at_last:
            own = self.goal.at(k) if course.goal is self.goal.at(above) or self._is_task_goal(above) else None
            energy: Energy = own or self._lift(course.goal, above, k)
        else:
            tolerance = self.config.subgoal_tolerance
            energy = self._lift(NearLatent(self.levels[above], course.target(), tolerance), above, k)
        return energy, node

    def _is_task_goal(self, k: int) -> bool:
        """Whether level k's goal is the task's own: every level above it is on a last hop that hands it down."""
        uppers = [c for c in self.courses[k + 1 : self.top + 1] if c is not None and len(c.result)]
        return all(c.hands_goal and c.at_last for c in uppers)

    def _lift(self, energy: Energy, above: int, k: int) -> Energy:
        for upper in range(above, k, -1):
            energy = Lifted(self.levels[upper], energy)
        return energy

    def _plan(self, k: int, z: Tensor, goal: Energy) -> PlanResult:
        budget = Budget(self.config.evaluations, self.config.horizon)
        costs: list[HopCost] = [self.memories[k]] if len(self.memories[k]) else []
        above = self._above(k)
        course = None if above is None or not self.levels[above].exact else self.courses[above]
        # Half way through a gradual step everything is far from both of its ends: only symbols can be kept inside one.
        if above is not None and course is not None and getattr(self.planners[k], "complete", False):
            costs.append(WithinHop(self.levels[k + 1 : above + 1], course.start, course.target(), allowance=0.0))
        cost = Sum(tuple(costs)) if costs else None
        result = self.planners[k].plan(self.levels[k], z, goal, budget=budget, hop_cost=cost, generator=self.generator)
        self.ledger.evaluations += result.evaluations
        self.ledger.planner_calls[k] = self.ledger.planner_calls.get(k, 0) + 1
        return result

    def _take(self, k: int, goal: Energy, parent: int, result: PlanResult, z: Tensor) -> None:
        nodes = plan_nodes(self.levels[k], result, z, self.cause)
        first = self.tree.next_id
        if nodes:
            self.tree = self.tree.add(parent, nodes)
        course = Course(goal, result, tuple(range(first, first + len(nodes))), result.reached, z, self.step)
        self.courses[k] = course
        for node in self.tree.ancestors(parent):
            self.tree = self.tree.update(node.id, evaluations=node.evaluations + result.evaluations)
