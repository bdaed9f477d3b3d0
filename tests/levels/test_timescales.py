"""Spectra, their gaps, and the sets that slow coordinates tell apart."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hplan.levels.timescales import LONGEST, SlowEncoder, corners, gaps, time_scales


@given(st.floats(1e-4, 0.15), st.sampled_from([1, 4]))
def test_a_symmetric_switch_lasts_as_long_as_its_rate_says(rate: float, lag: int) -> None:
    """Its slow function decays by 1 - 2 rate a step, however many steps one looks ahead."""
    singular = torch.tensor([1.0, (1 - 2 * rate) ** lag], dtype=torch.float64)
    never, switch = time_scales(singular, lag).tolist()
    assert never == pytest.approx(LONGEST * lag, rel=1e-3)
    assert switch == pytest.approx(max(-1 / math.log(1 - 2 * rate), lag))


def test_what_is_over_within_the_lag_is_no_scale_of_its_own() -> None:
    assert time_scales(torch.tensor([0.3, 1e-9, 0.0]), 8.0).tolist() == pytest.approx([8.0] * 3)


def test_gaps_are_where_neighbours_are_far_apart_the_fastest_first() -> None:
    fast, slow = gaps(torch.tensor([1e9, 2000.0, 1600.0, 100.0, 80.0, 8.0, 5.0, 4.0]))[:2]
    assert (fast.functions, fast.ratio, fast.time) == pytest.approx((5, 10.0, math.sqrt(640.0)))
    assert (slow.functions, slow.ratio, slow.time) == pytest.approx((3, 16.0, 400.0))
    assert gaps(torch.tensor([9.0, 5.0, 3.0, 1.0])) == []


def sets(sizes: list[int], noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """Slow coordinates of members of metastable sets, turned at random, and the set of each."""
    generator = torch.Generator().manual_seed(seed)
    member = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    turned = torch.linalg.qr(torch.randn(len(sizes), len(sizes), generator=generator))[0]
    units = turned[member] + noise * torch.randn(len(member), len(sizes), generator=generator)
    order = torch.randperm(len(member), generator=generator)
    return torch.nn.functional.normalize(units, dim=1)[order], member[order]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 1000))
def test_every_metastable_set_has_one_corner(sizes: list[int], seed: int) -> None:
    units, member = sets(sizes, 0.02, seed)
    found = corners(units)
    assert found.shape == (len(sizes), len(sizes))
    label = (units @ found.T).argmax(1)
    assert len({*zip(label.tolist(), member.tolist(), strict=True)}) == len(sizes)


def test_what_is_between_two_sets_is_no_corner() -> None:
    units, _ = sets([4, 4, 4], 0.0, 0)
    between = torch.nn.functional.normalize(units[:1] + units.mean(0), dim=1)
    found = corners(torch.cat([between, units]))
    assert (found @ units.T).amax(1).min() > 0.95


def test_a_cut_keeps_the_slowest_coordinates() -> None:
    torch.manual_seed(0)
    slow = SlowEncoder(inputs=5, functions=8)
    slow.settle(torch.randn(8, 8, dtype=torch.float64), torch.linspace(1, 0, 8), 1.0)
    z = torch.randn(2, 3, 3, 5)
    kept = slow.cut(3)
    assert torch.equal(kept.coordinates(z), slow.features(z) @ slow.mix[:, :3])
    assert torch.allclose(kept(z).norm(dim=-1), torch.ones(2, 3, 3))
    assert torch.equal(kept.times, slow.times)
    again = SlowEncoder(inputs=5, functions=8, kept=3)
    again.load_state_dict(kept.state_dict())
    assert torch.equal(again(z), kept(z))
