"""Spectra, their gaps, and the sets that slow coordinates tell apart; slow functions learned from pairs, against the
exact ones of chains."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hplan.levels import timescales
from hplan.levels.timescales import (
    LONGEST,
    Pairs,
    SlowEncoder,
    cell_pairs,
    corners,
    cuts,
    functions_of,
    gaps,
    slow_stages,
    slow_symbols,
    time_scales,
)
from hplan.training.fit import Run
from hplan.training.train import run_stages


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
    return F.normalize(units, dim=1)[order], member[order]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(0, 1000))
def test_every_metastable_set_has_one_corner(sizes: list[int], seed: int) -> None:
    units, member = sets(sizes, 0.02, seed)
    found = corners(units)
    assert found.shape == (len(sizes), len(sizes))
    label = (units @ found.T).argmax(1)
    assert len({*zip(label.tolist(), member.tolist(), strict=True)}) == len(sizes)


def test_what_is_between_two_sets_is_no_corner() -> None:
    units, _ = sets([4, 4, 4], 0.0, 0)
    between = F.normalize(units[:1] + units.mean(0), dim=1)
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


def test_cuts_by_hand_drop_what_is_faster_than_a_power_of_the_ratio() -> None:
    times = torch.tensor([LONGEST, 5000.0, 30.0, 20.0, 5.0, 1.0])
    assert [(cut.functions, cut.time) for cut in cuts(times, 4)] == [(5, 4.0), (4, 16.0), (2, 64.0)]
    assert [(cut.functions, cut.time) for cut in cuts(times, 8)] == [(4, 8.0), (2, 64.0)]
    assert cuts(torch.tensor([LONGEST, 2.0]), 4) == []


# States 0, 1 swap fast; 2, 3 swap fast; the pairs exchange slowly; 4 never changes.
RATES = torch.tensor(
    [
        [0.70, 0.29, 0.01, 0.00, 0.0],
        [0.30, 0.70, 0.00, 0.00, 0.0],
        [0.01, 0.00, 0.69, 0.30, 0.0],
        [0.00, 0.00, 0.25, 0.75, 0.0],
        [0.00, 0.00, 0.00, 0.00, 1.0],
    ],
    dtype=torch.float64,
)


def codes(size: int, channels: int = 8) -> Tensor:
    return F.normalize(torch.randn(size, channels, generator=torch.Generator().manual_seed(0)), dim=1)


def learned(pairs: Pairs, out: Path, steps: int = 60) -> SlowEncoder:
    """`steps` of the optimiser are enough for so few pairs."""
    torch.manual_seed(0)
    slow = SlowEncoder(pairs.latents.shape[1], functions_of(len(pairs.latents)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timescales, "STEPS", steps)
        run_stages(slow_stages(slow, pairs, "slow"), Run(0, out))
    return slow


def table(pairs: Pairs, size: int) -> list[list[float]]:
    dense = torch.zeros(size, size, dtype=torch.float64)
    dense[pairs.before, pairs.after] = pairs.weight
    return dense.tolist()


def test_pairs_are_of_one_cell_and_one_episode_and_every_symbol_counts_alike() -> None:
    symbols = torch.tensor([[0, 2], [1, 2], [1, 2], [0, 2], [1, 2]])[:, None]
    pairs = cell_pairs(codes(3), symbols, torch.tensor([0, 1, 3]))  # 2 -> 3 crosses an episode
    assert table(pairs, 3) == [[0, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert pairs.lag == 1


def test_ends_that_came_from_one_symbol_are_followed_by_each_other() -> None:
    """0 ends in 1 three times and in 2 once; 3 ends in 4."""
    symbols = torch.tensor([0, 1, 0, 1, 0, 1, 0, 2, 3, 4])[:, None, None]
    pairs = cell_pairs(codes(6), symbols, torch.tensor([0, 2, 4, 6, 8]))
    ends = [0, 0.75, 0.25, 0, 0, 0]
    assert table(pairs, 6) == [ends, ends, ends, [0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 0], [0] * 6]


def test_the_network_finds_the_spectrum_of_a_chain(tmp_path: Path) -> None:
    before, after = torch.nonzero(RATES, as_tuple=True)
    pairs = Pairs(codes(5), before, after, RATES[before, after])
    slow = learned(pairs, tmp_path)
    exact = torch.linalg.svdvals(RATES / RATES.sum(0).sqrt())
    assert slow.times[2:5].tolist() == pytest.approx((-1 / exact.log()).clamp(min=1)[2:].tolist(), rel=0.02)
    assert gaps(slow.times)[0].functions == 3
    label = slow_symbols(slow, pairs, 3).table.tolist()
    assert label[0] == label[1] != label[2] == label[3] != label[4] != label[0]


def test_a_latent_that_play_never_showed_in_a_pair_is_what_it_looks_like(tmp_path: Path) -> None:
    before, after = torch.nonzero(RATES, as_tuple=True)
    known = codes(5)
    pairs = Pairs(torch.cat([known, F.normalize(known[2:3] + 0.02)]), before, after, RATES[before, after])
    label = slow_symbols(learned(pairs, tmp_path), pairs, 3).table
    assert label[5] == label[2] and len(label.unique()) == 3


def test_numbers_that_drift_have_slow_functions_and_no_gap(tmp_path: Path) -> None:
    """A random walk on an interval: its time scales go as 1 / k squared, and the first of them falls off by 4."""
    generator = torch.Generator().manual_seed(0)
    steps = 0.15 * torch.randn(6000, generator=generator)
    walk = [torch.tensor(0.5)]
    for step in steps:
        walk.append(1 - ((walk[-1] + step) % 2 - 1).abs())  # reflected at 0 and 1
    at = torch.arange(6000)
    pairs = Pairs(torch.stack(walk)[:, None], at, at + 1, torch.ones(6000))
    times = learned(pairs, tmp_path, steps=150).times[1:4]
    # Reflected diffusion: decay rates are (k pi sigma)^2 / 2 a step.
    expected = 2 / (torch.arange(1, 4) * torch.pi * 0.15).square()
    assert times[:2].tolist() == pytest.approx(expected[:2].tolist(), rel=0.35)
    assert all(gap.functions <= 2 for gap in gaps(times, smallest=6.0))


def test_the_same_stage_gives_the_same_functions_whether_it_was_trained_or_found(tmp_path: Path) -> None:
    before, after = torch.nonzero(RATES, as_tuple=True)
    pairs = Pairs(codes(5), before, after, RATES[before, after])
    first, again = learned(pairs, tmp_path, 10), learned(pairs, tmp_path, 10)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
