"""The goal-decomposition controller: plan top down, watch every level, repair the lowest one that explains an error.

Each level k has a plan, of which one step is under way. The predicted latent at the end of that step is the subgoal of
level k - 1; the last subgoal step of a plan that reaches its goal may hand the goal itself down. One level is the flat
agent: the same code with nothing to decompose.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from hplan.control.execution import Execution
from hplan.control.memory import together
from hplan.control.no_progress import NoProgress
from hplan.control.plan_tree import ROOT
from hplan.control.plans import ControlConfig, LevelPlan, any_action, imagine_rest
from hplan.control.retry import Retries
from hplan.control.surprise import Surprise
from hplan.control.top_down import TopDownPlanner
from hplan.levels.calibration import Calibration
from hplan.levels.exogenous import AsItStands, Exogenous, watched
from hplan.planning.constraints import NOTHING, Guard
from hplan.planning.energy import Goal, reached
from hplan.types import Planner, WorldModel, is_spelled

Replan = Literal["surprise", "clock", "never"]
IN_THE_WAY = ("overrun", "no-progress")  # causes that say that what comes and goes does not go


class Controller:
    """Acts towards one goal in one execution. `levels` from the finest up, one planner each."""

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
        guard: Guard = NOTHING,
    ) -> None:
        """`guard`: what no step of any level may do."""
        self.exogenous: Exogenous | None = None
        if replan == "surprise":
            levels, self.exogenous = watched(levels)
        if self.exogenous is not None and (cost := guard.at(0)) is not None:
            guard = replace(guard, costs=(AsItStands(cost, self.exogenous), *guard.costs[1:]))
        self.levels, self.replan, self.generator, self.guard = levels, replan, generator, guard
        self._last: tuple[Tensor, Tensor] | None = None  # latent of level 0 before the action under way, and that
        self._expected: Tensor | None = None  # of level 0, after the action under way
        self._goal, self._stop, self._stopped = goal, getattr(goal, "stop", None), False
        self.config = config = config or ControlConfig()
        self.surprise = Surprise(levels, calibration, config)
        off = self.surprise.thresholds[0][0]
        self.no_progress = NoProgress(levels[0], config.least_progress, config.no_progress_steps, off)
        retries = Retries(levels, planners, config, repairs=replan != "never")
        self.execution = Execution(levels, goal, config, retries, self.surprise)
        self.top_down = TopDownPlanner(levels, planners, self.execution, generator, guard)

    def knows_as(self, other: Controller) -> None:
        """It goes on where the other one is: what comes and goes is known to it, too."""
        if self.exogenous is not None and other.exogenous is not None:
            self.exogenous.take(other.exogenous)

    def goes_on(self, other: Controller) -> None:
        """The other one's episode is its own from now on, for another goal: what did not work, and what it took."""
        self.knows_as(other)
        mine, others = self.execution, other.execution
        mine.memories, mine.ledger, mine.step = others.memories, others.ledger, others.step

    @torch.inference_mode()
    def act(self, latents: tuple[Tensor, ...]) -> Tensor:
        """One (*z) per level, of the observation that is there now -> the level-0 macro-action to take, () or (A,)."""
        if self.exogenous is not None:
            latents = self._seen(self.exogenous, latents)
        execution = self.execution
        if execution.step:
            self._watch(latents)
        if self.exogenous and execution.last_repair and execution.last_repair.cause in IN_THE_WAY:
            latents = self._all_seen(latents[0])
        self.top_down.refine(latents)
        if self.exogenous and not self._knows_a_way():  # what it aims for may be what passes
            latents = self._all_seen(latents[0])
            execution.drop(execution.plans.highest, "infeasible")
            self.top_down.refine(latents)
        macro = self._next(latents)
        self._last = latents[0], macro
        return macro

    def _seen(self, exogenous: Exogenous, latents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The same, but above level 0 without what comes and goes by itself. Since that has become known, there may be
        a way; unless it is what the goal is about."""
        new = self._last is not None and exogenous.add(*self._last, latents[0])
        if not exogenous:
            return latents
        found = self._encoded(latents[0])
        if new and self._is_the_goal(latents, (exogenous(latents[0]), *found[1:])):
            return self._all_seen(latents[0])
        if new and not self._knows_a_way():
            self.execution.drop(self.execution.plans.highest, "surprise")
        return found

    def _is_the_goal(self, latents: tuple[Tensor, ...], settled: tuple[Tensor, ...]) -> bool:
        """Whether the goal is met without what comes and goes, and is not with it."""
        for k, (seen, without) in enumerate(zip(latents, settled, strict=True)):
            goal = self._goal.at(k)
            if goal is not None and reached(goal, without) and not reached(goal, seen):
                return True
        return False

    def _all_seen(self, z: Tensor) -> tuple[Tensor, ...]:
        """One (*z) per level, of one of level 0, from now on with what comes and goes: it is not in vain."""
        assert self.exogenous is not None
        self.exogenous.in_use = False
        return self._encoded(z)

    def _encoded(self, z: Tensor) -> tuple[Tensor, ...]:
        """One (*z) per level, of one of level 0."""
        found = [z]
        for level in self.levels[1:]:
            found.append(level.encode(found[-1][None])[0])
        return tuple(found)

    def _knows_a_way(self) -> bool:
        """Whether the highest level that takes part has a plan that leads to the goal."""
        plan = self.execution.plans[self.execution.plans.top]
        return plan is not None and plan.result.reached

    def _next(self, latents: tuple[Tensor, ...]) -> Tensor:
        """The action that the plans have next, () or (A,); or else one that is possible."""
        execution = self.execution
        allowed = not self.guard or self._allowed(latents[0])
        if not allowed:
            execution.drop(0, "forbidden")
            self.top_down.refine(latents)
            allowed = self._allowed(latents[0])
        plan = execution.plans.under_way(0)
        execution.step += 1
        if len(plan.result) and allowed:
            return plan.result.macros[plan.at]
        execution.plans[0] = None
        if self._stops(latents[0]):
            return torch.tensor(self._stop)
        # Nothing known leads on: do something that play showed to be possible.
        forbidden = together(self.guard.at(0), execution.plans.waiting(latents))
        return any_action(self.levels[0], latents[0], self.generator, forbidden)

    def _stops(self, z: Tensor) -> bool:
        """Whether the stop action is due at z (*z) of level 0. Where it changed nothing, the goal was mistaken: what is
        done next is another one."""
        goal = None if self._stop is None else self._goal.at(0)
        self._stopped = goal is not None and not self._stopped and reached(goal, z)
        return self._stopped

    def _allowed(self, z: Tensor) -> bool:
        """Whether level 0, at z (*z) now, may take the next step of its plan: judged anew before every action, so that
        no more than the error of one prediction comes between what was judged and what happens."""
        plan = self.execution.plans.under_way(0)
        if not len(plan.result) or self._is_judged(plan, z):
            return True
        following = self.levels[0].predict(z[None], plan.result.macros[plan.at][None])[0]
        self.execution.count(1, plan.nodes[plan.at])
        self._expected = following
        return self.guard.allows(z, following)

    def _is_judged(self, plan: LevelPlan, z: Tensor) -> bool:
        """Whether that step was judged from this very symbols when it was planned, by what play taught."""
        known = self.levels[0].capabilities.discrete and not self.guard.given and not self.execution.plans.is_spelled(0)
        return known and bool((z == plan.result.latents[plan.at]).all())

    def _watch(self, latents: tuple[Tensor, ...]) -> None:
        """Compare what happened with what each level expected; move on, or drop what no longer holds."""
        execution, plans = self.execution, self.execution.plans
        execution.last_repair = None
        if self._expected is not None:
            error = self.levels[0].distance(self._expected[None], latents[0][None])[0]
            self.guard.margin.add(float(error))
            self._expected = None
        self._check_progress(latents)
        arrived = [k == 0 or plans.subgoal_reached(k, latents) for k in range(plans.top + 1)]
        for k, finished in enumerate(arrived):
            plan = plans[k]
            if plan is None:
                continue
            ended = finished and is_spelled(self.levels[k])
            self.surprise.measure(k, plan, latents[k], ended=ended)
            if not len(plan.result):  # its goal was met already, or it knows no way: the levels below see to the rest
                met = plan.result.reached
                if (met and not reached(plan.goal, latents[k])) or (not met and plans[k - 1] is None):
                    execution.advance(k, latents[k])
                continue
            node = execution.tree.node(plan.nodes[plan.at])
            execution.tree = execution.tree.update(node.id, spent_steps=node.spent_steps + 1)
            spelled = not k and self.execution.plans.is_spelled(0)  # the level above judges what it came to
            exceeded = self.surprise.exceeded(k) and not spelled and (ended or not (k and finished))
            if self.replan == "surprise" and exceeded:
                if k == 0 and self.levels[0].capabilities.discrete and not plan.came_about(latents[0]):
                    self._remember_failure(plan, latents[0])
                if not self._holds(k, latents):
                    execution.drop(k, "surprise")
            elif self.replan == "clock" and execution.step - plan.planned >= max(self.levels[k].stride, 1):
                execution.drop(k, "clock")
            elif finished and self.replan != "never" and self._ended_otherwise(k, latents[k]):
                execution.drop(k, "surprise")
            elif finished:
                stalled = ended and self.replan == "surprise" and self._stalls(k, latents[k])
                execution.advance(k, latents[k])
                if stalled and (above := plans.above(k)) is not None:
                    if plans.under_way(above).at_last:
                        execution.fail(above, "no-progress", by=k)
                    else:
                        execution.advance(above, latents[above], "failed")
            elif k and self.replan == "surprise" and plan.overdue(execution.step, self.levels[k], self.config):
                execution.fail(k, "overrun")
        plan = plans[0] if self.replan == "surprise" else None
        if plan is not None and len(plan.result) and plan.is_riskier(self.levels[0], latents[0]):
            execution.drop(0, "surprise")

    def _remember_failure(self, plan: LevelPlan, z: Tensor) -> None:
        """What level 0 was to do did not come about, at z (*z) now; unless for what has come its way, and will go."""
        before, after = plan.result.latents[plan.at], plan.target()
        if not self.exogenous or not bool((self.exogenous.passes(z) & (before != after)).any()):
            self.execution.remember_failure(before, after)

    def _stalls(self, k: int, z: Tensor) -> bool:
        """Whether level k, at z (*z) after a word, gets nowhere with the subgoal step above."""
        plans = self.execution.plans
        above, own = plans.above(k), plans.under_way(k)
        return above is not None and plans.under_way(above).stalls(float(own.goal(z[None])[0]), self.config.patience)

    def _ended_otherwise(self, k: int, z: Tensor) -> bool:
        """Whether a step of level k that may end in several ways, and did, ended in another one than was planned on."""
        plan, level = self.execution.plans.under_way(k), self.levels[k]
        if level.outcomes is None or plan.at_last or len(self.execution.plans.ends(k)) < 2:
            return False
        return bool(level.distance(z[None], plan.target()[None])[0] > 0)

    def _check_progress(self, latents: tuple[Tensor, ...]) -> None:
        """Level 0 expects to move, and does not: that step has failed, and after a few of them the subgoal step above
        failed."""
        plan, above = self.execution.plans[0], self.execution.plans.above(0)
        imagined = (plan.result.latents[plan.at], plan.target()) if plan and len(plan.result) else None
        failed = self.no_progress.failed_step(imagined, latents[0])
        if failed and self.replan == "surprise":
            self.execution.remember_failure(*failed)
        if above is not None and self.replan == "surprise" and self.no_progress.is_over():
            self.execution.fail(above, "no-progress", by=0, start=latents[above])

    def _holds(self, k: int, latents: tuple[Tensor, ...]) -> bool:
        """Whether a surprise of level k changes nothing: level 0's plan, imagined again from where it really is, still
        leads to its goal. It is kept, and what is expected is brought up to date."""
        plan = self.execution.plans[0]
        if plan is None:
            return self._holds_by_itself(k, latents[k])
        at = plan.at + (k == 0)  # of level 0: after itself, every level finds it moved on
        if k and bool((plan.result.latents[at] == latents[0]).all()):  # it is where its plan has it
            if plan.result.reached:
                self.execution.keep(k, None, latents[k])
            return plan.result.reached
        rest = imagine_rest(self.levels[0], plan, at, latents[0], self.guard.at(0))
        self.execution.count(rest.evaluations, plan.nodes[plan.at] if k == 0 else ROOT)
        if not len(rest) or not rest.reached:
            return False
        self.execution.keep(k, None if k else rest, latents[k])
        return True

    def _holds_by_itself(self, k: int, z: Tensor) -> bool:
        """Whether the plan of level k, whose events are imagined again from z (*z), still leads to its goal, though
        level 0 has to find another way to the first of them."""
        if not self.levels[k].capabilities.events:
            return False
        own = self.execution.plans.under_way(k)
        rest = imagine_rest(self.levels[k], own, own.at, z, self.guard.at(k))
        self.execution.count(rest.evaluations, own.nodes[own.at])
        if rest.reached:
            own.renew(rest)
            self.execution.keep(k, None, z)
        return rest.reached
