"""Value iteration against policies found by hand and by brute force, on decision processes of a few states."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from hplan.planning.choice import Planning, search
from hplan.planning.value_iteration import DISCOUNT, ValueIteration
from hplan.types import Budget, Capabilities, MacroSpec, PlanResult

Table = dict[int, list[dict[int, float]]]  # state -> for every action: successors and their chances
GOAL, PIT = 1, 2


class Process:
    """A level whose latents are states. What is not in the table stays where it is."""

    index, stride, capabilities = 0, 1.0, Capabilities(discrete=True)
    obstruction = process = policy = returns = landmarks = possible = approach = relaxation = None

    def __init__(self, table: Table, states: int) -> None:
        actions = max(len(row) for row in table.values())
        self.macro = MacroSpec("discrete", actions)
        most = max(len(ends) for row in table.values() for ends in row)
        self.states = torch.arange(states)[:, None, None].repeat(1, actions, most)
        self.chances = torch.zeros(states, actions, most)
        self.chances[..., 0] = 1.0
        for state, row in table.items():
            for action, ends in enumerate(row):
                for k, (following, chance) in enumerate(sorted(ends.items(), key=lambda e: -e[1])):
                    self.states[state, action, k], self.chances[state, action, k] = following, chance
        self.evaluations = 0

    def encode(self, below: Tensor) -> Tensor:
        return below

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return self.states[z[:, 0].long(), macro, 0][:, None].float()

    def outcomes(self, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor]:
        self.evaluations += len(z)
        at = z[:, 0].long()
        return self.states[at, macro][..., None].float(), self.chances[at, macro]

    def prior(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), self.macro.size)

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        return (z != other).float().sum(-1)

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def keys(self, z: Tensor) -> Tensor:
        return z.long()


class At:
    threshold = 0.0

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, 0] - GOAL).abs()


def plan(level: Process, evaluations: int = 10_000, horizon: int = 100) -> PlanResult:
    return ValueIteration().plan(level, torch.zeros(1), At(), budget=Budget(evaluations, horizon))


def detour(length: int, risk: float) -> Process:
    """At 0, action 0 goes to the goal and falls into the pit with a chance; action 1 goes a sure way of `length`."""
    way = [0, *range(3, 2 + length), GOAL]
    table: Table = {a: [{a: 1.0}, {b: 1.0}] for a, b in pairwise(way)}
    table[0][0] = {GOAL: 1 - risk, PIT: risk}
    return Process(table, 3 + length)


def test_a_sure_detour_beats_a_risky_short_way() -> None:
    found = plan(detour(4, risk=0.3))
    assert found.reached
    assert found.macros.tolist() == [1, 1, 1, 1]
    assert found.latents[:, 0].tolist() == [0, 3, 4, 5, GOAL]
    assert found.energies[-1] == 0


def test_a_small_risk_beats_a_detour_that_is_too_long() -> None:
    risk = 0.06
    worth = int(np.log(1 - risk) / np.log(DISCOUNT)) + 1  # steps that avoiding the risk is worth
    assert plan(detour(worth - 5, risk)).macros[0] == 1
    assert plan(detour(worth + 5, risk)).macros[0] == 0


def test_the_path_ends_at_the_first_step_that_may_well_end_otherwise() -> None:
    level = Process({0: [{3: 1.0}], 3: [{4: 0.8, 0: 0.2}], 4: [{GOAL: 1.0}]}, 5)
    found = plan(level)
    assert found.latents[:, 0].tolist() == [0, 3, 4]
    assert not found.reached


def test_trying_again_after_a_slip_is_as_good_as_sure() -> None:
    slips: Table = {0: [{0: 0.5, GOAL: 0.5}, {GOAL: 0.9, PIT: 0.1}]}
    assert plan(Process(slips, 3)).macros.tolist() == [0]


def test_a_sure_world_gets_the_shortest_way_and_a_stochastic_one_this_planner() -> None:
    level = Process({0: [{3: 1.0}, {4: 1.0}], 3: [{4: 1.0}], 4: [{5: 1.0}, {GOAL: 1.0}], 5: [{GOAL: 1.0}]}, 6)
    assert plan(level).latents[:, 0].tolist() == [0, 4, GOAL]
    slippery = Process({0: [{0: 0.5, GOAL: 0.5}], 1: [{1: 0.5, 0: 0.5}]}, 2)
    assert isinstance(search(slippery, Planning()), ValueIteration)


def test_at_the_goal_there_is_nothing_to_do() -> None:
    level = detour(3, 0.5)
    found = ValueIteration().plan(level, torch.tensor([float(GOAL)]), At(), budget=Budget(100, 10))
    assert found.reached and len(found) == 0
    assert found.evaluations == level.evaluations == 0


def test_a_goal_out_of_reach_is_not_reached_and_the_horizon_holds() -> None:
    found = plan(Process({0: [{2: 1.0}, {3: 1.0}], 3: [{0: 1.0}]}, 4), horizon=7)
    assert not found.reached
    assert len(found) <= 7


def test_without_a_way_to_the_goal_it_goes_as_near_as_it_can_and_stays() -> None:
    class Far(At):
        """To be at state 9, which there is none like; higher states are nearer."""

        def __call__(self, z: Tensor) -> Tensor:
            return 9 - z[:, 0]

    line: Table = {0: [{1: 1.0}], 1: [{0: 1.0}, {2: 1.0}], 2: [{3: 1.0}, {1: 1.0}], 3: [{2: 1.0}]}
    found = ValueIteration().plan(Process(line, 4), torch.zeros(1), Far(), budget=Budget(1000, 512))
    assert found.latents[:, 0].tolist() == [0, 1, 2, 3] and not found.reached
    there = ValueIteration().plan(Process(line, 4), torch.full((1,), 3.0), Far(), budget=Budget(1000, 512))
    assert len(there) == 0


@given(st.integers(1, 30))
def test_the_budget_is_kept_and_evaluations_are_counted(budget: int) -> None:
    level = detour(6, 0.3)
    found = plan(level, evaluations=budget)
    assert found.evaluations == level.evaluations <= budget
    assert len(found.latents) == len(found.energies) == len(found) + 1 == len(found.costs) + 1


def test_every_state_is_expanded_once() -> None:
    level = detour(6, 0.3)
    assert plan(level).evaluations == 2 * 7  # 0, five on the way, the pit; the goal is not


@pytest.mark.parametrize("budget", [1, 3, 1000])
def test_the_same_call_gives_the_same_plan(budget: int) -> None:
    one, other = (plan(detour(5, 0.2), evaluations=budget) for _ in range(2))
    assert torch.equal(one.macros, other.macros) and torch.equal(one.latents, other.latents)


def best_values(level: Process, states: int) -> tuple[np.ndarray, np.ndarray]:
    """By trying every policy: values (S,) of the best, and of each action followed by it (S, A)."""
    chances = np.zeros((states, level.macro.size, states))
    for state, action in product(range(states), range(level.macro.size)):
        np.add.at(chances[state, action], level.states[state, action].numpy(), level.chances[state, action].numpy())
    goal = np.eye(states)[GOAL]
    best = goal
    for policy in product(range(level.macro.size), repeat=states):
        moves = chances[np.arange(states), policy] * (1 - goal)[:, None]
        best = np.maximum(best, np.linalg.solve(np.eye(states) - DISCOUNT * moves, goal))
    return best, DISCOUNT * chances @ best


STATES = 4
ENDS = st.tuples(st.integers(0, STATES - 1), st.integers(0, STATES - 1), st.integers(5, 10)).map(
    lambda e: {e[0]: 1.0} if e[0] == e[1] or e[2] == 10 else {e[0]: e[2] / 10, e[1]: 1 - e[2] / 10}
)
ROUNDING = 1e-9  # the values of the policies come from a linear solve, which leaves 2e-16 where there is no way


@settings(max_examples=60)
@given(st.lists(st.tuples(ENDS, ENDS), min_size=STATES, max_size=STATES))
@example([({0: 1.0}, {0: 1.0}), ({0: 1.0}, {0: 1.0}), ({0: 1.0}, {0: 0.5, 1: 0.5}), ({0: 1.0}, {1: 0.6, 0: 0.4})])
def test_the_first_action_is_as_good_as_the_best_policy(rows: list[tuple[dict[int, float], dict[int, float]]]) -> None:
    level = Process({state: list(row) for state, row in enumerate(rows)}, STATES)
    found = plan(level)
    best, each = best_values(level, STATES)
    assert (len(found) > 0) == (best[0] > ROUNDING), "where nothing leads to the goal, there is nothing to do"
    if len(found):
        assert each[0, int(found.macros[0])] == pytest.approx(best[0], abs=5e-3)


def test_a_pit_that_the_model_leaks_out_of_a_little_is_still_a_pit() -> None:
    leaky: Table = {0: [{PIT: 0.5, 3: 0.5}, {3: 1.0}], 3: [{GOAL: 1.0}], PIT: [{PIT: 0.97, GOAL: 0.03}]}
    assert plan(Process(leaky, 4)).macros.tolist() == [1, 0]
    hopeless: Table = {0: [{PIT: 1.0}], PIT: [{PIT: 0.97, GOAL: 0.03}]}
    assert not plan(Process(hopeless, 3)).reached
