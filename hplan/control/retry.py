"""How long the controller bears with what does not work, before it counts as a failure."""

from __future__ import annotations

import math

from hplan.control.plans import LEAST, ControlConfig, LevelPlan
from hplan.types import Budget, Energy, Planner, PlanResult, WorldModel

WIDER = 4  # times what a reach_evaluations may cost, whenever a subgoal step of the highest level fails
LONGER = 2  # times as long as before the wait is, whenever a step's repairs were in vain again


class Retries:
    """Of one execution. `reach_evaluations`: evaluations that levels below the highest may spend to find the goal
    themselves.

    Where all that a step may repair was in vain, the next steps repair no infeasible plan, twice as many each time,
    until the highest level that takes part gets on: nothing new is known there, and the agent had better move.
    """

    def __init__(
        self,
        levels: tuple[WorldModel, ...],
        planners: tuple[Planner, ...],
        config: ControlConfig,
        *,
        repairs: bool = True,
    ) -> None:
        """`repairs`: False never plans again for what is infeasible."""
        self.levels, self.planners, self.config = levels, planners, config
        self.reach_evaluations = config.reach_evaluations
        self._vain: dict[int, int] = {}  # by level: plans in a row that spent all that they may, and did not arrive
        self._failed: dict[int, float] = {}  # by level: the environment step at which a subgoal step of it last failed
        self._most = config.repairs_per_step if repairs else 0
        self._step, self._done = -1, 0  # an environment step, and what was repaired in it
        self._wait, self._until = 1, 0  # steps without repairs, and the environment step at which they are over

    def complete(self, k: int) -> bool:
        """Whether a plan that level k does not find does not exist, as far as it knows."""
        return getattr(self.planners[k], "complete", False)

    def bound(self, k: int, evaluations: int) -> int:
        """Of so many evaluations, those that a plan of level k may spend: at most as many as its planner says (`most`),
        and half as many after each plan in a row that spent all in vain."""
        most = getattr(self.planners[k], "most", None)
        return evaluations if most is None else min(evaluations, max(most >> self._vain.get(k, 0), LEAST))

    def planned(self, k: int, result: PlanResult, budget: Budget) -> None:
        """What a plan of level k came to."""
        vain = not result.reached and result.evaluations >= budget.evaluations
        self._vain[k] = self._vain.get(k, 0) + 1 if vain else 0

    def is_over(self, k: int, by: int | None, step: int) -> bool:
        """Whether a subgoal step of level k has failed that level `by` below could not do; notes when it did. One that
        samples has a step's time of level k between two failures: in the same corner it will fail again, which is no
        news."""
        sampled = by is not None and not self.complete(by)
        if sampled and step - self._failed.get(k, -math.inf) < self.levels[k].stride:
            return False
        self._failed[k] = step
        return True

    def renew(self) -> None:
        """The highest level that takes part got on."""
        self._wait, self._until = 1, 0

    def look_farther(self) -> None:
        """The highest level is no help: the ones below it spend more on looking for the goal themselves."""
        self.reach_evaluations = min(WIDER * self.reach_evaluations, self.config.evaluations)

    def repairs(self, step: int, k: int, above: int, upper: LevelPlan, result: PlanResult, end: Energy) -> bool:
        """Whether that subgoal step of level `above` has failed by what level k found for its end, and is repaired
        now."""
        if not self._most or step < self._until or not self._is_infeasible(k, above, upper, result, end):
            return False
        if step != self._step:
            self._step, self._done = step, 0
        if self._done == self._most:
            self._until, self._wait = step + 1 + self._wait, LONGER * self._wait
            return False
        self._done += 1
        return True

    def _is_infeasible(self, k: int, above: int, upper: LevelPlan, result: PlanResult, end: Energy) -> bool:
        """A planner that samples has to fail a few times."""
        if upper.is_served_by(result, end, self.levels[k], self.levels[above], self.config):
            return False
        upper.failures += 1
        return self.complete(k) or upper.failures >= self.config.failures
