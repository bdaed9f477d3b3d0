"""Plan top down: every level that has no plan makes one for what is handed to it; what cannot be done is told."""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.control.execution import Execution
from hplan.control.memory import together
from hplan.control.plan_tree import ROOT
from hplan.control.plans import NEARBY
from hplan.planning.constraints import NOTHING, Guard
from hplan.types import Energy, Planner, PlanResult, WorldModel, is_spelled


class TopDownPlanner:
    """Of one execution. `planners`: one for each of `levels`."""

    def __init__(
        self,
        levels: tuple[WorldModel, ...],
        planners: tuple[Planner, ...],
        execution: Execution,
        generator: torch.Generator | None,
        guard: Guard = NOTHING,
    ) -> None:
        self.levels, self.planners, self.execution, self.generator = levels, planners, execution, generator
        self.guard = guard
        self._forbidden: dict[int, bool] = {}  # by level: its latest plan failed because of the guard

    def refine(self, latents: tuple[Tensor, ...]) -> None:
        """Plan every level that has no plan, from the top down; a subgoal that cannot be reached is planned again."""
        execution, plans, retries = self.execution, self.execution.plans, self.execution.retries
        self._forbidden = {}
        reach, evaluations = retries.reach_evaluations, execution.config.evaluations
        k, instead = plans.top, evaluations  # for those below, where the highest knows no way
        while k >= 0:
            if k == plans.top and plans[k] is None:
                k, reach = self._within_reach(latents, reach), 0  # one such check a step is enough
            if plans[k] is not None:
                k -= 1
                continue
            goal, parent = plans.goal_of(k)
            result = self._plan(k, latents[k], goal, parent, evaluations)
            self._forbidden[k] = not result.reached and self._is_forbidden(k, latents[k], goal, parent)
            above = plans.above(k)
            upper = None if above is None or execution.ledger.starved else plans[above]
            if above is not None and upper and retries.repairs(execution.step, k, above, upper, result, goal):
                k = execution.fail(
                    above,
                    "forbidden" if self._forbidden[k] else "infeasible",
                    by=k,
                    start=latents[above] if self.levels[above].capabilities.events else None,
                )
                continue
            if k == plans.highest and not result.reached and instead:
                k, instead = self._within_reach(latents, instead, farther=NEARBY), 0
                if k < plans.highest:
                    continue
            execution.begin(k, goal, parent, result, latents[k])
            k -= 1
        execution.cause = ""
        made = ((plans[k], forbidden) for k, forbidden in self._forbidden.items())
        if any(forbidden and plan is not None and not plan.result.reached for plan, forbidden in made):
            execution.refuse()

    def _is_forbidden(self, k: int, z: Tensor, goal: Energy, parent: int) -> bool:
        """Whether level k finds no way to its goal only because the guard forbids it. Asked of the highest level, and
        of symbols: a subgoal between latents that change by and by is one of many."""
        told = k == self.execution.plans.highest or self.levels[k].capabilities.discrete
        if self.guard.at(k) is None or not self.guard.rules or not told or self.execution.ledger.starved:
            return False
        return self._plan(k, z, goal, parent, self.execution.config.evaluations, guarded=False).reached

    def _within_reach(self, latents: tuple[Tensor, ...], evaluations: int, farther: float = 1.0) -> int:
        """Bounded reachability check: the lowest level that finds the goal (or what is `farther` times as far off) with
        so many evaluations, as does every one between, and then has a plan; else the highest, which has none. Level 0
        need not look: a subgoal step of level 1 does."""
        plans, found = self.execution.plans, None
        for k in range(plans.highest - 1, 0, -1) if evaluations else ():
            goal, plans.top = plans.goal.at(k), k
            if goal is None or not self.execution.retries.complete(k):
                break
            result = self._plan(k, latents[k], goal, ROOT, evaluations)
            if not len(result) or float(result.energies[-1]) > farther * goal.threshold:
                break
            found = k, goal, ROOT, result, latents[k]
            evaluations = self.execution.config.reach_evaluations
        plans.top = found[0] if found else plans.highest
        if found:
            self.execution.begin(*found)
        return plans.top

    def _plan(
        self, k: int, z: Tensor, goal: Energy, parent: int, evaluations: int, *, guarded: bool = True
    ) -> PlanResult:
        """One call of a planner, which spends no more than what is left to this step of the execution; none where the
        macro-action above spells itself."""
        execution = self.execution
        if execution.plans.is_spelled(k):
            return self._spelled(k, z, goal, parent)
        evaluations = execution.retries.bound(k, evaluations)
        budget = execution.ledger.grant(k, evaluations, execution.step, execution.config)
        region = execution.plans.region(k) if execution.retries.complete(k) else None
        memory = execution.memories[k] = execution.memories[k].arrived(z)
        cost = together(memory, region, self.guard.at(k) if guarded else None)
        result = self.planners[k].plan(self.levels[k], z, goal, budget=budget, step_cost=cost, generator=self.generator)
        if region and guarded and (above := execution.plans.above(k)):
            execution.memories[above] = region.taught(execution.memories[above], result, budget)
        execution.retries.planned(k, result, budget)
        execution.count(result.evaluations, parent)
        return result

    def _spelled(self, k: int, z: Tensor, goal: Energy, parent: int) -> PlanResult:
        """What is left of the macro-action that the level above has under way, letter by letter."""
        plan, upper, level = self.execution.plans.under_way(k + 1), self.levels[k + 1], self.levels[k]
        assert is_spelled(upper)
        macros, latents = upper.spelling(z, plan.result.macros[plan.at]), [z]
        for macro in macros:
            latents.append(level.predict(latents[-1][None], macro[None])[0])
        path = torch.stack(latents)
        self.execution.count(len(macros), parent)
        return PlanResult(macros, path, goal(path), torch.ones(len(macros)), True, len(macros))
