"""Plan top down: every level that has no plan makes one for what is handed to it; what cannot be done is told."""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.control.course import NEARBY
from hplan.control.episode import Episode
from hplan.control.memory import together
from hplan.control.plan_tree import ROOT
from hplan.types import Energy, Planner, PlanResult, WorldModel


class Refiner:
    """Of one episode. `planners`: one for each of `levels`."""

    def __init__(
        self,
        levels: tuple[WorldModel, ...],
        planners: tuple[Planner, ...],
        episode: Episode,
        generator: torch.Generator | None,
    ) -> None:
        self.levels, self.planners, self.episode, self.generator = levels, planners, episode, generator

    def refine(self, latents: tuple[Tensor, ...]) -> None:
        """Plan every level that has no plan, from the top down; a subgoal that cannot be reached is planned again."""
        episode, courses, patience = self.episode, self.episode.courses, self.episode.patience
        glance, evaluations = patience.glance, episode.config.evaluations
        k, instead = courses.top, evaluations  # for those below, where the highest knows no way
        while k >= 0:
            if k == courses.top and courses[k] is None:
                k, glance = self._within_reach(latents, glance), 0  # one glance a step is enough
            if courses[k] is not None:
                k -= 1
                continue
            goal, parent = courses.goal_of(k)
            result = self._plan(k, latents[k], goal, parent, evaluations)
            above = courses.above(k)
            hop = None if above is None or episode.ledger.starved else courses[above]
            if above is not None and hop and patience.repairs(episode.step, k, above, hop, result, goal):
                k = episode.fail(
                    above, "infeasible", by=k, start=latents[above] if self.levels[above].capabilities.events else None
                )
                continue
            if k == courses.highest and not result.reached and instead:
                k, instead = self._within_reach(latents, instead, farther=NEARBY), 0
                if k < courses.highest:
                    continue
            episode.begin(k, goal, parent, result, latents[k])
            k -= 1
        episode.cause = ""

    def _within_reach(self, latents: tuple[Tensor, ...], glance: int, farther: float = 1.0) -> int:
        """The lowest level that finds the goal (or what is `farther` times as far off) at a glance, as does every one
        between, and then has a plan; else the highest, which has none. Level 0 need not look: a hop of level 1 does."""
        courses, found = self.episode.courses, None
        for k in range(courses.highest - 1, 0, -1) if glance else ():
            goal, courses.top = courses.goal.at(k), k
            if goal is None or not self.episode.patience.complete(k):
                break
            result = self._plan(k, latents[k], goal, ROOT, glance)
            if not len(result) or float(result.energies[-1]) > farther * goal.threshold:
                break
            found, glance = (k, goal, ROOT, result, latents[k]), self.episode.config.glance
        courses.top = found[0] if found else courses.highest
        if found:
            self.episode.begin(*found)
        return courses.top

    def _plan(self, k: int, z: Tensor, goal: Energy, parent: int, evaluations: int) -> PlanResult:
        """One call of a planner, which spends no more than what is left to this step of the episode."""
        episode = self.episode
        budget = episode.ledger.grant(k, evaluations, episode.step, episode.config)
        corridor = episode.courses.corridor(k) if episode.patience.complete(k) else None
        memory = episode.memories[k] = episode.memories[k].arrived(z)
        cost = together(memory, corridor)
        result = self.planners[k].plan(self.levels[k], z, goal, budget=budget, hop_cost=cost, generator=self.generator)
        if corridor and (above := episode.courses.above(k)):
            episode.memories[above] = corridor.taught(episode.memories[above], result, budget)
        episode.count(result.evaluations, parent)
        return result
