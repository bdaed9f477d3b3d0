"""Who works for whom: the courses of all levels, and which goal each hands down to the one below."""

from __future__ import annotations

from torch import Tensor

from hplan.control.course import NEARBY, Course
from hplan.control.memory import WithinHop
from hplan.control.plan_tree import ROOT
from hplan.planning.energy import GivenEnergy, Goal, Lifted, NearLatent, guided, reached
from hplan.types import Energy, PlanResult, WorldModel


class Decomposition:
    """One course per level, None where it has to be planned. `highest` is the highest level that can tell what the goal
    is; `top` is the highest that takes part by now, a lower one where the goal is within its reach."""

    def __init__(self, levels: tuple[WorldModel, ...], goal: Goal, *, tolerance: float, subgoals: bool) -> None:
        """`tolerance`: steps of a level within which its subgoal counts as reached. `subgoals`: False lets level 0 plan
        alone for what the goal costs at the top."""
        self.levels, self.goal, self.tolerance = levels, goal, tolerance
        self.highest = max((k for k in range(len(levels)) if goal.at(k) is not None), default=0)
        if not subgoals and (energy := goal.at(self.highest)) is not None:
            self.goal, self.highest = GivenEnergy((self._lift(energy, self.highest, 0),), goal.label), 0
        self.top = self.highest
        self.courses: list[Course | None] = [None] * len(levels)

    def __getitem__(self, k: int) -> Course | None:
        return self.courses[k]

    def __setitem__(self, k: int, course: Course | None) -> None:
        self.courses[k] = course

    def under_way(self, k: int) -> Course:
        """The course of a level that has one."""
        course = self[k]
        assert course is not None
        return course

    def above(self, k: int) -> int | None:
        """The lowest level above k whose current hop gave level k its subgoal."""
        for upper in range(k + 1, self.top + 1):
            course = self[upper]
            if course is not None and len(course.result):
                return upper
        return None

    def goal_of(self, k: int) -> tuple[Energy, int]:
        """The energy that level k plans for, and the node of the plan tree that it refines. A level that acts is guided
        where the one above it knows how play went about such a hop."""
        energy, node = self._goal_of(k)
        if self.above(k) == k + 1:
            energy = guided(energy, self.levels[k + 1], self.under_way(k + 1).target())
        return energy, node

    def _goal_of(self, k: int) -> tuple[Energy, int]:
        above = self.above(k)
        if above is None:
            own = self.goal.at(k)
            assert own is not None
            return own, ROOT
        course = self.under_way(above)
        node = course.nodes[course.hop]
        if course.hands_goal and course.at_last:
            own = self.goal.at(k) if course.goal is self.goal.at(above) or self.serves_the_task(above) else None
            return own or self._lift(course.goal, above, k), node
        return self._lift(NearLatent(self.levels[above], course.target(), self.tolerance), above, k), node

    def hands_goal(self, k: int, goal: Energy, result: PlanResult) -> bool:
        """Whether the last hop of this plan of level k hands down the goal of the plan, and not its own end. The task's
        own is handed down also from nearby: from there it will be seen better. A subgoal from two levels above only
        where symbols tell it exactly: where latents change by and by, it is met by a hair and missed by one."""
        if self.serves_the_task(k):
            return result.reached or bool(len(result) and result.energies[-1] <= NEARBY * goal.threshold)
        return result.reached and self.levels[k].capabilities.discrete

    def serves_the_task(self, k: int) -> bool:
        """Whether level k's goal is the task's own: every level above it is on a last hop that hands it down."""
        uppers = [c for c in self.courses[k + 1 : self.top + 1] if c is not None and len(c.result)]
        return all(c.hands_goal and c.at_last for c in uppers)

    def subgoal_reached(self, k: int, latents: tuple[Tensor, ...]) -> bool:
        """Whether the level that carries out the hop of level k has arrived: the next one below with steps to take.

        A hop that hands the task's goal down is done when level 0 is there, not when a coarser level thinks so.
        """
        own = self[k]
        if own is not None and own.hands_goal and own.at_last and self.serves_the_task(k):
            energy = self.goal.at(0)
            return energy is not None and reached(energy, latents[0])
        below = k - 1
        while below > 0 and (course := self[below]) is not None and not len(course.result):
            below -= 1
        course = self[below]
        if course is None or reached(course.goal, latents[below]):
            return course is not None
        # A plan that was to lead there is carried out, and it is near.
        carried_out = below and course.result.reached and course.at_last and self.subgoal_reached(below, latents)
        return bool(carried_out and course.goal(latents[below][None])[0] <= NEARBY * course.goal.threshold)

    def corridor(self, k: int) -> WithinHop | None:
        """What keeps level k inside the hop that it carries out. Half way through a gradual step everything is far from
        both of its ends: only between symbols there is such a thing."""
        above = self.above(k)
        if above is None or not self.levels[above].capabilities.events or (course := self[above]) is None:
            return None
        return WithinHop(self.levels[k + 1 : above + 1], course.start, course.target(), allowance=0.0)

    def _lift(self, energy: Energy, above: int, k: int) -> Energy:
        for upper in range(above, k, -1):
            energy = Lifted(self.levels[upper], energy)
        return energy
