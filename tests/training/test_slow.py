"""Slow functions learned from pairs: against the exact ones of chains, and the levels that come of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hplan.training.maps import index_maps
from hplan.training.slow import Pairs, cell_pairs, separations, slow_symbols, train_slow
from torch import Tensor
from training.test_maps import play_of

from hplan.levels.timescales import LONGEST, SlowEncoder, cuts, gaps
from hplan.types import ObservationSpec

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
    return train_slow(pairs, name="slow", steps=steps, seed=0, out=out, device="cpu", progress=None)[0]


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


def spec_of(cells: list[str]) -> ObservationSpec:
    return ObservationSpec("symbols", (1, len(cells), 2), (6, 4))


def cells_of(number: int, cells: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """An episode of play, and its actions, with these kinds of cells side by side."""
    rng = np.random.default_rng(number)
    kinds = {
        "fast": rng.integers(0, 2, 201),
        "slow": 2 + np.cumsum(rng.random(201) < 0.04) % 2,
        "once": 2 + (np.arange(201) > 60 + number),
        "rare": 4 + (np.arange(201) // 70) % 2 * (number % 5 == 0),
    }
    observations = np.zeros((201, 1, len(cells), 2), np.uint8)
    observations[:, 0, :, 0] = np.stack([kinds[cell] for cell in cells], 1)
    return observations, np.zeros(200, np.int64)


def test_the_same_stage_gives_the_same_functions_whether_it_was_trained_or_found(tmp_path: Path) -> None:
    before, after = torch.nonzero(RATES, as_tuple=True)
    pairs = Pairs(codes(5), before, after, RATES[before, after])
    first, again = learned(pairs, tmp_path, 10), learned(pairs, tmp_path, 10)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["fast", "slow"], [3]),  # the fast pair is one symbol, the slow two stay apart
        (["fast"], []),
        (["slow"], []),  # nothing would be dropped
        (["fast", "once"], []),  # nothing would be left to plan
        (["fast", "slow", "rare"], [5, 4]),
    ],
    ids=lambda value: "-".join(map(str, value)),
)
def test_levels_are_what_is_slower_than_something_and_still_happens(
    cells: list[str], expected: list[int], tmp_path: Path
) -> None:
    play = play_of([cells_of(number, cells) for number in range(20)], spec_of(cells))
    maps = index_maps(play, play.observation_spec)
    pairs = cell_pairs(codes(len(maps.cells)), maps.maps, maps.starts)
    found = separations(learned(pairs, tmp_path), pairs, maps, play.episode)
    assert [gap.functions for gap in found] == expected


def test_cuts_by_hand_drop_what_is_faster_than_a_power_of_the_ratio() -> None:
    times = torch.tensor([LONGEST, 5000.0, 30.0, 20.0, 5.0, 1.0])
    assert [(cut.functions, cut.time) for cut in cuts(times, 4)] == [(5, 4.0), (4, 16.0), (2, 64.0)]
    assert [(cut.functions, cut.time) for cut in cuts(times, 8)] == [(4, 8.0), (2, 64.0)]
    assert cuts(torch.tensor([LONGEST, 2.0]), 4) == []


@pytest.mark.parametrize(
    ("cells", "ratio", "expected"),
    [
        (["fast", "once"], 4, [3]),  # by gaps it is none: hardly anything happens
        (["slow"], 4, []),  # nothing would be dropped
        (["fast", "slow", "rare"], 4, [5, 4]),
    ],
)
def test_by_hand_any_cut_is_a_level_that_drops_something_and_on_which_something_happens(
    cells: list[str], ratio: int, expected: list[int], tmp_path: Path
) -> None:
    play = play_of([cells_of(number, cells) for number in range(20)], spec_of(cells))
    maps = index_maps(play, play.observation_spec)
    pairs = cell_pairs(codes(len(maps.cells)), maps.maps, maps.starts)
    slow = learned(pairs, tmp_path)
    assert [gap.functions for gap in separations(slow, pairs, maps, play.episode, ratio)] == expected
