"""CEM and MPPI on a level whose best plan is known, and their promises on budget, cut, purity and bad calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hplan.planning.cem import CrossEntropy
from hplan.planning.energy import Guide, Guided
from hplan.planning.mppi import PathIntegral
from hplan.types import Budget, Capabilities, Energy, MacroSpec, UsageError

PLANNERS = (CrossEntropy, PathIntegral)


class Plane:
    """z' = z + macro in two dimensions, at most 1 along each axis a step; it counts what it is asked."""

    index, stride, capabilities = 0, 1.0, Capabilities(discrete=True)
    compatibility: Any = None
    obstruction = outcomes = process = policy = returns = landmarks = possible = approach = relaxation = None
    macro = MacroSpec("continuous", 2, low=(-1.0, -1.0), high=(1.0, 1.0))

    def __init__(self) -> None:
        self.evaluations = 0

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        self.evaluations += len(z)
        return z + macro

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))


@dataclass(frozen=True)
class At:
    """Distance to a place."""

    place: tuple[float, float]
    threshold: float = 0.2

    def __call__(self, z: Tensor) -> Tensor:
        return (z - torch.tensor(self.place)).norm(dim=-1)


def plan(
    planner: Any, goal: Energy, *, level: Plane | None = None, evaluations: int = 4096, horizon: int = 8, **options: Any
) -> Any:
    level = level or Plane()
    generator = torch.Generator().manual_seed(0)
    budget = Budget(evaluations, horizon)
    result = planner.plan(level, torch.zeros(2), goal, budget=budget, generator=generator, **options)
    assert result.evaluations == level.evaluations
    return result


@pytest.mark.parametrize("kind", PLANNERS)
def test_it_comes_near_a_goal_within_the_horizon_by_the_fewest_steps(kind: Any) -> None:
    patient = {"enough": 0.0} if kind is CrossEntropy else {}
    result = plan(kind(rounds=8, candidates=256, **patient), At((2.5, -1.5)))
    assert result.reached
    assert 3 <= len(result) <= 5  # three steps are the least


def test_rounds_end_well_inside_the_goal() -> None:
    early, late = (plan(CrossEntropy(rounds=8, enough=share), At((2.5, -1.5), 1.0)) for share in (0.5, 0.0))
    assert early.reached
    assert float(early.energies[-1]) <= 0.5
    assert early.evaluations < late.evaluations


def test_plans_that_are_too_short_are_made_longer_where_the_budget_allows() -> None:
    far = At((12.0, 0.0), 1.0)
    planner = CrossEntropy(candidates=128)
    longer = plan(planner, far, horizon=64, evaluations=20_000)
    assert longer.reached
    assert 11 <= len(longer) <= 16
    assert len(plan(planner, far, horizon=8, evaluations=20_000)) <= 8
    poor = plan(planner, far, horizon=64, evaluations=3072)  # what the short ones took
    assert not poor.reached
    assert poor.evaluations <= 3072
    assert plan(planner, At((2.5, 0.0), 1.0), horizon=64, evaluations=20_000).evaluations <= 3072


def ahead(goal: At) -> Guide:
    """Straight to the goal, at full speed."""
    return lambda z: ((torch.tensor(goal.place) - z).clamp(-1, 1), torch.full_like(z, 0.1))


def back(goal: At) -> Guide:
    """Away from it, and sure of that."""
    return lambda z: (-(torch.tensor(goal.place) - z).sign(), torch.full_like(z, 0.1))


def test_a_guide_that_knows_the_way_saves_all_but_one_small_round() -> None:
    goal = At((2.5, -1.5))
    alone, led = plan(CrossEntropy(), goal), plan(CrossEntropy(), Guided(goal, ahead(goal)))
    assert led.reached
    assert len(led) == 3  # the least
    assert led.evaluations == 16 * 8 < alone.evaluations


def test_a_guide_that_leads_astray_is_left() -> None:
    goal = At((2.5, -1.5), 1.0)
    for horizon, evaluations in ((64, 20_000), (8, 20_000)):  # also where none may be twice as long
        assert plan(CrossEntropy(), Guided(goal, back(goal)), horizon=horizon, evaluations=evaluations).reached
    assert plan(CrossEntropy(guided=0), Guided(goal, back(goal))).evaluations == plan(CrossEntropy(), goal).evaluations


class Skewed(Plane):
    """Actions from (0, -3) to (2, 1)."""

    macro = MacroSpec("continuous", 2, low=(0.0, -3.0), high=(2.0, 1.0))


def test_a_guide_speaks_in_half_ranges_from_the_middle() -> None:
    def always(z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.tensor([0.5, -0.25]).expand_as(z), torch.zeros_like(z)

    led = plan(CrossEntropy(guided=1, rounds=1), Guided(At((9.0, -9.0)), always), level=Skewed())
    assert torch.equal(led.macros, torch.tensor([[1.5, -1.5]]).expand_as(led.macros))


@given(evaluations=st.integers(1, 3000), horizon=st.integers(1, 40), good=st.booleans())
@settings(max_examples=25)
def test_the_budget_holds_with_a_guide(evaluations: int, horizon: int, good: bool) -> None:
    goal = At((9.0, 3.0))
    guide = (ahead if good else back)(goal)
    result = plan(CrossEntropy(), Guided(goal, guide), evaluations=evaluations, horizon=horizon)
    assert 1 <= len(result) <= horizon
    assert result.evaluations <= evaluations
    assert float(result.macros.abs().max()) <= 1.0
    assert torch.allclose(result.energies, goal(result.latents))


def test_where_a_guide_gets_on_a_goal_too_far_off_is_not_searched_for() -> None:
    far = At((30.0, 0.0))
    led = plan(CrossEntropy(), Guided(far, ahead(far)), horizon=64, evaluations=20_000)
    assert not led.reached
    assert float(led.energies[-1]) < 15.0  # sixteen of thirty steps
    assert led.evaluations == 3 * 16 * 8 + 3 * 16 * 16  # guided rounds alone


class Gamble(Plane):
    """A plane on whose upper half a step may end anywhere."""

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return 500.0 * ((z + macro)[:, 1] > 0.1)


@pytest.mark.parametrize("kind", PLANNERS)
def test_a_step_whose_end_is_chance_is_dear(kind: Any) -> None:
    result = plan(kind(candidates=256, rounds=6), At((3.0, 0.0)), level=Gamble())
    assert bool((result.latents[1:, 1] <= 0.1).all())
    assert torch.equal(result.costs, torch.ones(len(result)))


class Fenced(Plane):
    """A plane on which play has never been beyond x = 1."""

    capabilities = Capabilities()

    def compatibility(self, z: Tensor, following: Tensor) -> Tensor:
        return 100 * (following[:, 0] - 1.0)


def test_plans_stay_where_play_has_been_and_come_back_from_beyond() -> None:
    goal, budget = At((0.5, 3.0)), Budget(4096, 8)
    for start in ((0.9, 0.0), (3.0, 0.0)):
        result = CrossEntropy(enough=0.0).plan(
            Fenced(), torch.tensor(start), goal, budget=budget, generator=torch.Generator().manual_seed(0)
        )
        assert float(result.latents[:, 0].max()) <= max(start[0], 1.0) + 0.05
        assert float(result.energies[-1]) < float(result.energies[0])


@pytest.mark.parametrize("kind", PLANNERS)
def test_a_goal_out_of_the_horizon_is_approached_and_not_claimed(kind: Any) -> None:
    result = plan(kind(), At((30.0, 0.0)))
    assert not result.reached
    assert float(result.energies[-1]) < 27.0


@pytest.mark.parametrize("kind", PLANNERS)
@given(evaluations=st.integers(1, 2000), horizon=st.integers(1, 12), candidates=st.integers(1, 70))
@settings(max_examples=25)
def test_the_budget_holds_and_the_parts_of_a_result_fit(
    kind: Any, evaluations: int, horizon: int, candidates: int
) -> None:
    result = plan(kind(candidates=candidates), At((3.0, 3.0)), evaluations=evaluations, horizon=horizon)
    steps = len(result)
    assert 1 <= steps <= horizon
    assert result.evaluations <= evaluations
    assert result.latents.shape == (steps + 1, 2)
    assert result.energies.shape == (steps + 1,)
    assert result.costs.shape == (steps,)
    assert torch.allclose(result.latents[1:], result.latents[:-1] + result.macros)  # the path is the one predicted
    assert float(result.macros.abs().max()) <= 1.0
    assert torch.allclose(result.energies, At((3.0, 3.0))(result.latents))


@pytest.mark.parametrize("kind", PLANNERS)
def test_the_plan_is_cut_where_it_is_best(kind: Any) -> None:
    result = plan(kind(candidates=128, rounds=4), At((1.0, 0.0)))
    assert float(result.energies[-1]) <= float(result.energies[1:].min()) + 0.1


@pytest.mark.parametrize("kind", PLANNERS)
def test_the_same_generator_gives_the_same_plan(kind: Any) -> None:
    first, second = plan(kind(), At((2.0, 2.0))), plan(kind(), At((2.0, 2.0)))
    assert torch.equal(first.macros, second.macros)


@pytest.mark.parametrize("kind", PLANNERS)
def test_an_extra_cost_of_steps_is_paid_and_avoided(kind: Any) -> None:
    def upper_half(z: Tensor, following: Tensor) -> Tensor:
        return 500.0 * (following[:, 1] > 0.1)

    # Straight ahead touches the upper half half of the time; a plan that knows the cost stays below.
    result = plan(kind(candidates=256, rounds=6), At((3.0, 0.0)), step_cost=upper_half)
    assert bool((result.latents[1:, 1] <= 0.1).all())
    assert torch.equal(result.costs, torch.ones(len(result)))


@pytest.mark.parametrize("kind", PLANNERS)
def test_discrete_macro_actions_are_refused_by_name(kind: Any) -> None:
    level = Plane()
    level.macro = MacroSpec("discrete", 3)
    with pytest.raises(UsageError, match="BestFirstSearch"):
        kind().plan(level, torch.zeros(2), At((0.0, 0.0)), budget=Budget(10, 2))


@pytest.mark.parametrize("kind", PLANNERS)
@pytest.mark.parametrize("budget", [Budget(0, 4), Budget(16, 0)])
def test_an_empty_budget_is_refused(kind: Any, budget: Budget) -> None:
    with pytest.raises(UsageError, match="1 evaluation"):
        kind().plan(Plane(), torch.zeros(2), At((0.0, 0.0)), budget=budget)


@pytest.mark.parametrize("name", ["candidates", "rounds", "elites"])
def test_no_candidates_rounds_or_elites_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} 0"):
        CrossEntropy(**{name: 0})
    with pytest.raises(UsageError, match="guided -1"):
        CrossEntropy(guided=-1)
