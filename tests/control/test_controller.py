"""The controller on a corridor with known optima: decomposition, repair where it is due, and none without need."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from control.corridor import BLOCK, Corridor, latents, stack
from torch import Tensor

from hplan.control.controller import Controller
from hplan.control.memory import EventMemory
from hplan.control.plans import LEAST, ControlConfig
from hplan.control.retry import Retries
from hplan.levels.calibration import Calibration
from hplan.planning.energy import GoalObservation
from hplan.planning.search import BestFirstSearch
from hplan.types import Budget, MacroSpec, PlanResult

GOAL, START = 150, 5

CALM = Calibration(np.zeros((1, 99)))  # play was always as predicted


class Sampling(BestFirstSearch):
    """Where it fails there may be a plan all the same."""

    complete = False


def make(
    levels: tuple[Corridor, ...],
    *,
    goal: int = GOAL,
    replan: str = "surprise",
    lowest: type[BestFirstSearch] = BestFirstSearch,
    **config: float,
) -> Controller:
    return Controller(
        levels,
        (lowest(), *(BestFirstSearch() for _ in levels[1:])),
        (CALM,) * len(levels),
        GoalObservation(levels, latents(levels, goal), (0.0,) * len(levels)),
        replan=replan,  # type: ignore[arg-type]
        config=ControlConfig(**config),  # type: ignore[arg-type]
    )


def run(
    controller: Controller, levels: tuple[Corridor, ...], *, moves=lambda step, there: there, limit: int = 400
) -> int:
    """Steps until the goal; `moves(step, position)` may disturb where a step ends."""
    position = START
    for step in range(limit):
        if position == GOAL:
            return step
        position = moves(step, position + int(controller.act(latents(levels, position))) - 1)
    return limit


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_levels_takes_the_shortest_way(count: int) -> None:
    levels = stack(count)
    controller = make(levels)
    assert run(controller, levels) == GOAL - START
    assert sum(controller.execution.ledger.repairs.values()) == 0


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_push_at_level_0_repairs_level_0_alone(count: int) -> None:
    levels = stack(count)
    controller, repairs = make(levels), []

    def pushed(step: int, there: int) -> int:
        if controller.execution.last_repair:
            repairs.append(controller.execution.last_repair)
        return there - 1 if step == 9 else there

    assert run(controller, levels, moves=pushed) == GOAL - START + 1
    assert [(r.level, r.cause) for r in repairs] == [(0, "surprise")]


def test_a_throw_far_away_repairs_the_upper_level() -> None:
    levels, repairs = stack(2), []
    controller = make(levels)

    def thrown(step: int, there: int) -> int:
        if controller.execution.last_repair:
            repairs.append(controller.execution.last_repair)
        return there + 60 if step == 9 else there

    assert run(controller, levels, moves=thrown) < GOAL - START
    assert 1 in {r.level for r in repairs}


def test_a_subgoal_step_that_never_arrives_is_remembered_and_planned_again() -> None:
    levels = stack(2)
    controller = make(levels, overrun_factor=1.0, overrun_slack=2)
    stuck = run(controller, levels, moves=lambda step, there: min(there, 20), limit=60)
    assert stuck == 60
    assert len(controller.execution.memories[1]) > 0
    assert controller.execution.ledger.repairs[1] >= 2


def test_clock_replans_every_step_of_a_level_and_never_only_when_used_up() -> None:
    levels = stack(2)
    by = {replan: make(levels, replan=replan, reach_evaluations=0) for replan in ("clock", "never", "surprise")}
    for controller in by.values():
        assert run(controller, levels) == GOAL - START
    calls = {replan: controller.execution.ledger.planner_calls for replan, controller in by.items()}
    assert calls["clock"][0] == GOAL - START
    assert calls["never"][1] == calls["surprise"][1] == 1
    assert calls["clock"][1] > 10


def test_the_clock_ticks_also_where_steps_are_done_early() -> None:
    levels, steps = stack(2), 40
    controller = make(levels, replan="clock", reach_evaluations=0)
    for step in range(steps):  # twice as fast as planned, so that no subgoal step of level 1 lasts as long as it should
        controller.act(latents(levels, START + 2 * step))
    assert controller.execution.ledger.planner_calls[1] >= steps // BLOCK


def test_the_tree_holds_every_level_and_the_goal_last() -> None:
    levels = stack(3)
    controller = make(levels, reach_evaluations=0)
    controller.act(latents(levels, START))
    path = controller.execution.tree.path_to_active()
    assert [node.level for node in path] == [3, 2, 1, 0]
    top = controller.execution.tree.children(0)
    assert [node.is_goal for node in top] == [False] * (len(top) - 1) + [True]
    assert controller.execution.tree.root.evaluations == controller.execution.ledger.evaluations > 0


def test_levels_whose_goal_is_already_met_are_skipped() -> None:
    levels = stack(3)
    controller = make(levels, goal=7)
    controller.act(latents(levels, START))
    assert [node.level for node in controller.execution.tree.path_to_active()] == [3, 0] or [
        node.level for node in controller.execution.tree.path_to_active()
    ] == [3, 1, 0]
    assert len(controller.execution.tree.children(0)) <= 2


def test_same_seed_same_actions() -> None:
    levels = stack(2)
    one, other = (make(levels) for _ in range(2))
    for position in (5, 6, 7):
        assert int(one.act(latents(levels, position))) == int(other.act(latents(levels, position)))


@pytest.mark.parametrize(("replan", "repaired"), [("never", False), ("surprise", True)])
def test_never_repairs_nothing_however_stuck_it_is(replan: str, repaired: bool) -> None:
    levels = stack(2)
    controller = make(levels, replan=replan, overrun_factor=1.0, overrun_slack=2)
    assert run(controller, levels, moves=lambda step, there: min(there, 20), limit=60) == 60
    assert bool(controller.execution.ledger.repairs) == repaired


def test_a_step_that_failed_is_not_imagined_for_ever() -> None:
    levels = stack(1)
    controller = make(levels)
    run(controller, levels, moves=lambda step, there: min(there, 20), limit=40)
    assert len(controller.execution.memories[0]) > 0
    assert all(int(start) == 20 and int(end) == 21 for start, end in controller.execution.memories[0].steps)


def test_without_subgoals_level_0_plans_alone_for_what_the_top_level_calls_the_goal() -> None:
    levels = stack(2)
    controller = make(levels, subgoals=False)
    position = START
    while position // 4 < GOAL // 4:  # the goal's block is all that level 1 can tell
        before = position
        position += int(controller.act(latents(levels, position))) - 1
        assert position == before + 1
    assert controller.execution.ledger.planner_calls.keys() == {0}


class Slope(Corridor):
    """A corridor whose latents are numbers that change by and by."""

    gradual = True


def test_a_level_0_that_makes_no_progress_fails_the_subgoal_step_above() -> None:
    levels = tuple(Slope(k) for k in range(2))
    controller = make(levels, subgoal_tolerance=0.0, overrun_factor=1000.0)
    causes = []
    for _ in range(6):
        controller.act(latents(levels, START))  # whatever it does, it stays where it is
        if controller.execution.last_repair:
            causes.append((controller.execution.last_repair.level, controller.execution.last_repair.cause))
    assert (1, "no-progress") in causes
    assert len(controller.execution.memories[1]) >= 1


@pytest.mark.parametrize(("lowest", "failed"), [(BestFirstSearch, 8), (Sampling, 2)])
def test_failures_of_level_0_in_one_corner_count_once_a_step_of_the_level_above(
    lowest: type[BestFirstSearch], failed: int
) -> None:
    levels = tuple(Slope(k) for k in range(2))
    controller = make(levels, lowest=lowest, subgoal_tolerance=0.0, overrun_factor=1000.0, no_progress_steps=1)
    for _ in range(10):
        controller.act(latents(levels, START))
    assert sum(controller.execution.memories[1].times) == failed  # level 1 takes 4 steps of the world
    assert controller.execution.ledger.repairs[1] == 8  # it plans again all the same


class Blind(Corridor):
    """A corridor whose second half this level cannot imagine."""

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.minimum(super().predict(z, macro), torch.full_like(z, self.length // 2 // BLOCK**self.index - 1))


def test_where_the_highest_level_knows_no_way_the_one_below_looks_for_one_at_once() -> None:
    levels = (Corridor(0), Corridor(1), Blind(2))
    controller = make(levels, reach_evaluations=8)
    controller.act(latents(levels, START))
    assert (controller.execution.ledger.planner_calls[2], controller.execution.ledger.planner_calls[1]) == (1, 2), (
        "a bounded check, then a search"
    )
    assert controller.execution.plans.top == 1 and controller.execution.plans.under_way(1).result.reached
    assert run(controller, levels) == GOAL - START


def test_where_subgoal_steps_of_the_highest_level_fail_the_one_below_looks_farther() -> None:
    levels = tuple(Slope(k) for k in range(3))
    controller = make(
        levels, reach_evaluations=8, evaluations=1000, subgoal_tolerance=0.0, no_progress_steps=1, failures=1
    )
    spent = []
    for _ in range(12):
        controller.act(latents(levels, START))  # whatever it does, it stays where it is
        spent.append(controller.execution.retries.reach_evaluations)
    assert spent[0] == 8
    assert spent == sorted(spent) and spent[-1] == 1000
    assert set(spent) <= {8, 32, 128, 512, 1000} and len(set(spent)) > 2


def test_a_highest_level_that_knows_no_way_is_not_asked_at_every_step() -> None:
    levels = (Corridor(0), Corridor(1), Blind(2))
    controller = make(levels, goal=GOAL, reach_evaluations=0)
    position = 127  # at the end of what level 2 can imagine: there is nothing better than to stay
    for _ in range(GOAL - position):
        position += int(controller.act(latents(levels, position))) - 1
    assert position == GOAL
    assert controller.execution.ledger.planner_calls[2] == 1


def test_a_level_0_that_moves_makes_progress() -> None:
    levels = tuple(Slope(k) for k in range(2))
    controller = make(levels, subgoal_tolerance=0.0)
    assert run(controller, levels) == GOAL - START
    assert controller.execution.ledger.repairs == {}


def test_a_subgoal_step_below_which_subgoal_steps_keep_failing_has_failed_itself() -> None:
    """Level 0 never moves: the steps of level 1 fail one after another, and after some that of level 2 does."""
    levels = tuple(Slope(k) for k in range(3))
    controller = make(levels, subgoal_tolerance=0.0, no_progress_steps=1, failures=2)
    causes = []
    for _ in range(12):
        controller.act(latents(levels, START))
        if controller.execution.last_repair:
            causes.append((controller.execution.last_repair.level, controller.execution.last_repair.cause))
    assert causes.index((1, "no-progress")) < causes.index((2, "no-progress"))
    assert len(controller.execution.memories[2]) >= 1


def test_a_subgoal_step_that_succeeds_makes_up_for_those_that_failed() -> None:
    levels = tuple(Slope(k) for k in range(3))
    controller = make(levels, subgoal_tolerance=0.0, no_progress_steps=1, failures=2)
    repairs = []

    def held_once_a_block(step: int, there: int) -> int:
        if controller.execution.last_repair:
            repairs.append(controller.execution.last_repair.level)
        return there - 1 if step % 9 == 4 else there

    run(controller, levels, moves=held_once_a_block)
    assert 1 in repairs and 2 not in repairs


class Doubtful(Corridor):
    """A corridor in which steps on from cell 8 may end anywhere, as the level knows."""

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.where(z[:, 0] == 8, 5.0, 0.0)


def test_where_a_level_predicts_wide_it_is_less_surprised() -> None:
    def thrown(level: Corridor) -> float:
        controller = make((level,))
        for position in (6, 7, 8, 13):  # four cells farther than expected
            controller.act(latents((level,), position))
        return controller.surprise.now[0]

    assert thrown(Corridor(0)) == 4.0
    assert thrown(Doubtful(0)) == pytest.approx(4.0 / 5.0)


def test_a_threshold_is_that_of_the_look_ahead() -> None:
    level = Corridor(0)
    controller = make((level,))
    controller.surprise.thresholds = ((0.0, 2.5, 3.5),)
    seen = []
    for position in (5, 6, 7, 8, 9):
        controller.act(latents((level,), position))
        seen.append(controller.surprise.threshold[0])
    assert seen == [0.0, 0.0, 2.5, 3.5, 3.5]


def test_upper_levels_are_skipped_while_a_lower_one_reaches_the_goal_within_a_few_evaluations() -> None:
    levels = stack(3)
    near, far = make(levels, goal=START + 60), make(levels)
    for controller in (near, far):
        controller.act(latents(levels, START))
    assert [node.level for node in near.execution.tree.path_to_active()] == [3, 1, 0]
    assert [node.level for node in far.execution.tree.path_to_active()] == [3, 2, 1, 0]
    for controller in (near, far):
        assert controller.execution.tree.root.evaluations == controller.execution.ledger.evaluations, (
            "what the check cost is told too"
        )


def test_planning_that_fails_spends_no_more_than_its_allowance() -> None:
    levels = stack(1)
    controller = make(levels, evaluations=100, allowance=100)
    for step in range(50):
        controller.act(latents(levels, START))  # it never moves, and the goal is out of reach of 100 evaluations
        assert controller.execution.ledger.evaluations <= 100 + 100 * step + 64 + 8


def test_a_planner_that_bounds_its_plans_spends_half_as_much_after_each_in_vain() -> None:
    levels, planner, granted = stack(1), BestFirstSearch(), []
    planner.most = 400  # type: ignore[attr-defined]
    retries, (there,) = Retries(levels, (planner,), ControlConfig()), latents(levels, START)
    found = planner.plan(levels[0], there, GoalObservation(levels, (there,), (0.0,)).at(0), budget=Budget(8, 512))
    for reached in (False, False, False, False, True, False):
        budget = Budget(retries.bound(0, 1000), 512)
        granted.append(budget.evaluations)
        retries.planned(0, replace(found, reached=reached, evaluations=budget.evaluations), budget)
    assert granted == [400, 200, 100, LEAST, LEAST, 400]
    assert retries.bound(0, 50) == 50, "where less is left, that is all"
    retries.planned(0, replace(found, reached=False, evaluations=3), Budget(400, 512))
    assert retries.bound(0, 1000) == 400, "a search that saw all there is was not cut short"


def test_a_surprise_above_that_leaves_the_plan_below_right_changes_nothing() -> None:
    """Level 1 finds the world changed, in a way that is not on the way of level 0."""

    class Mood(Corridor):
        def encode(self, below: Tensor) -> Tensor:
            return super().encode(below) + 50 * mood

    levels, mood = (Corridor(0), Mood(1)), 0
    controller = make(levels, goal=START + 4, reach_evaluations=0)
    controller.act(latents(levels, START))
    mood = 1
    assert int(controller.act(latents(levels, START + 1))) == 2
    assert controller.execution.last_repair is not None
    assert (
        controller.execution.last_repair.level,
        controller.execution.last_repair.cause,
        controller.execution.last_repair.dropped,
    ) == (
        1,
        "surprise",
        0,
    )
    assert controller.execution.ledger.planner_calls[1] == 1


class Dear(Corridor):
    """A corridor in which every step costs 10, as the prior has it."""

    def prior(self, z: Tensor) -> Tensor:
        return torch.full((len(z), 3), -9.0)


def test_a_subgoal_that_costs_far_more_to_reach_than_a_subgoal_step_should_is_not_feasible() -> None:
    levels = (Dear(0), Slope(1))
    controller = make(levels, overrun_factor=4.0)  # 16 at the most, and a block is 3 steps away
    controller.act(latents(levels, START))
    assert controller.execution.last_repair is not None
    assert (controller.execution.last_repair.level, controller.execution.last_repair.cause) == (1, "infeasible")
    near = make(levels, goal=START + 4)
    near.act(latents(levels, START))
    assert near.execution.last_repair is None, "to the goal itself any way is worth it"


class Leaping(Corridor):
    """It takes leaps of several blocks for one subgoal step, which no level below can do without being between them."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.macro = MacroSpec("discrete", 6, names=("back", "stay", "on", "leap 2", "leap 5", "leap 9"))

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return (z + torch.tensor([-1, 0, 1, 2, 5, 9])[macro][:, None]).clamp(0, self.length // BLOCK**self.index - 1)

    def prior(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), 6)


def test_a_subgoal_step_that_cannot_be_done_shows_what_can_be_done_instead() -> None:
    levels = (Corridor(0), Leaping(1))
    controller = make(levels, reach_evaluations=0)
    controller.execution.memories[1] = EventMemory(levels[1], alike=0.0)
    controller.act(latents(levels, START))
    assert controller.execution.ledger.repairs == {1: 1}, "after one leap that failed no other one is tried from there"
    ((start, ways),) = controller.execution.memories[1].ways  # type: ignore[attr-defined]
    assert (start.tolist(), sorted(ways[:, 0].tolist())) == ([1.0], [0.0, 2.0])
    assert controller.execution.plans.under_way(1).result.macros[0] in (0, 2)
    assert run(controller, levels) < 2 * (GOAL - START)


def test_what_level_1_cannot_do_teaches_level_2_and_no_other() -> None:
    levels = (Corridor(0), Corridor(1), Leaping(2))
    controller = make(levels, reach_evaluations=0)
    controller.act(latents(levels, START))  # of blocks of 16 cells, the goal is 9 on: one leap
    assert [len(memory) > 0 for memory in controller.execution.memories] == [False, False, True]
    assert controller.execution.plans.under_way(2).result.macros[0] == 2


def test_where_nothing_that_level_0_does_changes_anything_the_subgoal_step_above_has_failed() -> None:
    levels = stack(2)
    controller = make(levels, reach_evaluations=0, no_progress_steps=3)
    causes = []
    for _ in range(5):  # it never moves
        controller.act(latents(levels, START))
        causes.append(controller.execution.last_repair.cause if controller.execution.last_repair else "")
    assert causes[:3] == ["", "surprise", "surprise"] and "no-progress" in causes
    assert len(controller.execution.memories[1]) > 0


def test_a_subgoal_step_that_was_left_before_it_was_planned_has_not_failed() -> None:
    """The world moves the agent on while level 1 is not looking: by the clock it looks once in 4 steps."""
    levels = (Corridor(0), Corridor(1))
    controller = make(levels, reach_evaluations=0, replan="clock")
    controller.act(latents(levels, START))
    controller.act(latents(levels, START + 30))
    assert controller.execution.last_repair is not None and controller.execution.last_repair.cause == "infeasible"
    assert len(controller.execution.memories[1]) == 0


def test_where_repairs_are_in_vain_the_agent_moves_on_for_twice_as_long_each_time() -> None:
    levels = (Dear(0), Slope(1))  # no subgoal is ever feasible
    controller = make(levels, repairs_per_step=2)
    calls, repaired = 0, []
    for step in range(20):
        controller.act(latents(levels, START))  # it stays where it is, so that level 0 plans at every step
        if controller.execution.ledger.planner_calls[1] > calls + 1:
            repaired.append(step)
        calls = controller.execution.ledger.planner_calls[1]
    assert repaired == [0, 2, 5, 10, 19]


def test_once_the_highest_level_that_takes_part_gets_on_repairs_are_worth_it_again() -> None:
    for levels in (stack(2), (Corridor(0), Corridor(1), Blind(2))):  # of three, the highest has no plan and no part
        controller = make(levels)
        controller.execution.retries._until, controller.execution.retries._wait = 100, 64
        position = START
        while controller.execution.retries._until and position < GOAL:
            position += int(controller.act(latents(levels, position))) - 1
        assert position <= START + 2 * BLOCK, "a subgoal step of level 1 is done"
        assert controller.execution.retries._wait == 1


def test_repairs_that_help_are_not_in_vain() -> None:
    """All repairs of a step are used, and the plan after the last of them will do."""
    levels = (Dear(0), Slope(1))
    controller = make(levels, repairs_per_step=2)
    controller.act(latents(levels, START))
    step, result = controller.execution.plans.under_way(1), controller.execution.plans.under_way(0).result
    retries = make(levels, repairs_per_step=2).execution.retries
    said = [retries.repairs(7, 0, 1, step, result, step.goal) for _ in range(2)]
    assert said == [True, True]
    assert retries.repairs(8, 0, 1, step, result, step.goal), "the next step repairs as well"
    assert retries.repairs(8, 0, 1, step, result, step.goal)
    assert not retries.repairs(8, 0, 1, step, result, step.goal), "now they were in vain"
    assert not retries.repairs(9, 0, 1, step, result, step.goal)
    assert retries.repairs(10, 0, 1, step, result, step.goal)


def test_a_plan_that_could_spend_nothing_tells_nothing() -> None:
    levels = (Dear(0), Slope(1))
    controller = make(levels, evaluations=100, allowance=0)
    controller.execution.ledger.evaluations = 100  # all that an episode may
    controller.act(latents(levels, START))
    assert controller.execution.ledger.starved
    assert controller.execution.last_repair is None and len(controller.execution.memories[1]) == 0


class Spelled(Corridor):
    """A word is the same letter four times."""

    def spelling(self, below: Tensor, macro: Tensor) -> Tensor:
        return macro.expand(BLOCK)


class Waiting(Sampling):
    """Plans to stay, and takes that for a way."""

    def plan(self, level, start, goal, **_) -> PlanResult:  # type: ignore[no-untyped-def, override]
        path = torch.stack([start, start])
        return PlanResult(torch.tensor([1]), path, goal(path), torch.ones(1), True, 1)


def test_where_words_lead_nowhere_the_next_subgoal_step_begins_and_only_the_last_one_is_planned_anew() -> None:
    levels = (Corridor(0), Spelled(1), Corridor(2))
    goal = GoalObservation(levels, latents(levels, START + 48), (0.0,) * 3)  # three blocks of 16 cells away
    planners = (BestFirstSearch(), Waiting(), BestFirstSearch())
    controller = Controller(levels, planners, (CALM,) * 3, goal, config=ControlConfig(patience=2))
    seen, repairs = [], []
    for _ in range(60):
        controller.act(latents(levels, START))
        seen.append(controller.execution.plans.under_way(2).at)
        repairs.append(controller.execution.ledger.repairs.get(2, 0))
    word = BLOCK
    first = repairs.index(1)
    assert seen[:first] == [0] * word + [1] * 3 * word + [2] * 3 * word, "the first block is near enough at once"
    assert seen[first] == 0, "an order is made anew"
    statuses = [node.status for node in controller.execution.tree.nodes.values() if node.level == 2]
    assert statuses[:3] == ["reached", "failed", "failed"]
