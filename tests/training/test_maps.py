"""Play as index maps: the vocabulary, what chance there is in it, events with their durations, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hplan.training.maps import (
    Maps,
    certainty,
    change_kinds,
    draw,
    events,
    hold_out,
    index_maps,
    movers,
    rare_sampler,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from hplan.play.play import Play
from hplan.training import maps as module
from hplan.types import ActionSpec, ObservationSpec, UsageError

SPEC = ObservationSpec("symbols", (1, 3, 2), (5, 4))


def play_of(episodes: list[tuple[np.ndarray, np.ndarray]], spec: ObservationSpec = SPEC) -> Play:
    """Play of (observations (T + 1, H, W, F), actions (T,)) episodes that the environment ended with success."""
    lengths = [len(actions) for _, actions in episodes]
    last = np.cumsum([n + 1 for n in lengths]) - 1
    rows = last[-1] + 1
    success, terminated = np.zeros(rows, bool), np.zeros(rows, bool)
    success[last[np.asarray(lengths) > 0] - 1] = terminated[last] = True
    return Play(
        observations=np.concatenate([observations for observations, _ in episodes]),
        actions=np.concatenate([np.append(actions, 0) for _, actions in episodes]).astype(np.int64),
        rewards=np.zeros(rows, np.float32),
        success=success,
        violation=np.zeros(rows, bool),
        terminated=terminated,
        remaining=np.concatenate([np.arange(n, -1, -1) for n in lengths]).astype(np.int32),
        episode=np.repeat(np.arange(len(lengths)), np.asarray(lengths) + 1).astype(np.int32),
        seeds=np.arange(len(lengths)),
        observation_spec=spec,
        action_spec=ActionSpec("discrete", 3),
    )


def random_play(seed: int, lengths: list[int]) -> Play:
    rng = np.random.default_rng(seed)
    return play_of(
        [
            (rng.integers(0, SPEC.cardinalities, (n + 1, *SPEC.shape)).astype(np.uint8), rng.integers(0, 3, n))
            for n in lengths
        ]
    )


LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=6)


@given(st.integers(0, 1000), LENGTHS)
def test_codes_stand_for_exactly_their_cells(seed: int, lengths: list[int]) -> None:
    play = random_play(seed, lengths)
    maps = index_maps(play, SPEC)
    assert np.array_equal(maps.cells[maps.maps].numpy(), play.observations)
    assert len(torch.unique(maps.cells, dim=0)) == len(maps.cells) == len(torch.unique(maps.maps))
    assert np.array_equal(maps.starts.numpy(), play.starts(1))
    last = np.cumsum(np.asarray(lengths) + 1) - 1
    assert maps.ends.tolist() == last.tolist()
    assert torch.nonzero(maps.success)[:, 0].tolist() == last.tolist()  # the row that the rewarded step ended in


def test_a_view_with_too_many_cells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_VOCABULARY", 3)
    with pytest.raises(UsageError, match="different cells, more than 3: use a vector view"):
        index_maps(random_play(0, [6, 6]), SPEC)


def walk(states: list[int], actions: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """An episode through states of a world with one cell."""
    observations = np.zeros((len(states), *SPEC.shape), np.uint8)
    observations[:, 0, 0, 0] = states
    return observations, np.asarray(actions)


@given(st.integers(0, 1000), LENGTHS)
def test_a_world_without_chance_is_certain(seed: int, lengths: list[int]) -> None:
    rng, episodes = np.random.default_rng(seed), []
    table = rng.integers(0, 5, (5, 3))
    for n in lengths:
        states, actions = [int(rng.integers(5))], rng.integers(0, 3, n).tolist()
        for action in actions:
            states.append(int(table[states[-1], action]))
        episodes.append(walk(states, actions))
    assert certainty(index_maps(play_of(episodes), SPEC)) == 1.0


def test_certainty_is_the_share_of_the_commonest_endings() -> None:
    # Action 0 in state 0: three times to 1, once to 2. Action 1 in state 1: always to 0. Action 2: met once, left out.
    play = play_of(
        [
            walk([0, 1, 0, 1, 0, 1, 0, 2], [0, 1, 0, 1, 0, 1, 0]),
            walk([3, 4], [2]),
        ]
    )
    assert certainty(index_maps(play, SPEC)) == pytest.approx((3 + 3) / (4 + 3))


def test_certainty_of_a_slippery_world_is_about_one_minus_the_slip() -> None:
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(40):
        states = [0]
        for _ in range(50):
            states.append((states[-1] + (1 if rng.random() < 0.7 else 2)) % 5)
        episodes.append(walk(states, [0] * 50))
    assert certainty(index_maps(play_of(episodes), SPEC)) == pytest.approx(0.7, abs=0.03)


def test_play_that_never_comes_back_counts_as_certain() -> None:
    assert certainty(index_maps(play_of([walk([0, 1, 2, 3], [0, 0, 0])]), SPEC)) == 1.0


def naive_events(symbols: Tensor, lengths: list[int]) -> list[tuple[list, list, float]]:
    """(before, after, duration) of every row where something changes, by walking through every episode."""
    found, row = [], 0
    for n in lengths:
        since = 0
        for t in range(n):
            if not torch.equal(symbols[row + t], symbols[row + t + 1]):
                found.append((symbols[row + t].tolist(), symbols[row + t + 1].tolist(), float(t + 1 - since)))
                since = t + 1
        row += n + 1
    return found


@given(st.integers(0, 1000), LENGTHS)
def test_events_are_where_symbols_change_and_last_since_the_one_before(seed: int, lengths: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    symbols = (torch.rand(sum(lengths) + len(lengths), 1, 3, generator=generator) < 0.3).long()
    remaining = torch.cat([torch.arange(n, -1, -1) for n in lengths])
    expected = naive_events(symbols, lengths)
    assume(expected)
    found = events(symbols, torch.nonzero(remaining > 0)[:, 0])
    triples = zip(found.before.tolist(), found.after.tolist(), found.duration.tolist(), strict=True)
    assert list(triples) == [tuple(e) for e in expected]
    cells = symbols[0].numel()
    for before, after, macro in zip(found.before, found.after, found.macro.tolist(), strict=True):
        kind, cell = divmod(macro, cells)
        assert [int(before.flatten()[cell]), int(after.flatten()[cell])] == found.edits[kind].tolist()


def test_edits_are_all_that_happened_the_most_frequent_first() -> None:
    symbols = torch.tensor([0, 1, 0, 1, 2, 2, 0])[:, None, None]
    found = events(symbols, torch.arange(6))
    assert found.edits[0].tolist() == [0, 1]
    assert sorted(found.edits.tolist()) == [[0, 1], [1, 0], [1, 2], [2, 0]]
    assert found.duration.tolist() == [1, 1, 1, 1, 2]


def test_rare_kinds_of_event_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_TYPES", 1)
    found = events(torch.tensor([0, 1, 2, 0, 1])[:, None, None], torch.arange(4))
    assert found.edits.tolist() == [[0, 1]]
    assert found.before.flatten().tolist() == [0, 0]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=50))
def test_held_out_episodes_share_no_row_with_the_others(lengths: list[int]) -> None:
    play = random_play(0, lengths)
    maps = index_maps(play, SPEC)
    fitted, apart = hold_out(maps, play.episode)
    theirs = set(np.flatnonzero(apart).tolist())
    assert fitted.starts.tolist() == [row for row in maps.starts.tolist() if play.episode[row] not in theirs]
    assert theirs == ({e for e in range(len(lengths)) if e % 20 == 19} or {len(lengths) - 1})
    assert not set(play.episode[fitted.success.numpy()].tolist()) & theirs


def test_kinds_of_change_tell_actions_and_changes_apart_but_not_places() -> None:
    rows = torch.tensor([[0, 0, 2], [1, 0, 2], [1, 1, 2], [1, 1, 2], [1, 1, 2], [1, 1, 0]])[:, None]
    empty = torch.empty(0, dtype=torch.long)
    actions = torch.tensor([0, 0, 0, 1, 0, 0])
    maps = Maps(rows, torch.zeros(3, 1), actions, torch.zeros(6, dtype=torch.bool), torch.arange(5), empty)
    kinds = change_kinds(maps).tolist()
    assert kinds[0] == kinds[1]  # 0 became 1, in two places
    assert len(set(kinds)) == 4


def test_rare_kinds_are_drawn_more_often_than_they_come() -> None:
    kinds = torch.tensor([0] * 990 + [1] * 10)
    rows = draw(rare_sampler(kinds), 4000, torch.Generator().manual_seed(0))
    assert rows.shape == (4000,) and int(rows.min()) >= 0 and int(rows.max()) < 1000
    assert float((rows >= 990).float().mean()) > 0.1


FLOOR, WALL, LAMP, LEFT, RIGHT = range(5)


def strolls(count: int = 20, steps: int = 40, size: int = 9) -> tuple[Tensor, Tensor]:
    """Maps (N, size, size) of somebody who turns LEFT and RIGHT and walks, and the rows that are no episode's last."""
    generator, rows = torch.Generator().manual_seed(0), []
    for _ in range(count):
        plan = torch.where(torch.rand(size, size, generator=generator) < 0.2, WALL, FLOOR)
        place, way = int(torch.randint(size, (1,), generator=generator)) * size, LEFT
        for turn in torch.rand(steps, generator=generator) < 0.5:
            shown = plan.flatten().clone()
            shown[place] = way
            rows.append(shown.view(size, size))
            if turn:
                way = LEFT + RIGHT - way
            elif 0 <= (step := place % size + (1 if way == RIGHT else -1)) < size:
                place += step - place % size
    starts = torch.arange(count * steps)
    return torch.stack(rows), starts[starts % steps < steps - 1]


def as_play(shown: Tensor, starts: Tensor) -> Maps:
    none, empty = torch.zeros(len(shown), dtype=torch.bool), torch.empty(0, dtype=torch.long)
    return Maps(shown, torch.zeros(5, 1), torch.zeros(len(shown), dtype=torch.long), none, starts, empty)


def test_who_moves_is_found() -> None:
    assert torch.nonzero(movers(as_play(*strolls())))[:, 0].tolist() == [LEFT, RIGHT]


def test_nobody_moves_where_something_far_changes_too() -> None:
    shown, starts = strolls()
    shown[::2, 0, 0] = LAMP  # goes on and off by itself
    assert not bool(movers(as_play(shown, starts)).any())


def test_nobody_moves_where_maps_show_two() -> None:
    shown, starts = strolls()
    still = torch.zeros(10, 9, 9, dtype=torch.long)  # an episode in which nothing changes
    still[:, 4, 4] = still[:, 6, 6] = LEFT
    more = torch.arange(9) + len(shown)
    assert not bool(movers(as_play(torch.cat([shown, still]), torch.cat([starts, more]))).any())


def test_what_is_next_to_all_changes_by_chance_does_not_move() -> None:
    shown, starts = strolls()
    plan = torch.zeros(9, 9, dtype=torch.long)
    plan[1, 1] = LAMP  # shown once, and only while somebody turns beside it
    turning = plan.repeat(10, 1, 1)
    turning[::2, 1, 2], turning[1::2, 1, 2] = LEFT, RIGHT
    more = torch.arange(9) + len(shown)
    found = movers(as_play(torch.cat([shown, turning]), torch.cat([starts, more])))
    assert torch.nonzero(found)[:, 0].tolist() == [LEFT, RIGHT]


def test_events_are_local_if_each_changes_its_surroundings_alone() -> None:
    shown = torch.zeros(5, 4, 4, dtype=torch.long)
    shown[1:, 0, 0] = shown[2:, 2, 2] = shown[3:, 1, 2] = 1
    assert events(shown, torch.arange(4)).local()
    shown[4, 0, 1] = shown[4, 3, 3] = 1
    assert not events(shown, torch.arange(4)).local()
