"""Constraints while plans are searched for: the long way where the short one is forbidden, and none where all are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from hplan.levels.heads.violation import MapViolation
from hplan.planning.constraints import FEW, Given, Guard, Learned, Margin, _asked
from hplan.planning.mppi import PathIntegral
from hplan.planning.rollout import Scored
from hplan.planning.search import BestFirstSearch
from hplan.types import Budget, Capabilities, MacroSpec, UsageError

WIDTH = 5
MOVES = torch.tensor([-WIDTH, WIDTH, -1, 1])  # up, down, left, right


class Grid:
    """A grid of cells without walls, WIDTH wide and high; a latent is the number of a cell."""

    index, stride, compatibility, outcomes = 0, 1.0, None, None
    macro, capabilities = MacroSpec("discrete", 4), Capabilities(discrete=True)

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        row, column = z[:, 0] // WIDTH, z[:, 0] % WIDTH
        step = MOVES[macro]
        column = (column + torch.where(step.abs() == 1, step, 0)).clamp(0, WIDTH - 1)
        row = (row + torch.where(step.abs() > 1, step // WIDTH, 0)).clamp(0, WIDTH - 1)
        return (row * WIDTH + column)[:, None]

    def prior(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), 4)

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))

    def keys(self, z: Tensor) -> Tensor:
        return z


@dataclass
class At:
    cell: int
    threshold: float = 0.0

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, 0] != self.cell).float()


def forbidding(*cells: int) -> Given:
    return Given(lambda z: torch.isin(z[:, 0], torch.tensor(cells)).float(), None, Margin(0.0, 0.01, wanted=False))


def plan(*cells: int):
    return BestFirstSearch().plan(
        Grid(), torch.tensor([0]), At(4), budget=Budget(4000, 30), step_cost=forbidding(*cells) if cells else None
    )


@pytest.mark.parametrize(("cells", "length"), [((), 4), ((2,), 6), ((2, 7), 8), ((2, 7, 12, 17), 12)])
def test_the_shortest_allowed_way_is_found(cells: tuple[int, ...], length: int) -> None:
    result = plan(*cells)
    assert result.reached
    assert len(result) == length
    assert not set(result.latents[:, 0].tolist()) & set(cells)


def test_a_goal_that_can_only_be_had_by_breaking_a_constraint_is_not_reached() -> None:
    result = plan(2, 7, 12, 17, 22)
    assert not result.reached
    assert not set(result.latents[:, 0].tolist()) & {2, 7, 12, 17, 22}


def test_from_within_only_steps_that_lead_out_are_allowed() -> None:
    rule = Given(lambda z: 3.0 - z[:, 0], None, Margin(0.0, 0.01))  # forbidden below 3
    z = torch.tensor([[1.0], [1.0], [1.0], [5.0], [5.0]])
    following = torch.tensor([[2.0], [0.0], [4.0], [4.0], [2.0]])
    assert rule(z, following).isinf().tolist() == [False, True, False, False, True]


class Shown:
    """Latents (B, 1) on a line are what they look like; a step of level 0 is 1."""

    def encode(self, x: Tensor) -> Tensor:
        return x

    read = encode

    def around(self, z: Tensor, margin: float) -> Tensor:
        return torch.stack([z, z + margin, z - margin])


def between_four_and_six(seen: Tensor) -> Tensor:
    return 1.0 - (seen[..., 0] - 5.0).abs()


def test_a_step_of_a_level_above_leads_past_nothing_that_is_forbidden() -> None:
    rule = Given(between_four_and_six, Shown(), Margin(0.0, 0.01), stride=8.0)
    z = torch.tensor([[0.0], [0.0], [8.0], [3.0]])
    following = torch.tensor([[8.0], [3.0], [9.0], [5.0]])
    assert rule(z, following).isinf().tolist() == [True, False, False, True]
    assert not bool(Given(between_four_and_six, Shown(), Margin(0.0, 0.01))(z[:1], following[:1]).isinf())


def test_from_within_a_step_of_a_level_above_leads_out_and_not_across() -> None:
    rule = Given(between_four_and_six, Shown(), Margin(0.0, 0.01), stride=8.0)
    z, following = torch.tensor([[4.5], [4.5]]), torch.tensor([[2.0], [8.0]])
    assert rule(z, following).isinf().tolist() == [False, True]


def test_a_margin_is_kept_from_what_is_given_and_from_what_was_learned() -> None:
    z, following = torch.tensor([[0.0], [0.0]]), torch.tensor([[3.6], [3.2]])
    given = Given(between_four_and_six, Shown(), Margin(0.5, 0.01))
    learned = Learned(lambda z, following: between_four_and_six(following), Margin(0.5, 0.01), Shown())
    for rule in (given, learned):
        assert rule(z, following).isinf().tolist() == [True, False]
    without = Learned(learned.violation, Margin(0.5, 0.01, wanted=False), Shown())
    assert not bool(without(z, following).isinf().any())


def test_an_observation_is_judged_as_it_is() -> None:
    """Without margin, and without the detour by what its latent looks like."""
    rules = (Given(between_four_and_six, Shown(), Margin(0.5, 0.01)), forbidding(7))
    guard = Guard(rules, rules, Margin(0.5, 0.01))
    assert guard.broken(torch.tensor([[3.9]]), torch.tensor([[7]])) == (1,)
    assert guard.broken(torch.tensor([[4.1]]), torch.tensor([[6]])) == (0,)


def test_a_margin_is_as_wide_as_errors_are_at_the_nominal_rate() -> None:
    margin = Margin(0.2, 0.1)
    for _ in range(FEW - 1):
        margin.add(5.0)
    assert margin.steps == 0.2  # too few to say anything
    for _ in range(1000):
        margin.add(0.1)
    assert margin.steps == 0.2  # never less than what calibration found
    for i in range(200):
        margin.add(i / 199)
    assert margin.steps == pytest.approx(0.9, abs=0.1)
    assert Margin(0.2, 0.1, wanted=False).steps == 0.0


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (lambda seen: torch.full((len(seen),), torch.nan), "a constraint said NaN"),
        (lambda seen: seen, r"a constraint said \(6, 2\) of 6 observations; expected one"),
        (lambda seen: seen["speed"], r"a constraint raised .*, of observations \(6, 2\); expected one number for each"),
        (lambda seen: ["no"] * 6, "a constraint raised"),
    ],
    ids=["nan", "two", "raises", "words"],
)
def test_a_constraint_that_says_nothing_is_a_wrong_call(says: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        _asked(says, torch.zeros(2, 3, 2))
    assert _asked(lambda seen: seen[:, 0] > 0, torch.ones(2, 3, 2)).tolist() == [[1.0] * 3] * 2


def test_an_empty_guard_is_none() -> None:
    assert not Guard((None, None), (), Margin(0.0, 0.01))
    assert Guard((forbidding(1),), (), Margin(0.0, 0.01))


class Line:
    """A point on a line that is pushed."""

    index, stride, compatibility, outcomes = 0, 1.0, None, None
    macro = MacroSpec("continuous", 1, low=(-1.0,), high=(1.0,))

    def predict(self, z: Tensor, macro: Tensor) -> Tensor:
        return z + macro

    def uncertainty(self, z: Tensor, macro: Tensor) -> Tensor:
        return torch.zeros(len(z))


@dataclass
class Beyond:
    threshold: float = 0.5

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, 0] - 6.0).abs()


@pytest.mark.parametrize("name", ["cem", "mppi"])
def test_samples_stop_before_what_is_forbidden(name: str) -> None:
    from hplan.planning.cem import CrossEntropy

    planner = CrossEntropy() if name == "cem" else PathIntegral()
    wall = Given(lambda z: z[:, 0] - 3.0, None, Margin(0.0, 0.01))
    free, kept = (
        planner.plan(
            Line(),
            torch.zeros(1),
            Beyond(),
            budget=Budget(20_000, 30),
            step_cost=cost,
            generator=torch.Generator().manual_seed(0),
        )
        for cost in (None, wall)
    )
    assert float(free.latents.max()) > 3.0
    assert float(kept.latents.max()) <= 3.0
    assert not kept.reached


def test_a_candidate_whose_first_step_is_forbidden_is_no_step_at_all() -> None:
    infinite = torch.full((2,), torch.inf)
    scored = Scored(
        torch.ones(2, 3, 1), torch.zeros(2, 4, 1), torch.ones(2, 4), torch.ones(2, 3), infinite, torch.tensor([1, 1])
    )
    assert len(scored.best().macros) == 0


def test_a_cell_of_a_map_tells_a_violation() -> None:
    """One cell that says so is enough, wherever it is."""
    head = MapViolation(channels=1, hidden=2)

    class Cells:
        class space:
            outside = 2

            @staticmethod
            def embed(z: Tensor) -> Tensor:
                return z[..., None].float()

    with torch.no_grad():
        first, last = head.cell[0], head.cell[2]
        first.weight.zero_()
        first.bias.zero_()
        first.weight[0, 1] = 1.0  # the symbol afterwards
        last.weight.zero_()
        last.weight[0, 0] = 20.0
        last.bias.fill_(-10.0)
    z = torch.zeros(2, 3, 3, dtype=torch.long)
    following = z.clone()
    following[1, 2, 0] = 1
    assert (head(Cells(), z, following) > 0).tolist() == [False, True]
    maps = torch.randint(3, (2, 8, 4, 5), generator=torch.Generator().manual_seed(0))
    learning = head(Cells(), *maps)
    torch.testing.assert_close(head.eval()(Cells(), *maps), learning, msg="remembered as worked out")
    with torch.no_grad():
        last.bias.fill_(10.0)
    assert (head.train().eval()(Cells(), z, following) > 0).all(), "what learns forgets what it said"
