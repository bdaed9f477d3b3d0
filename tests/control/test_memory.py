"""Costs of subgoal steps: failures are remembered softly, straying is forbidden, and costs add up."""

from __future__ import annotations

from dataclasses import replace

import torch
from control.corridor import Corridor
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hplan.control.memory import DOUBLINGS, EventMemory, FailureMemory, SubgoalRegion, Sum, memories_for, together
from hplan.control.plans import ControlConfig
from hplan.types import Budget, PlanResult

PLACES = st.integers(0, 40)


def at(*cells: float) -> Tensor:
    """(B, 1) latents of the corridor."""
    return torch.tensor(cells)[:, None].float()


def test_without_failures_subgoal_steps_cost_nothing_extra() -> None:
    memory = FailureMemory(Corridor(0))
    assert len(memory) == 0
    assert memory(at(1, 2), at(2, 3)).tolist() == [0.0, 0.0]


@given(PLACES, PLACES, PLACES, PLACES, st.integers(1, 4))
def test_a_failure_makes_subgoal_steps_near_it_cost_more_each_time(a: int, b: int, c: int, d: int, times: int) -> None:
    memory = FailureMemory(Corridor(0), radius=1.5, penalty=2.0)
    for _ in range(times):
        memory = memory.add(at(a)[0], at(b)[0])
    near = abs(a - c) < 1.5 and abs(b - d) < 1.5
    assert memory(at(c), at(d)).tolist() == [2.0 * (2.0 ** min(times, DOUBLINGS) - 1) if near else 0.0]
    assert len(memory) == 1, "the same subgoal step, however often"


def test_adding_leaves_the_old_memory_as_it_was() -> None:
    old = FailureMemory(Corridor(0))
    new = old.add(at(1)[0], at(2)[0])
    assert (len(old), len(new)) == (0, 1)
    assert bool(new(at(1), at(2)).isfinite().all())  # soft: never a ban


def test_a_subgoal_step_has_a_direction() -> None:
    memory = FailureMemory(Corridor(0)).add(at(1)[0], at(9)[0])
    assert memory(at(1, 9), at(9, 1)).tolist() == [2.0, 0.0]


def test_below_a_subgoal_step_only_its_two_ends_are_allowed_as_the_level_above_sees_them() -> None:
    # Blocks of 4 cells: from block 2 (cells 8 to 11) to block 3 (12 to 15).
    within = SubgoalRegion((Corridor(1),), torch.tensor([2.0]), torch.tensor([3.0]), allowance=0.9)
    following = at(7, 8, 11, 12, 15, 16)
    inf = float("inf")
    assert within(at(9).expand(6, 1), following).tolist() == [inf, 0.0, 0.0, 0.0, 0.0, inf]


def test_a_subgoal_step_two_levels_up_is_seen_through_both() -> None:
    # Blocks of 16 cells: from block 0 to block 1.
    within = SubgoalRegion((Corridor(1), Corridor(2)), torch.tensor([0.0]), torch.tensor([1.0]), allowance=0.9)
    assert within(at(0, 0, 0), at(15, 31, 32)).isinf().tolist() == [False, False, True]


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=4))
def test_a_sum_adds_its_costs(costs: list[float]) -> None:
    parts = tuple(lambda z, following, c=c: torch.full((len(z),), c) for c in costs)
    assert torch.allclose(Sum(parts)(at(0, 1), at(1, 2)), torch.full((2,), sum(costs)), atol=1e-4)


def test_a_ban_in_a_sum_stays_a_ban() -> None:
    within = SubgoalRegion((Corridor(1),), torch.tensor([0.0]), torch.tensor([1.0]), allowance=0.9)
    both = Sum((FailureMemory(Corridor(0)).add(at(1)[0], at(2)[0]), within))
    assert both(at(1, 1), at(2, 50)).tolist() == [2.0, float("inf")]


@given(st.lists(PLACES, unique=True, max_size=8), st.integers(0, 4))
def test_the_latest_failures_are_remembered_and_no_others(places: list[int], most: int) -> None:
    memory = FailureMemory(Corridor(0), most=most)
    for place in places:
        memory = memory.add(at(place)[0], at(place + 1)[0])
    assert [int(start) for start, _ in memory.steps] == places[max(len(places) - most, 0) :]
    assert len(memory.times) == len(memory)


def test_where_all_ways_on_are_known_any_other_subgoal_step_is_a_last_resort() -> None:
    memory = EventMemory(Corridor(1), penalty=2.0).only(at(3)[0], at(2, 4))
    dear = 2.0 * (2.0**DOUBLINGS - 1)
    assert memory(at(3, 3, 3, 5), at(2, 4, 9, 9)).tolist() == [0.0, 0.0, dear, 0.0]
    assert len(memory) == 1
    nowhere = memory.only(at(3)[0], at(4)[:0])
    assert nowhere(at(3), at(4)).tolist() == [dear], "what is known last counts"
    assert len(nowhere) == 1
    assert nowhere.arrived(at(3)[0])(at(3), at(4)).tolist() == [dear], "it is still there"
    assert len(nowhere.arrived(at(4)[0])) == 1, "other places may lead there"
    assert len(nowhere.arrived(at(4)[0]).arrived(at(3)[0])) == 0, "it came back, perhaps elsewhere in it"


def test_what_no_way_leads_to_costs_more_for_as_long_as_the_level_stays() -> None:
    memory = (
        EventMemory(Corridor(1), alike=0.5).only(at(3)[0], at(2, 4)).add(at(3)[0], at(9)[0]).add(at(3)[0], at(9)[0])
    )
    assert memory(at(3), at(9)).item() > 100
    back = memory.arrived(at(4)[0]).arrived(at(3)[0])
    assert back(at(3, 3), at(9, 2)).tolist() == [0.5, 0.0]
    assert memory.add(at(3)[0], at(2)[0])(at(3), at(2)).item() == 2.5, "a way that failed has failed"


def test_a_subgoal_step_that_failed_from_like_places_costs_a_little_more_the_nearer_they_are() -> None:
    doors = torch.eye(4)
    memory = EventMemory(Corridor(1), alike=0.5).add(torch.zeros(4), doors[3])  # opening the last door, none open
    starts = torch.stack([doors[0], doors[0] + doors[1], doors[0]])
    ends = torch.stack([doors[0] + doors[3], doors[0] + doors[1] + doors[3], doors[0] + doors[2]])
    one, two, other = memory(starts, ends).tolist()
    assert 0.5 > one > two > other == 0.0, "another change is no worse for it"
    assert FailureMemory(Corridor(1)).add(torch.zeros(4), doors[3])(starts, ends).tolist() == [0.0, 0.0, 0.0]
    itself = memory(torch.zeros(1, 4), doors[3:]).item()
    assert itself == memory.penalty + 0.5


def test_events_remember_what_failed_elsewhere_and_steps_do_not() -> None:
    steps, events = memories_for((Corridor(0), Corridor(1)), ControlConfig())
    assert type(steps) is FailureMemory and type(events) is EventMemory


@given(st.lists(st.tuples(PLACES, PLACES), max_size=6), st.lists(st.tuples(PLACES, PLACES), min_size=1, max_size=6))
def test_without_the_rest_events_are_remembered_like_any_subgoal_step(failed: list, asked: list) -> None:
    memories = FailureMemory(Corridor(1)), EventMemory(Corridor(1), alike=0.0)
    for a, b in failed:
        memories = tuple(memory.add(at(a)[0], at(b)[0]) for memory in memories)
    steps = at(*(a for a, _ in asked)), at(*(b for _, b in asked))
    assert memories[0](*steps).tolist() == memories[1](*steps).tolist()


def test_a_subgoal_step_notes_the_ways_out_of_its_start_and_no_others() -> None:
    # From block 2 (cells 8 to 11) to block 4: cell 7 is in block 1, 12 in block 3.
    within = SubgoalRegion((Corridor(1),), torch.tensor([2.0]), torch.tensor([4.0]), allowance=0.9)
    assert within.ways().shape == (0, 1)
    within(at(8, 11, 9, 16), at(7, 12, 10, 21))
    within(at(11, 11), at(12, 16))
    assert sorted(within.ways()[:, 0].tolist()) == [1.0, 3.0, 4.0]


def test_ways_out_of_a_subgoal_step_two_levels_up_are_of_that_level() -> None:
    # From block 1 of 16 cells to block 4: cells 15 and 12 are of two blocks of 4, and of one of 16.
    within = SubgoalRegion((Corridor(1), Corridor(2)), torch.tensor([1.0]), torch.tensor([4.0]), allowance=0.9)
    within(at(16, 17, 31), at(15, 11, 32))
    assert sorted(within.ways()[:, 0].tolist()) == [0.0, 2.0]


def test_only_a_search_that_was_not_cut_short_and_failed_teaches_what_leads_on() -> None:
    within = SubgoalRegion((Corridor(1),), torch.tensor([2.0]), torch.tensor([4.0]), allowance=0.9)
    within(at(8), at(7))
    failed = PlanResult(torch.empty(0), at(8), torch.ones(1), torch.empty(0), reached=False, evaluations=9)
    empty = EventMemory(Corridor(1))
    assert len(within.taught(empty, failed, Budget(9, 5))) == 0
    assert len(within.taught(empty, replace(failed, reached=True), Budget(10, 5))) == 0
    assert len(within.taught(empty, replace(failed, latents=at(7)), Budget(10, 5))) == 0, "it did not begin in block 2"
    taught = within.taught(empty, failed, Budget(10, 5))
    assert isinstance(taught, EventMemory) and [end.tolist() for _, end in taught.ways] == [[[1.0]]]


def test_an_empty_memory_costs_nothing_and_is_not_asked() -> None:
    empty, failed = FailureMemory(Corridor(0)), FailureMemory(Corridor(0)).add(at(1)[0], at(2)[0])
    assert together(empty, None) is None
    assert together(empty, failed) == Sum((failed,))
