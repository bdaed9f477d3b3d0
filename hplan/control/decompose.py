"""Who works for whom: the plans of all levels, and which goal each hands down to the one below."""

from __future__ import annotations

from torch import Tensor

from hplan.control.memory import SubgoalRegion
from hplan.control.plan_tree import ROOT
from hplan.control.plans import NEARBY, LevelPlan
from hplan.planning.energy import Anywhere, GivenEnergy, Goal, Lifted, NearAny, NearLatent, guided, informed, reached
from hplan.types import Energy, PlanResult, WorldModel, is_spelled


class Decomposition:
    """One plan per level, None where it has to be planned. `highest` is the highest level that can tell what the goal
    is; `top` is the highest that takes part by now, a lower one where the goal is within its reach."""

    def __init__(self, levels: tuple[WorldModel, ...], goal: Goal, *, tolerance: float, subgoals: bool) -> None:
        """`tolerance`: steps of a level within which its subgoal counts as reached. `subgoals`: False lets level 0 plan
        alone for what the goal costs at the top."""
        self.levels, self.goal, self.tolerance = levels, goal, tolerance
        self.highest = max((k for k in range(len(levels)) if goal.at(k) is not None), default=0)
        if not subgoals and (energy := goal.at(self.highest)) is not None:
            self.goal, self.highest = GivenEnergy((self._lift(energy, self.highest, 0),), goal.label), 0
        self.top = self.highest
        self.plans: list[LevelPlan | None] = [None] * len(levels)

    def __getitem__(self, k: int) -> LevelPlan | None:
        return self.plans[k]

    def __setitem__(self, k: int, plan: LevelPlan | None) -> None:
        self.plans[k] = plan

    def under_way(self, k: int) -> LevelPlan:
        """The plan of a level that has one."""
        plan = self[k]
        assert plan is not None
        return plan

    def above(self, k: int) -> int | None:
        """The lowest level above k whose current subgoal step gave level k its subgoal."""
        for upper in range(k + 1, self.top + 1):
            plan = self[upper]
            if plan is not None and len(plan.result):
                return upper
        return None

    def goal_of(self, k: int) -> tuple[Energy, int]:
        """The energy that level k plans for, and the node of the plan tree that it refines. It is guided where the
        level above knows how play went about such a step, and informed where that one knows how far it is."""
        energy, node = self._goal_of(k)
        if self.above(k) == k + 1:
            upper, plan = self.levels[k + 1], self.under_way(k + 1)
            energy = guided(energy, upper, plan.target())
            energy = informed(energy, upper, plan.start, plan.result.macros[plan.at])
        return energy, node

    def _goal_of(self, k: int) -> tuple[Energy, int]:
        above = self.above(k)
        if above is None:
            own = self.goal.at(k)
            return Anywhere() if own is None else own, ROOT
        plan = self.under_way(above)
        node = plan.nodes[plan.at]
        if plan.hands_goal and plan.at_last:
            own = self.goal.at(k) if plan.goal is self.goal.at(above) or self.serves_the_task(above) else None
            return own or self._lift(plan.goal, above, k), node
        ends = self.ends(above)
        if len(ends) > 1:  # whichever it is, it will be seen
            return self._lift(NearAny(self.levels[above], ends, self.tolerance), above, k), node
        return self._lift(NearLatent(self.levels[above], plan.target(), self.tolerance), above, k), node

    def is_spelled(self, k: int) -> bool:
        """Whether the macro-action that the level above has under way says itself what level k does."""
        return self.above(k) == k + 1 and is_spelled(self.levels[k + 1])

    def ends(self, k: int) -> Tensor:
        """(K, *z): the ways in which the current subgoal step of level k may end."""
        plan, outcomes = self.under_way(k), self.levels[k].outcomes
        if outcomes is None:
            return plan.target()[None]
        latents, chances = outcomes(plan.start[None], plan.result.macros[plan.at : plan.at + 1])
        return latents[0][chances[0] > 0]

    def hands_goal(self, k: int, goal: Energy, result: PlanResult) -> bool:
        """Whether the last subgoal step of this plan of level k hands down the goal of the plan, and not its own end.
        The task's own is handed down also from nearby: from there it will be seen better. A subgoal from two levels
        above only where symbols tell it exactly: where latents change by and by, it is met by a hair and missed by
        one."""
        if self.serves_the_task(k):
            return result.reached or bool(len(result) and result.energies[-1] <= NEARBY * goal.threshold)
        return result.reached and self.levels[k].capabilities.discrete

    def serves_the_task(self, k: int) -> bool:
        """Whether level k's goal is the task's own: every level above it is on a last subgoal step that hands it
        down."""
        uppers = [c for c in self.plans[k + 1 : self.top + 1] if c is not None and len(c.result)]
        return all(c.hands_goal and c.at_last for c in uppers)

    def subgoal_reached(self, k: int, latents: tuple[Tensor, ...]) -> bool:
        """Whether the level that carries out the subgoal step of level k has arrived: the next one below with steps to
        take.

        A subgoal step that hands the task's goal down is done when level 0 is there, not when a coarser level thinks
        so. One that spells itself is done with its last letter.
        """
        own = self[k]
        if k and is_spelled(self.levels[k]) and self[k - 1] is not None:
            return self.under_way(k - 1).at_last
        if own is not None and own.hands_goal and own.at_last and self.serves_the_task(k):
            energy = self.goal.at(0)
            return energy is not None and reached(energy, latents[0])
        below = k - 1
        while below > 0 and (plan := self[below]) is not None and not len(plan.result):
            below -= 1
        plan = self[below]
        if plan is None or reached(plan.goal, latents[below]):
            return plan is not None
        # A plan that was to lead there is carried out, and it is near.
        carried_out = below and plan.result.reached and plan.at_last and self.subgoal_reached(below, latents)
        return bool(carried_out and plan.goal(latents[below][None])[0] <= NEARBY * plan.goal.threshold)

    def region(self, k: int) -> SubgoalRegion | None:
        """What keeps level k inside the subgoal step that it carries out. Half way through a gradual step everything is
        far from both of its ends: only between symbols there is such a thing."""
        above = self.above(k)
        if above is None or not self.levels[above].capabilities.events or (plan := self[above]) is None:
            return None
        return SubgoalRegion(self.levels[k + 1 : above + 1], plan.start, self.ends(above), allowance=0.0)

    def waiting(self, latents: tuple[Tensor, ...]) -> SubgoalRegion | None:
        """What keeps level 0 from doing anything that the highest level would notice, where that alone knows the goal,
        and there is nothing to do for it."""
        if self.goal.at(0) is not None or self.above(0) is not None:
            return None
        here = latents[self.highest]
        return SubgoalRegion(self.levels[1 : self.highest + 1], here, here[None], allowance=0.0)

    def _lift(self, energy: Energy, above: int, k: int) -> Energy:
        for upper in range(above, k, -1):
            energy = Lifted(self.levels[upper], energy)
        return energy
