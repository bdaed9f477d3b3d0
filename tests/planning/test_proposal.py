"""Which macro-actions are tried when: floors, widths, and types that cannot crowd out one another."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hplan.planning.proposal import NEVER, PriorProposal


def test_what_happens_in_one_place_is_not_crowded_out_by_what_happens_anywhere() -> None:
    chance = torch.full((1, 2, 400), 1e-9)
    chance[0, 0] = 0.9 / 400  # a thing may be put down anywhere
    chance[0, 1, 123] = 0.1 / 400  # one door may be unlocked, and that is less probable than any of these
    tried = PriorProposal((1e-6, 0.0), widest=16)(chance.log().flatten(1), types=2)[0] == 0
    assert bool(tried[400 + 123])
    assert int(tried.sum()) == 16


def test_macro_actions_without_places_are_ranked_by_chance_alone() -> None:
    log_p = torch.tensor([[0.1, 0.4, 0.004, 0.3, 0.196]]).log()
    assert PriorProposal((0.005, 0.0), widest=2)(log_p, types=5).tolist() == [[1, 0, 1, 0, 1]]


def test_one_last_floor_has_no_width_and_may_exclude() -> None:
    log_p = torch.tensor([[0.5, 0.3, 0.2]]).log()
    assert PriorProposal((0.25,), widest=1)(log_p, types=3).tolist() == [[0, 0, -1]]


@settings(max_examples=100, deadline=None)
@given(
    types=st.integers(1, 4),
    places=st.integers(1, 12),
    widest=st.integers(1, 9),
    floor=st.sampled_from([0.3, 0.05, 0.005]),
    seed=st.integers(0, 10_000),
)
def test_a_round_is_likely_enough_and_takes_the_best_of_every_type_first(
    types: int, places: int, widest: int, floor: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    log_p = torch.log_softmax(3 * torch.randn(3, types * places, generator=generator), -1)
    impossible = torch.rand(log_p.shape, generator=generator) < 0.2
    log_p = log_p.masked_fill(impossible, 10 * NEVER)
    rounds = PriorProposal((floor, 0.0), widest)(log_p, types)
    assert torch.equal(rounds < 0, impossible)  # nothing else is left out for good
    for chances, turns in zip(log_p.view(3, types, places), rounds.view(3, types, places), strict=True):
        likely, narrow = chances >= math.log(floor), turns == 0
        assert bool((likely | ~narrow).all())
        assert int(narrow.sum()) == min(int(likely.sum()), widest)
        taken = narrow.sum(-1)
        for kind in range(types):
            left, first = likely[kind] & ~narrow[kind], narrow[kind]
            if bool(left.any()):  # then it came as far as any other type, and its best places came first
                assert int(taken[kind]) >= int(taken.max()) - 1
                assert not bool(first.any()) or float(chances[kind, first].min()) >= float(chances[kind, left].max())


@pytest.mark.parametrize("widest", [1, 3])
def test_rows_do_not_depend_on_one_another(widest: int) -> None:
    log_p = torch.log_softmax(torch.randn(5, 12, generator=torch.Generator().manual_seed(0)), -1)
    proposal = PriorProposal((0.05, 0.0), widest)
    alone = torch.cat([proposal(row[None], types=3) for row in log_p])
    assert torch.equal(proposal(log_p, types=3), alone)
