"""The goal-decomposition controller: plan top down, watch every level, repair the lowest one that explains an error.

Each level k has a *course*: its plan, and which hop of it is under way. The predicted latent at the end of that hop is
the subgoal of level k - 1; the last hop of a plan that reaches its goal may hand the goal itself down. One level is the
flat agent: the same code with nothing to decompose.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hplan.control.course import NEARBY, ControlConfig, Course, Ledger, any_action, imagine_rest, plan_nodes
from hplan.control.decompose import Decomposition
from hplan.control.memory import memories_for, together
from hplan.control.patience import Patience
from hplan.control.plan_tree import ROOT, PlanTree
from hplan.control.stall import Stall
from hplan.control.surprise import Surprise
from hplan.models.calibration import Calibration
from hplan.planning.energy import Goal, reached
from hplan.types import Cause, Energy, Planner, PlanResult, Repair, WorldModel

Replan = Literal["surprise", "clock", "never"]


class Controller:
    """Acts towards one goal in one episode. `levels` from the finest up, one planner each."""

    def __init__(
        self,
        levels: tuple[WorldModel, ...],
        planners: tuple[Planner, ...],
        calibration: tuple[Calibration, ...],
        goal: Goal,
        *,
        replan: Replan = "surprise",
        config: ControlConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        self.levels, self.planners, self.replan, self.generator = levels, planners, replan, generator
        self.config = config = config or ControlConfig()
        self.courses = Decomposition(levels, goal, tolerance=config.subgoal_tolerance, subgoals=config.subgoals)
        self.memories = memories_for(levels, config)
        self.tree = PlanTree.empty(goal.label, levels=len(levels))
        self.ledger, self.step = Ledger(), 0
        self.surprise = Surprise(levels, calibration, config)
        self.last_repair: Repair | None = None
        self.cause: Cause = "start"
        self.stall = Stall(levels[0], config.stall, config.stalls)
        self.patience = Patience(levels, planners, config, repairs=replan != "never")

    @torch.inference_mode()
    def act(self, latents: tuple[Tensor, ...]) -> Tensor:
        """One (*z) per level, of the observation that is there now -> the level-0 macro-action to take, () or (A,)."""
        if self.step:
            self._watch(latents)
        self._decompose(latents)
        course = self.courses.under_way(0)
        self.step += 1
        if len(course.result):
            return course.result.macros[course.hop]
        self.courses[0] = None  # nothing known leads on: do something that play showed to be possible
        return any_action(self.levels[0], latents[0], self.generator)

    # ----------------------------------------------------------------------------------------------------- watching

    def _watch(self, latents: tuple[Tensor, ...]) -> None:
        """Compare what happened with what each level expected; move on, or drop what no longer holds."""
        self.last_repair = None
        self._stall(latents)
        arrived = [k == 0 or self.courses.subgoal_reached(k, latents) for k in range(self.courses.top + 1)]
        for k, finished in enumerate(arrived):
            course = self.courses[k]
            if course is None:
                continue
            self.surprise.measure(k, course, latents[k])
            if not len(course.result):  # its goal was met already, or it knows no way: the levels below see to the rest
                met = course.result.reached
                if (met and not reached(course.goal, latents[k])) or (not met and self.courses[k - 1] is None):
                    self._advance(k, course, latents[k])
                continue
            node = self.tree.node(course.nodes[course.hop])
            self.tree = self.tree.update(node.id, spent_steps=node.spent_steps + 1)
            if self.replan == "surprise" and self.surprise.exceeded(k) and not (k and finished):
                if k == 0 and self.levels[0].exact:  # what it imagined is not so: it must not be imagined for ever
                    self.memories[0] = self.memories[0].add(course.result.latents[course.hop], course.target())
                if not self._holds(k, latents):
                    self._drop(k, "surprise")
            elif self.replan == "clock" and self.step - course.planned >= max(self.levels[k].stride, 1):
                self._drop(k, "clock")
            elif finished:
                self._advance(k, course, latents[k])
            elif k and self.replan == "surprise" and course.overdue(self.step, self.levels[k], self.config):
                self._fail(k, "overrun")

    def _stall(self, latents: tuple[Tensor, ...]) -> None:
        """Level 0 expects to move, and does not: that step is refuted, and after a few of them the hop above failed."""
        course, above = self.courses[0], self.courses.above(0)
        refuted = self.stall.refuted(course.target() if course and len(course.result) else None, latents[0])
        if refuted and self.replan == "surprise":  # it must not be imagined for ever
            self.memories[0] = self.memories[0].add(*refuted)
        if above is not None and self.replan == "surprise" and self.stall.is_over():
            self._fail(above, "stall", by=0, start=latents[above])

    def _fail(self, k: int, cause: Cause, by: int | None = None, start: Tensor | None = None) -> int:
        """The hop that level k has under way does not work: remember it, from where it began or from `start`, and plan
        again. Where one hop of the level above has seen a few of its hops fail, it is itself what does not work.
        `by`: the level below that could not do it. Returns the level that plans again."""
        course, above = self.courses.under_way(k), self.courses.above(k)
        if (start is not None and course.is_left(self.levels[k], start)) or not self.patience.is_over(k, by, self.step):
            self._drop(k, cause)
            return k
        if k == self.courses.highest:
            self.patience.look_farther()
        self.memories[k] = self.memories[k].add(course.start if start is None else start, course.target())
        if above is not None and (parent := self.courses[above]) is not None:
            parent.failures += 1
            if parent.failures >= self.config.tries:
                return self._fail(above, cause)
        self._drop(k, cause)
        return k

    def _holds(self, k: int, latents: tuple[Tensor, ...]) -> bool:
        """Whether a surprise of level k changes nothing: level 0's plan, imagined again from where it really is, still
        leads to its goal. It is kept, and what is expected is brought up to date."""
        course, own = self.courses[0], self.courses[k]
        if course is None or own is None:
            return False
        hop = course.hop + (k == 0)  # of level 0: after itself, every level finds it moved on
        rest = imagine_rest(self.levels[0], course, hop, latents[0])
        self._count(rest.evaluations, course.nodes[course.hop] if k == 0 else ROOT)
        if not len(rest) or not rest.reached:
            return False
        if k:
            own.start = latents[k]
        else:
            self._mark(course, "reached")
            self.courses[0] = self._course(0, course.goal, rest, course.nodes[hop:], latents[0])
        self._report(k, "surprise", dropped=0)
        return True

    def _advance(self, k: int, course: Course, z: Tensor) -> None:
        """The hop is done: the next one begins, or the plan is used up."""
        self._mark(course, "reached")
        self.courses.courses[:k] = [None] * k
        if k and (above := self.courses.above(k)) is not None and (parent := self.courses[above]) is not None:
            parent.failures = 0  # it gets on
        if k == self.courses.top and len(course.result):
            self.patience.renew()
        course.go_on(self.step, z)
        if course.hop >= len(course.result):
            self.courses[k] = None
            self.cause = "used-up"
        else:
            self.tree = self.tree.update(course.nodes[course.hop], status="active")

    def _drop(self, k: int, cause: Cause) -> None:
        """Throw away the plans of level k and below; what is above stays."""
        dropped = 0
        for lower in range(k + 1):
            course = self.courses[lower]
            if course is not None:
                dropped += len(course.result) - course.hop
                self._mark(course, "failed" if lower == k else "dropped")
                self.courses[lower] = None
        self.cause = cause
        self.ledger.repairs[k] = self.ledger.repairs.get(k, 0) + 1
        self._report(k, cause, dropped)

    def _report(self, k: int, cause: Cause, dropped: int) -> None:
        kept = sum(len(c.result) - c.hop for c in self.courses.courses if c is not None)
        self.last_repair = Repair(self.step, k, cause, self.surprise.now[k], self.surprise.threshold[k], kept, dropped)

    def _mark(self, course: Course, status: Literal["reached", "failed", "dropped"]) -> None:
        if course.hop < len(course.nodes) and course.nodes[course.hop] in self.tree:
            self.tree = self.tree.update(course.nodes[course.hop], status=status)

    # --------------------------------------------------------------------------------------------------- decomposing

    def _decompose(self, latents: tuple[Tensor, ...]) -> None:
        """Plan every level that has no plan, from the top down; a subgoal that cannot be reached is planned again."""
        glance = self.patience.glance
        k, instead = self.courses.top, self.config.evaluations  # for those below, where the highest knows no way
        while k >= 0:
            if k == self.courses.top and self.courses[k] is None:
                k, glance = self._within_reach(latents, glance), 0  # one glance a step is enough
            if self.courses[k] is not None:
                k -= 1
                continue
            goal, parent = self.courses.goal_of(k)
            result = self._plan(k, latents[k], goal, parent, self.config.evaluations)
            above = self.courses.above(k)
            hop = None if above is None or self.ledger.starved else self.courses[above]
            if above is not None and hop and self.patience.repairs(self.step, k, above, hop, result, goal):
                k = self._fail(above, "infeasible", by=k, start=latents[above] if self.levels[above].exact else None)
                continue
            if k == self.courses.highest and not result.reached and instead:
                k, instead = self._within_reach(latents, instead, farther=NEARBY), 0
                if k < self.courses.highest:
                    continue
            self._take(k, goal, parent, result, latents[k])
            k -= 1
        self.cause = ""

    def _within_reach(self, latents: tuple[Tensor, ...], glance: int, farther: float = 1.0) -> int:
        """The lowest level that finds the goal (or what is `farther` times as far off) at a glance, as does every one
        between, and then has a plan; else the highest, which has none. Level 0 need not look: a hop of level 1 does."""
        found = None
        for k in range(self.courses.highest - 1, 0, -1) if glance else ():
            goal, self.courses.top = self.courses.goal.at(k), k
            if goal is None or not self.patience.complete(k):
                break
            result = self._plan(k, latents[k], goal, ROOT, glance)
            if not len(result) or float(result.energies[-1]) > farther * goal.threshold:
                break
            found, glance = (k, goal, ROOT, result, latents[k]), self.config.glance
        self.courses.top = found[0] if found else self.courses.highest
        if found:
            self._take(*found)
        return self.courses.top

    def _plan(self, k: int, z: Tensor, goal: Energy, parent: int, evaluations: int) -> PlanResult:
        """One call of a planner, which spends no more than what is left to this step of the episode."""
        budget = self.ledger.grant(k, evaluations, self.step, self.config)
        corridor = self.courses.corridor(k) if self.patience.complete(k) else None
        self.memories[k] = self.memories[k].arrived(z)
        cost = together(self.memories[k], corridor)
        result = self.planners[k].plan(self.levels[k], z, goal, budget=budget, hop_cost=cost, generator=self.generator)
        if corridor and (above := self.courses.above(k)):
            self.memories[above] = corridor.taught(self.memories[above], result, budget)
        self._count(result.evaluations, parent)
        return result

    def _count(self, evaluations: int, parent: int) -> None:
        """What was spent to refine a node is spent for all that it serves."""
        self.ledger.evaluations += evaluations
        self.tree = self.tree.charge(parent, evaluations)

    def _take(self, k: int, goal: Energy, parent: int, result: PlanResult, z: Tensor) -> None:
        above = self.courses.above(k)
        if above is not None and (hop := self.courses[above]) is not None and not hop.duration and result.reached:
            hop.duration = len(result) * self.levels[k].stride
            self.tree = self.tree.update(hop.nodes[hop.hop], expected_steps=hop.duration)
        hands_goal = self.courses.hands_goal(k, goal, result)
        nodes = plan_nodes(self.levels[k], result, z, self.cause, hands_goal=hands_goal)
        first = self.tree.next_id
        if nodes:
            self.tree = self.tree.add(parent, nodes)
        self.courses[k] = self._course(k, goal, result, tuple(range(first, first + len(nodes))), z)

    def _course(self, k: int, goal: Energy, result: PlanResult, nodes: tuple[int, ...], z: Tensor) -> Course:
        """The first hop of a plan begins."""
        if nodes:
            self.tree = self.tree.update(nodes[0], status="active")
        expected = self.levels[k].uncertainty(result.latents[:-1], result.macros).cumsum(0)
        return Course(goal, result, nodes, self.courses.hands_goal(k, goal, result), z, self.step, expected)
