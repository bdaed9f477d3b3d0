"""Landmarks lie evenly over play; what edges between them remember: crossings that are known, sums, and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from levels.line_levels import Known, edges, line_level
from levels.plays import play_of
from levels.small_levels import vector_stack

from hplan.levels.heads.landmarks import (
    MOST,
    OFTEN,
    VOUCHED,
    LandmarkEdges,
    crossed,
    farthest_points,
    landmark_edges,
    nearest_landmark,
    reversibility,
)
from hplan.levels.level import Level
from hplan.levels.stack import Stack
from hplan.play.play import Play


@given(seed=st.integers(0, 1000), radius=st.floats(0.1, 2.0))
def test_landmarks_cover_everything_and_keep_their_distance(seed: int, radius: float) -> None:
    z = torch.randn(100, 2, generator=torch.Generator().manual_seed(seed))
    chosen = z[farthest_points(z, 100, radius)]
    assert float(torch.cdist(z, chosen).min(1).values.max()) <= radius + 1e-4
    apart = torch.cdist(chosen, chosen) + 1e9 * torch.eye(len(chosen))
    assert float(apart.min()) > radius - 1e-4


@given(seed=st.integers(0, 1000))
def test_the_nearest_landmark_is_the_nearest(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z, landmarks = torch.randn(20, 3, generator=generator), torch.randn(7, 3, generator=generator)
    found = torch.cdist(z, landmarks)
    assert torch.allclose(
        found.gather(1, nearest_landmark(z, landmarks)[:, None])[:, 0], found.min(1).values, atol=1e-4
    )


def table(found: LandmarkEdges) -> list[tuple]:
    names = ("start", "end", "macros", "crossings", "failures")
    return list(zip(*(getattr(found, name).tolist() for name in names), strict=True))


def course(*positions: float) -> torch.Tensor:
    return torch.tensor(positions, dtype=torch.float32)[:, None]


def test_a_step_of_the_level_crosses_from_the_landmark_near_its_begin_to_the_one_near_its_end() -> None:
    level = line_level(places=(0.0, 4.0, 8.0))
    z = torch.arange(9.0)[:, None]
    found = crossed(level, 3, z, torch.zeros(9, 1), torch.arange(5))
    assert table(found) == [(0, 1, 1, 1, 0), (1, 2, 1, 1, 0)], "moments in a row are one crossing"
    assert found.steps.tolist() == [1.0, 1.0], "the moment that was nearest to both landmarks counts"


def test_a_crossing_beside_the_landmarks_takes_longer() -> None:
    level = line_level(places=(0.0, 4.0))
    found = crossed(level, 2, course(1, 2, 3, 4, 5), torch.zeros(5, 1), torch.arange(1))
    assert found.steps.tolist() == [1.5], "a quarter of a step off at either end"


def test_one_way_is_one_way_and_coming_again_is_another_crossing() -> None:
    level = line_level(stride=1, places=(0.0, 1.0))
    found = crossed(level, 2, course(0, 1, 1, 0, 1), torch.zeros(5, 1), torch.tensor([0, 1, 3]))
    assert table(found) == [(0, 1, 1, 2, 0)]


def test_a_course_too_short_for_a_step_crosses_nothing() -> None:
    level = line_level(places=(0.0, 4.0))
    nothing = crossed(level, 2, course(0, 1), torch.zeros(2, 1), torch.arange(0))
    assert len(nothing) == 0 and len(nothing.joined(edges(2))) == 0
    assert table(edges(2, (0, 1, 1, 0, 3, 0)).joined(nothing)) == [(0, 1, 0, 3, 0)]


def test_what_two_know_adds_up_and_the_quicker_way_counts() -> None:
    one, other = edges(3, (0, 1, 2, 0, 3, 1)), edges(3, (1, 2, 1, 1, 1, 0), (0, 1, 1.5, 1, 2, 4))
    both = one.joined(other)
    assert table(both) == [(0, 1, 1, 5, 5), (1, 2, 1, 1, 0)]
    assert both.steps.tolist() == [1.5, 1.0]
    assert table(edges(2, (0, 1, 1, 0, 200, 0)).joined(edges(2, (0, 1, 1, 0, 200, 0))))[0][3] == MOST


def test_what_fails_becomes_dearer_each_time_and_what_is_unknown_stays_unknown() -> None:
    known = edges(3, (0, 1, 1, 0, 5, 0))
    costs = [float(known.failed(0, 1, times).costs()[0]) for times in range(40)]
    assert all(a < b for a, b in pairwise(costs)) and np.isfinite(costs).all()
    assert len(known.failed(1, 0)) == 1 and known.failed(1, 0).failures.tolist() == [0]
    assert known.failures.tolist() == [0], "the edges that were are still as they were"


@pytest.mark.parametrize(("crossings", "failures", "tries"), [(0, 0, 2.0), (1, 0, 1.5), (9, 0, 1.1), (1, 3, 3.0)])
def test_an_edge_costs_its_steps_times_the_tries_it_should_take(crossings: int, failures: int, tries: float) -> None:
    assert edges(2, (0, 1, 3, 0, crossings, failures)).costs()[0] == pytest.approx(3 * tries)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 9), st.integers(0, 3)), max_size=40))
def test_no_pair_twice_sorted_and_nothing_lost(rows: list[tuple[int, int, int, int]]) -> None:
    found = edges(5, *((start, end, steps, steps, crossings, 0) for start, end, steps, crossings in rows))
    pairs = list(zip(found.start.tolist(), found.end.tolist(), strict=True))
    assert pairs == sorted({(start, end) for start, end, *_ in rows})
    for pair, steps, macro, crossings in zip(pairs, found.steps, found.macros, found.crossings, strict=True):
        same = [row for row in rows if row[:2] == pair]
        assert steps == macro == min(row[2] for row in same)
        assert crossings == sum(row[3] for row in same)


@pytest.mark.parametrize(("code", "kind"), [(255, torch.uint8), (256, torch.int16)])
def test_codes_are_kept_in_a_byte_where_that_is_enough(code: int, kind: torch.dtype) -> None:
    known = edges(4, (0, 1, 1.5, code, 3, 0), (3, 2, 1, 0, 0, 9))
    assert known.tensors()["macros"].dtype == kind
    again = LandmarkEdges.from_tensors(known.tensors())
    assert again.macros.dtype == known.macros.dtype and again.macros.tolist() == [code, 0]


def test_they_travel_with_the_stack_and_are_cut_with_it(tmp_path: Path) -> None:
    known = edges(4, (0, 1, 1.5, 7, 3, 0), (3, 2, 1, 2, 0, 9))
    stack = vector_stack()
    Stack(**{field.name: getattr(stack, field.name) for field in fields(Stack)} | {"edges": {1: known}}).save(tmp_path)
    loaded = Stack.load(tmp_path)
    assert loaded.edges.keys() == {1} and loaded.edges[1].count == 4
    for name, value in known.tensors().items():
        assert torch.equal(loaded.edges[1].tensors()[name], value), name
    assert not loaded.lowest(1).edges
    loaded.save(tmp_path / "again")
    assert Stack.load(tmp_path / "again").edges[1].steps.tolist() == [1.5, 1.0]


# ------------------------------------------------- from play: what may be concluded beyond what was shown depends on
# whether steps can be undone

PLACES = tuple(float(n) for n in range(0, 41, 4))


def suspicious() -> Level:
    """Only steps on are as real ones are."""
    level = line_level(places=PLACES)
    level.compatibility_head = Known(lambda level, z, following: torch.where(following[:, 0] > z[:, 0], -1.0, 1.0))
    return level


def hesitant() -> Level:
    """Play never showed the way back."""
    level = line_level(places=PLACES)
    level.prior_head = Known(lambda level, z: torch.tensor([1e-9, 1.0]).log().expand(len(z), 2))
    return level


def ways(*ends: tuple[int, int]) -> Play:
    """Episodes from one position to another, a position a step."""
    below = torch.cat([torch.linspace(start, end, abs(end - start) + 1) for start, end in ends])[:, None]
    remaining = torch.cat([torch.arange(abs(end - start), -1, -1) for start, end in ends])
    return play_of(below, torch.zeros(len(below), 1), remaining)


def pairs(level: Level, shown: Play) -> dict[tuple[int, int], int]:
    found = landmark_edges(level, shown)
    ends = zip(found.start.tolist(), found.end.tolist(), strict=True)
    return dict(zip(ends, found.crossings.tolist(), strict=True))


ON, BACK = [(n, n + 1) for n in range(10)], [(n + 1, n) for n in range(10)]
MANY = [(0, 40)] * (OFTEN + 5)


@pytest.mark.parametrize("made", [suspicious, hesitant])
def test_a_world_of_one_way_stays_one_way(made: Callable[[], Level]) -> None:
    assert pairs(made(), ways(*MANY)) == dict.fromkeys(ON, VOUCHED)


def test_the_levels_own_model_may_vouch_for_a_step_that_was_not_shown() -> None:
    found = pairs(line_level(places=PLACES), ways(*MANY))
    assert found == dict.fromkeys(ON, VOUCHED) | dict.fromkeys(BACK, 0)


def test_where_steps_can_be_undone_every_edge_leads_back_too() -> None:
    """Most of the way was gone both ways, and the last step only once and only on."""
    shown = ways(*[(0, 36), (36, 0)] * (OFTEN + 5), (36, 40))
    level = suspicious()  # it would vouch for no way back
    found = landmark_edges(level, shown)
    known = pairs(level, shown)
    assert known.keys() == {*ON, *BACK}
    assert (known[9, 10], known[10, 9]) == (1, 0)
    assert found.macros[(found.start == 10) & (found.end == 9)].tolist() == [0], "by the code that leads back"
    costs = dict(zip(zip(found.start.tolist(), found.end.tolist(), strict=True), found.costs().tolist(), strict=True))
    assert costs[10, 9] == 2.0 > costs[9, 10] > costs[8, 9]


def test_reversibility_is_a_share_of_what_was_crossed_often() -> None:
    often = (1.0, 1, OFTEN, 0)
    assert reversibility(edges(4, (0, 1, *often), (1, 0, *often), (1, 2, *often), (2, 3, 1.0, 1, 1, 0))) == 2 / 3
    assert reversibility(edges(4, (0, 1, 1.0, 1, 1, 0), (1, 0, 1.0, 1, 1, 0))) == 0.0, "too little was seen to say"
    assert reversibility(edges(4)) == 0.0


def test_a_way_back_may_take_others_and_three_times_as_long() -> None:
    """Once round a ring: back from the end of an edge it is all the rest of the way."""

    def ring(count: int) -> float:
        return reversibility(edges(count, *((n, (n + 1) % count, 1.0, 1, OFTEN, 0) for n in range(count))))

    assert (ring(4), ring(5)) == (1.0, 0.0)
