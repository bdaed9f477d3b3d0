"""The goal-decomposition controller: plan top down, watch every level, repair the lowest one that explains an error.

Each level k has a *course*: its plan, and which hop of it is under way. The predicted latent at the end of that hop is
the subgoal of level k - 1; the last hop of a plan that reaches its goal may hand the goal itself down. One level is the
flat agent: the same code with nothing to decompose.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from hplan.control.course import ControlConfig, any_action, imagine_rest
from hplan.control.episode import Episode
from hplan.control.patience import Patience
from hplan.control.plan_tree import ROOT
from hplan.control.refine import Refiner
from hplan.control.stall import Stall
from hplan.control.surprise import Surprise
from hplan.levels.calibration import Calibration
from hplan.planning.energy import Goal, reached
from hplan.types import Planner, WorldModel

Replan = Literal["surprise", "clock", "never"]


class Controller:
    """Acts towards one goal in one `episode`. `levels` from the finest up, one planner each."""

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
        self.levels, self.replan, self.generator = levels, replan, generator
        self.config = config = config or ControlConfig()
        self.surprise = Surprise(levels, calibration, config)
        self.stall = Stall(levels[0], config.stall, config.stalls)
        patience = Patience(levels, planners, config, repairs=replan != "never")
        self.episode = Episode(levels, goal, config, patience, self.surprise)
        self.refiner = Refiner(levels, planners, self.episode, generator)

    @torch.inference_mode()
    def act(self, latents: tuple[Tensor, ...]) -> Tensor:
        """One (*z) per level, of the observation that is there now -> the level-0 macro-action to take, () or (A,)."""
        episode = self.episode
        if episode.step:
            self._watch(latents)
        self.refiner.refine(latents)
        course = episode.courses.under_way(0)
        episode.step += 1
        if len(course.result):
            return course.result.macros[course.hop]
        episode.courses[0] = None  # nothing known leads on: do something that play showed to be possible
        return any_action(self.levels[0], latents[0], self.generator)

    def _watch(self, latents: tuple[Tensor, ...]) -> None:
        """Compare what happened with what each level expected; move on, or drop what no longer holds."""
        episode, courses = self.episode, self.episode.courses
        episode.last_repair = None
        self._stall(latents)
        arrived = [k == 0 or courses.subgoal_reached(k, latents) for k in range(courses.top + 1)]
        for k, finished in enumerate(arrived):
            course = courses[k]
            if course is None:
                continue
            self.surprise.measure(k, course, latents[k])
            if not len(course.result):  # its goal was met already, or it knows no way: the levels below see to the rest
                met = course.result.reached
                if (met and not reached(course.goal, latents[k])) or (not met and courses[k - 1] is None):
                    episode.advance(k, latents[k])
                continue
            node = episode.tree.node(course.nodes[course.hop])
            episode.tree = episode.tree.update(node.id, spent_steps=node.spent_steps + 1)
            if self.replan == "surprise" and self.surprise.exceeded(k) and not (k and finished):
                if k == 0 and self.levels[0].capabilities.discrete:
                    episode.refute(course.result.latents[course.hop], course.target())
                if not self._holds(k, latents):
                    episode.drop(k, "surprise")
            elif self.replan == "clock" and episode.step - course.planned >= max(self.levels[k].stride, 1):
                episode.drop(k, "clock")
            elif finished:
                episode.advance(k, latents[k])
            elif k and self.replan == "surprise" and course.overdue(episode.step, self.levels[k], self.config):
                episode.fail(k, "overrun")

    def _stall(self, latents: tuple[Tensor, ...]) -> None:
        """Level 0 expects to move, and does not: that step is refuted, and after a few of them the hop above failed."""
        course, above = self.episode.courses[0], self.episode.courses.above(0)
        refuted = self.stall.refuted(course.target() if course and len(course.result) else None, latents[0])
        if refuted and self.replan == "surprise":
            self.episode.refute(*refuted)
        if above is not None and self.replan == "surprise" and self.stall.is_over():
            self.episode.fail(above, "stall", by=0, start=latents[above])

    def _holds(self, k: int, latents: tuple[Tensor, ...]) -> bool:
        """Whether a surprise of level k changes nothing: level 0's plan, imagined again from where it really is, still
        leads to its goal. It is kept, and what is expected is brought up to date."""
        course = self.episode.courses[0]
        if course is None:
            return False
        hop = course.hop + (k == 0)  # of level 0: after itself, every level finds it moved on
        rest = imagine_rest(self.levels[0], course, hop, latents[0])
        self.episode.count(rest.evaluations, course.nodes[course.hop] if k == 0 else ROOT)
        if not len(rest) or not rest.reached:
            return False
        self.episode.keep(k, None if k else rest, latents[k])
        return True
