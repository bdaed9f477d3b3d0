"""What is held out is whole layouts, and never what training cannot do without."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_up_play import made_up

from hplan.types import HplanError

EPISODES = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 8)), min_size=2, max_size=25)
FRACTIONS = st.floats(0.05, 0.95)


@st.composite
def mapped(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[int]]:
    """Episodes whose seed decides their context, several seeds one context."""
    episodes = draw(EPISODES)
    context = draw(st.lists(st.integers(0, 3), min_size=9, max_size=9))
    return episodes, [context[seed] for _, seed in episodes]


@given(EPISODES, FRACTIONS, st.integers(0, 9))
def test_every_episode_is_in_one_part_and_every_layout_too(
    episodes: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    play = made_up(episodes)
    held = play.held_out(fraction, seed)
    parts = play.split(fraction, seed)
    numbers = torch.arange(play.episodes)
    for part, kept in zip(parts, (numbers[~held], numbers[held]), strict=True):
        assert part.episodes == len(kept) > 0
        assert part.seeds.tolist() == play.seeds[kept].tolist()
        assert part.observations[:, 0].tolist() == [n for n in kept.tolist() for _ in range(episodes[n][0] + 1)]
        assert torch.equal(part.episode.unique(), torch.arange(part.episodes))
        assert len(part.starts(1)) == part.steps
    if len({seed for _, seed in episodes}) > 1:
        assert not set(parts[0].seeds.tolist()) & set(parts[1].seeds.tolist())
    assert torch.equal(held, play.held_out(fraction, seed)), "the same for the same seed"


@given(mapped(), FRACTIONS, st.integers(0, 9))
def test_no_context_is_in_both_parts(
    episodes: tuple[list[tuple[int, int]], list[int]], fraction: float, seed: int
) -> None:
    play = made_up(*episodes)
    train, held = play.split(fraction, seed)
    assert train.contexts is not None and held.contexts is not None
    if len(set(episodes[1])) > 1:
        assert not set(train.contexts.flatten().tolist()) & set(held.contexts.flatten().tolist())
    elif len({seed for _, seed in episodes[0]}) > 1:  # one context: what is left to tell layouts by
        assert not set(train.seeds.tolist()) & set(held.seeds.tolist())
    images = [part.layouts.images for part in (train, held) if part.layouts is not None]
    assert [len(i) for i in images] == [len(part.contexts.unique()) for part in (train, held)], "of no other layout"


@given(EPISODES, FRACTIONS, st.integers(0, 9))
def test_training_keeps_the_longest_episode_and_most_of_the_steps(
    episodes: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    play = made_up(episodes)
    train, held = play.split(fraction, seed)
    assert int(train.remaining.max()) == max(steps for steps, _ in episodes)
    steps = torch.zeros(9, dtype=torch.long).index_add_(0, held.seeds, held.lengths)
    others = [int(count) for count in steps if count]
    if len({seed for _, seed in episodes}) > 1:
        assert len(others) == 1 or max(others) <= fraction * play.steps


def test_about_the_fraction_is_held_out() -> None:
    play = made_up([(10, seed) for seed in range(200)])
    train, held = play.split(0.15, 0)
    assert (train.episodes, held.episodes) == (170, 30)
    assert not torch.equal(play.held_out(0.15, 0), play.held_out(0.15, 1))


def test_restarts_go_with_their_layout() -> None:
    """Layout 5 has most of play, restarted from again and again: it is not held out while others are there."""
    play = made_up([(10, 5)] * 30 + [(10, seed) for seed in range(10, 20)])
    for seed in range(20):
        assert 5 not in play.split(0.1, seed)[1].seeds.tolist()


def test_one_layout_is_split_by_episodes() -> None:
    train, held = made_up([(3, 0), (9, 0), (4, 0), (2, 0)]).split(0.25, 0)
    assert (train.episodes, held.episodes) == (3, 1)
    assert int(train.remaining.max()) == 9


def test_one_episode_is_too_little() -> None:
    with pytest.raises(HplanError, match=r"1 episode of play, .*play more steps"):
        made_up([(40, 0)]).split(0.15, 0)


def test_what_is_held_out_is_no_failure() -> None:
    """Every last row was rewarded; a head that learns from the rest sees those of held-out layouts in neither class."""
    play = made_up([(3, 0), (2, 1), (4, 2)])
    rewarded, other = play.outcomes(torch.tensor([True, False, True]))
    assert rewarded.tolist() == [3, 11]
    assert other.tolist() == [0, 1, 2, 7, 8, 9, 10]
