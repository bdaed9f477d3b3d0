"""Which goal a level hands to the one below it."""

from __future__ import annotations

import pytest
import torch
from control.corridor import BLOCK, Corridor, Gradual, latents, stack
from torch import Tensor

from hplan.control.decompose import Decomposition
from hplan.control.plans import LevelPlan
from hplan.planning.energy import Goal, GoalObservation, Guided, reached
from hplan.types import PlanResult

GOAL = 40


class Leading(Gradual):
    """It knows how to go about its steps: to where the block of the target begins."""

    def policy(self, below: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return BLOCK * target - below, torch.ones_like(below)


def take(made: Decomposition, k: int, *ends: float) -> None:
    """Level k has a plan through these latents that reaches its goal, and the first subgoal step of it under way."""
    goal, _ = made.goal_of(k)
    path = torch.tensor(ends)[:, None]
    steps = len(ends) - 1
    result = PlanResult(torch.zeros(steps), path, torch.zeros(steps + 1), torch.ones(steps), True, evaluations=0)
    nodes = tuple(range(1, steps + 1))
    made[k] = LevelPlan(goal, result, nodes, made.hands_goal(k, goal, result), path[0], 0, torch.zeros(steps))


def planned(levels: tuple[Corridor, ...]) -> Decomposition:
    """From 1 to 40 in cells, 0 to 10 in blocks of 4, and 0 to 2 in blocks of 16: to block 1 of 16 by way of block 6."""
    goal: Goal = GoalObservation(levels, latents(levels, GOAL), (0.0,) * 3)
    made = Decomposition(levels, goal, tolerance=0.0, subgoals=True)
    take(made, 2, 0, 1, 2)
    take(made, 1, 5, 6)
    return made


@pytest.mark.parametrize("gradual", [False, True])
def test_a_last_step_hands_down_the_subgoal_above_where_symbols_tell_it_and_else_its_own_end(gradual: bool) -> None:
    levels = tuple(Gradual(k) for k in range(3)) if gradual else stack(3)
    energy, node = planned(levels).goal_of(0)
    assert node == 1
    assert reached(energy, torch.tensor([25.0]))  # in block 6 of 4, as planned
    assert reached(energy, torch.tensor([17.0])) is not gradual  # in block 1 of 16 already


def test_the_task_s_own_goal_is_handed_down_as_it_is() -> None:
    levels = tuple(Gradual(k) for k in range(3))
    made = planned(levels)
    top = made.under_way(2)
    top.go_on(0, torch.tensor([1.0]))
    take(made, 1, 9, 10)
    energy, _ = made.goal_of(0)
    assert reached(energy, torch.tensor([float(GOAL)]))
    assert not reached(energy, torch.tensor([GOAL + 1.0]))  # in the same block


def test_a_level_that_knows_how_to_go_about_a_subgoal_step_guides_the_one_below() -> None:
    levels = (Gradual(0), Leading(1), Gradual(2))
    made = planned(levels)
    energy, _ = made.goal_of(0)
    assert isinstance(energy, Guided)
    assert energy.threshold == 0.0
    mean, _ = energy.guide(torch.tensor([[20.0], [23.0]]))
    assert mean.flatten().tolist() == [4.0, 1.0]  # to where block 6 begins
    assert not isinstance(made.goal_of(1)[0], Guided)


@pytest.mark.parametrize(("block", "done"), [(4, True), (8, False), (10, True), (11, True), (12, False)])
def test_a_step_is_done_when_it_arrived_or_its_plan_is_carried_out_and_came_near(block: int, done: bool) -> None:
    """To block 0 of 16, within one of it; level 1 planned its way to block 11 of 4, as it thought near enough."""
    levels = tuple(Gradual(k) for k in range(3))
    goal = GoalObservation(levels, latents(levels, GOAL), (0.0,) * 3)
    made = Decomposition(levels, goal, tolerance=1.0, subgoals=True)
    take(made, 2, 4, 0, 2)
    take(made, 1, 12, 11)
    take(made, 0, 48, 47)
    assert made.under_way(1).goal.threshold == 1.0
    assert made.subgoal_reached(2, latents(levels, BLOCK * block)) is done
