"""Rows are drawn by place, however often play was there."""

from __future__ import annotations

import torch

from hplan.levels.sampling import RAREST, EvenDraws


def shares(counts: list[int]) -> list[float]:
    """How often each of these places, far apart and visited so often, is drawn."""
    place = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    rows = torch.arange(len(place)) + 7
    drawn = EvenDraws(rows, 100.0 * place[:, None].float())(20_000, torch.Generator().manual_seed(0))
    assert int(drawn.min()) >= 7 and int(drawn.max()) < len(place) + 7
    return (torch.bincount(place[drawn - 7], minlength=len(counts)) / 20_000).tolist()


def test_a_place_that_is_never_left_counts_as_much_as_one_that_is_passed() -> None:
    assert all(abs(share - 0.25) < 0.02 for share in shares([3000, 400, 400, 400]))


def test_a_row_like_no_other_is_not_all_there_is() -> None:
    *_, alone = shares([1000] * 9 + [1])
    assert abs(alone - RAREST / 900 / (9 + RAREST / 900)) < 0.002


def test_draws_are_those_of_the_generator() -> None:
    rows, z = torch.arange(50), torch.randn(50, 3)
    first, second = (EvenDraws(rows, z)(20, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first, second)
