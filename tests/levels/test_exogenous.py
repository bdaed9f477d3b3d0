"""What comes and goes by itself: counted in an episode, predicted to be gone, and not seen from above."""

from __future__ import annotations

import pytest
import torch
from key_door import BOX, DOOR, FLOOR, GOAL, OPEN, WALL, key_door_level
from torch import Tensor

from hplan.levels.exogenous import DOUBT, AsItStands, Exogenous, watched
from hplan.levels.level import Level

TOKENS = 3
PASSABLE = torch.tensor([kind in (FLOOR, OPEN) for kind in range(GOAL + 1)])


class Lowest:
    """Level 0 as far as it is asked: steps touch the first row alone."""

    def __init__(self) -> None:
        self.dynamics, self.space, self.index = self, self, 0
        self.tokens, self.calls = TOKENS, 0

    def touched_cells(self, level: object, z: Tensor, macro: Tensor) -> Tensor:
        self.calls += 1
        touched = torch.zeros_like(z, dtype=torch.bool)
        touched[:, 0] = True
        return touched

    def settling(self, settled: Exogenous) -> Lowest:
        self.settled = settled
        return self


def maps(*rows: list[int]) -> Tensor:
    return torch.tensor(rows) * TOKENS


QUIET = maps([FLOOR, WALL, FLOOR, FLOOR], [BOX, FLOOR, FLOOR, BOX])
MOVED = maps([FLOOR, WALL, FLOOR, FLOOR], [FLOOR, BOX, BOX, FLOOR])
STEP = torch.tensor(0)


def counted(*steps: tuple[Tensor, Tensor]) -> Exogenous:
    found = Exogenous(Lowest(), PASSABLE)
    for before, after in steps:
        found.add(before, STEP, after)
    return found


def test_what_leaves_more_often_than_it_stays_is_gone_one_step_later() -> None:
    once, twice = counted((QUIET, MOVED)), counted((QUIET, MOVED), (MOVED, QUIET))
    assert twice.stayed[BOX] == 0
    assert not once
    assert once.left[BOX] == 2 <= DOUBT
    assert twice
    assert torch.equal(twice(QUIET), torch.where(QUIET == BOX * TOKENS, FLOOR * TOKENS, QUIET))
    assert torch.equal(twice(QUIET + 2)[1], torch.full((4,), FLOOR * TOKENS + 2)), "tokens stay"
    assert torch.equal(twice(torch.stack([QUIET, MOVED]))[1], twice(MOVED))


def test_it_is_told_when_what_comes_and_goes_becomes_known_and_when_no_more() -> None:
    found = Exogenous(Lowest(), PASSABLE)
    assert [found.add(*step) for step in ((QUIET, STEP, MOVED), (MOVED, STEP, QUIET), (QUIET, STEP, MOVED))] == [
        False,
        True,
        False,
    ]
    still = [found.add(MOVED, STEP, MOVED) for _ in range(2)]
    assert still == [False, True], "two of six stayed, then four of eight"
    assert not found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (QUIET.flip(0), MOVED.flip(0)),  # where steps touch the map
        (maps([FLOOR] * 5, [FLOOR] * 5), maps([FLOOR] * 5, [BOX] * 5)),  # a floor is not in the way
        (maps([FLOOR] * 5, [DOOR] * 5), maps([FLOOR] * 5, [WALL] * 5)),  # what comes is as much in the way
    ],
)
def test_nothing_else_comes_and_goes(before: Tensor, after: Tensor) -> None:
    assert not counted((before, after), (before, after))


def test_what_stayed_before_it_first_left_counts() -> None:
    """Boxes that stand for long, and then go all at once, as by a lever elsewhere, do not come and go."""
    many = maps([FLOOR] * 9, [BOX] * 9)
    gone = torch.where(many == BOX * TOKENS, FLOOR * TOKENS, many)
    assert counted((many, gone))
    assert not counted((many, many), (many, gone))


def test_a_quiet_world_costs_a_comparison_a_step() -> None:
    lowest = Lowest()
    found = Exogenous(lowest, PASSABLE)
    assert not any(found.add(QUIET, STEP, QUIET) for _ in range(3))
    assert not lowest.calls


def test_constraints_see_it_where_it_is_now() -> None:
    found = counted((QUIET, MOVED), (MOVED, QUIET))

    def boxes(z: Tensor, following: Tensor) -> Tensor:
        return (following == BOX * TOKENS).flatten(1).sum(1).float()

    ahead = AsItStands(boxes, found)
    here = torch.stack([QUIET, found(QUIET)])
    assert ahead(here, found(here)).tolist() == [2.0, 0.0], "and in no step after the next"


def test_one_takes_what_another_has_counted() -> None:
    found, other = counted((QUIET, MOVED), (MOVED, QUIET)), Exogenous(Lowest(), PASSABLE)
    other.take(found)
    assert torch.equal(other(QUIET), found(QUIET))
    other.add(MOVED, STEP, MOVED)
    assert other.stayed[BOX] == 2 + found.stayed[BOX]


def test_out_of_use_everything_stays() -> None:
    found = counted((QUIET, MOVED), (MOVED, QUIET))
    found.in_use = False
    assert not found
    assert torch.equal(found(QUIET), QUIET)


def test_the_level_above_does_not_see_it_and_weights_are_shared() -> None:
    upper = key_door_level()
    lowest = Lowest()
    (_, seeing), found = watched((lowest, upper))  # type: ignore[arg-type]
    assert found is not None
    assert isinstance(seeing, Level)
    assert lowest.settled is found
    assert seeing.space is upper.space
    assert torch.equal(found.passable, upper.space.passable)


def test_levels_that_know_of_no_ground_are_left_as_they_are() -> None:
    lowest = Lowest()
    assert watched((lowest,)) == ((lowest,), None)  # type: ignore[arg-type]
    assert watched((lowest, lowest)) == ((lowest, lowest), None)  # type: ignore[arg-type]
    assert watched((upper := key_door_level(), upper))[1] is None, "nor of cells that a step touches"
