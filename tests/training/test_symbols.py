"""Play as maps of symbols: the vocabulary, what chance there is in it, who moves, and events with their durations."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from levels.plays import play_of
from torch import Tensor

from hplan.play.play import Play
from hplan.training import symbols as module
from hplan.training.symbols import (
    RareDraws,
    Windows,
    certainty,
    change_kinds,
    count_events,
    event_steps,
    index_maps,
    mover_features,
    movers,
)
from hplan.types import ActionSpec, Episode, ObservationSpec, UsageError

SPEC = ObservationSpec("symbols", (1, 3, 2), (5, 4))


def recorded(episodes: list[tuple[np.ndarray, np.ndarray]], spec: ObservationSpec = SPEC) -> Play:
    """Play of (observations (T + 1, H, W, F), actions (T,)) episodes that the environment ended."""
    return Play.of(
        [
            Episode(
                observations=observations,
                actions=actions.astype(np.int64),
                rewards=np.zeros(len(actions), np.float32),
                success=np.zeros(len(actions), bool),
                violation=np.zeros(len(actions), bool),
                terminated=True,
                seed=seed,
            )
            for seed, (observations, actions) in enumerate(episodes)
        ],
        spec,
        ActionSpec("discrete", 3),
    )


def random_play(seed: int, lengths: list[int]) -> Play:
    rng = np.random.default_rng(seed)
    return recorded(
        [
            (rng.integers(0, SPEC.cardinalities, (n + 1, *SPEC.shape)).astype(np.uint8), rng.integers(0, 3, n))
            for n in lengths
        ]
    )


LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=6)


@given(st.integers(0, 1000), LENGTHS)
def test_symbols_stand_for_exactly_their_cells(seed: int, lengths: list[int]) -> None:
    play = random_play(seed, lengths)
    vocabulary, maps = index_maps(play)
    cells = vocabulary.cells
    assert not vocabulary.mover and torch.equal(cells[maps], play.observations.long())
    assert len(torch.unique(cells, dim=0)) == len(cells) == len(torch.unique(maps))


def test_a_view_with_too_many_cells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_VOCABULARY", 3)
    with pytest.raises(UsageError, match="different cells, more than 3: use a vector view"):
        index_maps(random_play(0, [6, 6]))


def walk(states: list[int], actions: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """An episode through states of a world with one cell."""
    observations = np.zeros((len(states), *SPEC.shape), np.uint8)
    observations[:, 0, 0, 0] = states
    return observations, np.asarray(actions)


def certain(play: Play) -> float:
    return certainty(index_maps(play)[1], play.actions, play.starts(1))


@given(st.integers(0, 1000), LENGTHS)
def test_a_world_without_chance_is_certain(seed: int, lengths: list[int]) -> None:
    rng, episodes = np.random.default_rng(seed), []
    table = rng.integers(0, 5, (5, 3))
    for n in lengths:
        states, actions = [int(rng.integers(5))], rng.integers(0, 3, n).tolist()
        for action in actions:
            states.append(int(table[states[-1], action]))
        episodes.append(walk(states, actions))
    assert certain(recorded(episodes)) == 1.0


def test_certainty_is_the_share_of_the_commonest_endings() -> None:
    # Action 0 in state 0: three times to 1, once to 2. Action 1 in state 1: always to 0. Action 2: met once, left out.
    play = recorded(
        [
            walk([0, 1, 0, 1, 0, 1, 0, 2], [0, 1, 0, 1, 0, 1, 0]),
            walk([3, 4], [2]),
        ]
    )
    assert certain(play) == pytest.approx((3 + 3) / (4 + 3))


def test_certainty_of_a_slippery_world_is_about_one_minus_the_slip() -> None:
    rng = np.random.default_rng(0)
    episodes = []
    for _ in range(40):
        states = [0]
        for _ in range(50):
            states.append((states[-1] + (1 if rng.random() < 0.7 else 2)) % 5)
        episodes.append(walk(states, [0] * 50))
    assert certain(recorded(episodes)) == pytest.approx(0.7, abs=0.03)


def test_play_that_never_comes_back_counts_as_certain() -> None:
    assert certain(recorded([walk([0, 1, 2, 3], [0, 0, 0])])) == 1.0


def of_lengths(*lengths: int) -> Play:
    """Episodes of so many steps, whose observations do not matter."""
    remaining = torch.cat([torch.arange(n, -1, -1) for n in lengths])
    return play_of(torch.zeros(len(remaining), 1), torch.zeros(len(remaining), dtype=torch.long), remaining)


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
    expected = naive_events(symbols, lengths)
    assume(expected)
    play = of_lengths(*lengths)
    found = event_steps(symbols, play)
    triples = zip(found.before.tolist(), found.after.tolist(), found.duration.tolist(), strict=True)
    assert list(triples) == [tuple(e) for e in expected]
    assert count_events(symbols, play).sum() == len(expected)
    cells = symbols[0].numel()
    for before, after, macro in zip(found.before, found.after, found.macro.tolist(), strict=True):
        kind, cell = divmod(macro, cells)
        assert [int(before.flatten()[cell]), int(after.flatten()[cell])] == found.edits[kind].tolist()


def test_edits_are_all_that_happened_the_most_frequent_first() -> None:
    symbols = torch.tensor([0, 1, 0, 1, 2, 2, 0])[:, None, None]
    found = event_steps(symbols, of_lengths(6))
    assert found.edits[0].tolist() == [0, 1]
    assert sorted(found.edits.tolist()) == [[0, 1], [1, 0], [1, 2], [2, 0]]
    assert found.duration.tolist() == [1, 1, 1, 1, 2]


def test_rare_kinds_of_event_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_TYPES", 1)
    found = event_steps(torch.tensor([0, 1, 2, 0, 1])[:, None, None], of_lengths(4))
    assert found.edits.tolist() == [[0, 1]]
    assert found.before.flatten().tolist() == [0, 0]


def test_events_are_counted_by_episode() -> None:
    symbols = torch.tensor([0, 1, 0, 2, 2, 1, 2])[:, None, None]
    assert count_events(symbols, of_lengths(2, 1, 1)).tolist() == [2, 0, 1], "what is between episodes is no event"


def test_kinds_of_change_tell_actions_and_changes_apart_but_not_places() -> None:
    rows = torch.tensor([[0, 0, 2], [1, 0, 2], [1, 1, 2], [1, 1, 2], [1, 1, 2], [1, 1, 0]])[:, None]
    actions = torch.tensor([0, 0, 0, 1, 0, 0])
    kinds = change_kinds(rows, actions, torch.arange(5)).tolist()
    assert kinds[0] == kinds[1]  # 0 became 1, in two places
    assert len(set(kinds)) == 4


def test_rare_kinds_are_drawn_more_often_than_they_come() -> None:
    kinds = torch.tensor([0] * 990 + [1] * 10)
    rows = RareDraws.of(kinds)(4000, torch.Generator().manual_seed(0))
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


def moving(shown: Tensor, starts: Tensor) -> list[int]:
    return torch.nonzero(movers(shown, starts, 5))[:, 0].tolist()


def test_who_moves_is_found() -> None:
    assert moving(*strolls()) == [LEFT, RIGHT]


def test_nobody_moves_where_something_far_changes_too() -> None:
    shown, starts = strolls()
    shown[::2, 0, 0] = LAMP  # goes on and off by itself
    assert moving(shown, starts) == []


def test_nobody_moves_where_maps_show_two() -> None:
    shown, starts = strolls()
    still = torch.zeros(10, 9, 9, dtype=torch.long)  # an episode in which nothing changes
    still[:, 4, 4] = still[:, 6, 6] = LEFT
    more = torch.arange(9) + len(shown)
    assert moving(torch.cat([shown, still]), torch.cat([starts, more])) == []


def test_what_is_next_to_all_changes_by_chance_does_not_move() -> None:
    shown, starts = strolls()
    plan = torch.zeros(9, 9, dtype=torch.long)
    plan[1, 1] = LAMP  # shown once, and only while somebody turns beside it
    turning = plan.repeat(10, 1, 1)
    turning[::2, 1, 2], turning[1::2, 1, 2] = LEFT, RIGHT
    more = torch.arange(9) + len(shown)
    assert moving(torch.cat([shown, turning]), torch.cat([starts, more])) == [LEFT, RIGHT]


def test_events_are_local_if_each_changes_its_surroundings_alone() -> None:
    shown = torch.zeros(5, 4, 4, dtype=torch.long)
    shown[1:, 0, 0] = shown[2:, 2, 2] = shown[3:, 1, 2] = 1
    assert event_steps(shown, of_lengths(4)).local()
    shown[4, 0, 1] = shown[4, 3, 3] = 1
    assert not event_steps(shown, of_lengths(4)).local()


# ---------------------------------------------------------------------------------------- a mover apart from the ground


def with_movers(ground: np.ndarray, places: np.ndarray, told: np.ndarray) -> Play:
    """One episode of maps (N, H, W, F) of the ground, and of the mover, which is in flat cells (N,), two more features:
    1, and what is told of it (N,)."""
    mover = np.zeros((*ground.shape[:3], 2), np.uint8)
    flat = mover.reshape(len(ground), -1, 2)
    flat[np.arange(len(ground)), places] = np.stack([np.ones_like(told), told], 1)
    observations = np.concatenate([ground, mover], -1).astype(np.uint8)
    spec = ObservationSpec("symbols", observations.shape[1:], (*[4] * ground.shape[-1], 2, 3))
    return recorded([(observations, np.zeros(len(ground) - 1))], spec)


def wandering(seed: int, count: int = 40, features: int = 2, size: int = 4) -> Play:
    """Ground that is mostly 0, and somebody who appears in any of its cells, and tells something or other."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(0, 4, (count, size, size, features)) * (rng.random((count, size, size, features)) < 0.4)
    return with_movers(ground, rng.permutation(count) % size**2, rng.integers(0, 3, count))


def test_features_of_a_mover_differ_in_its_cell_alone() -> None:
    play = wandering(0)
    observations = play.observations
    assert mover_features(observations) == (2, 3)
    still = with_movers(observations[..., :2].numpy(), np.full(len(observations), 5), np.ones(len(observations), int))
    assert mover_features(still.observations) == (), "it never moves"
    two = observations.clone()
    two[7, 0, 0, 2] = two[7, 0, 1, 2] = 1
    assert mover_features(two) == (), "once there are two"
    gone = observations.clone()
    gone[3, ..., 2] = 0
    assert mover_features(gone) == (), "once there is none"
    elsewhere = observations.clone()
    elsewhere[9, ..., 3] = (elsewhere[9, ..., 2] == 0).to(torch.uint8)
    assert mover_features(elsewhere) == (2,), "what is told is told of others too"
    assert mover_features(observations[..., 2:]) == (), "there is nothing else"
    assert mover_features(observations[:, :2, :4]) == (), "too few cells to tell"


def test_what_most_cells_have_of_a_mover_is_nothing_of_it() -> None:
    """Far from it they show 1, and it shows 0."""
    play = wandering(1)
    observations = play.observations.clone()
    observations[..., 2] = 1 - observations[..., 2]
    vocabulary, maps = index_maps(replace(play, observations=observations))
    assert vocabulary.mover == (2, 3) and vocabulary.tokens[0].tolist() == [1, 0]
    assert ((maps % len(vocabulary.tokens) > 0) == (observations[..., 2] == 0)).all()


@given(st.integers(0, 1000), st.integers(10, 60))
def test_symbols_of_a_mover_and_of_the_ground_stand_for_exactly_their_cells(seed: int, count: int) -> None:
    play = wandering(seed, count)
    vocabulary, maps = index_maps(play)
    assume(vocabulary.mover == (2, 3))
    count = len(vocabulary.tokens)
    shown = torch.cat([vocabulary.cells[maps // count], vocabulary.tokens[maps % count]], -1)
    assert torch.equal(shown, play.observations.long())
    assert ((maps % count > 0).flatten(1).sum(1) == 1).all(), "the mover is in one cell, and token 0 is nothing of it"


@given(st.integers(0, 1000), st.integers(5, 30))
def test_the_ground_is_closed_over_pairs(seed: int, count: int) -> None:
    """A cell of three features is known where every two of them were seen together."""
    play = wandering(seed, count, features=3, size=3)
    vocabulary, _ = index_maps(play)
    assume(vocabulary.mover == (3, 4))
    seen = {tuple(cell) for cell in play.observations[..., :3].flatten(0, 2).tolist()}
    pairs = {(i, j): {(cell[i], cell[j]) for cell in seen} for i, j in ((0, 1), (0, 2), (1, 2))}
    every = {
        cell
        for cell in product(range(4), repeat=3)
        if all((cell[i], cell[j]) in known for (i, j), known in pairs.items())
    }
    cells = [tuple(cell) for cell in vocabulary.cells.tolist()]
    assert len(cells) == len(set(cells)) and set(cells) == every
    assert set(cells[: len(seen)]) == seen, "what play never showed comes last"


def test_what_is_too_much_to_close_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    play = wandering(0, 20, features=3)
    seen = len(play.observations[..., :3].flatten(0, 2).unique(dim=0))
    assert len(index_maps(play)[0].cells) > seen
    monkeypatch.setattr(module, "LARGEST_VOCABULARY", seen)
    assert len(index_maps(play)[0].cells) == seen


def looking(*ahead: int, count: int = 4000, luck: float = 0.0) -> Windows:
    """Steps of movers of several kinds, each of whom goes right if the ground so many cells ahead is 0, and otherwise
    stays where it is; or does anything, by `luck`. The ground is 1 in some of the three cells on either side."""
    rng, size = np.random.default_rng(0), len(ahead) * count
    kind, row = np.arange(size) // count, np.arange(size)
    ground = np.zeros((size, 9, 9), np.int64)
    ground[:, 4, [1, 2, 3, 5, 6, 7]] = rng.integers(0, 2, (size, 6))
    goes = (ground[row, 4, 4 + np.array(ahead)[kind]] == 0) ^ (rng.random(size) < luck / 2)
    tokens = 1 + len(ahead)
    maps = np.repeat(tokens * ground, 2, 0)
    maps[2 * row, 4, 4] += 1 + kind
    maps[2 * row + 1, 4, 4 + goes] += 1 + kind
    at, none = torch.full((size,), 4 * 9 + 4), torch.zeros(2 * size, dtype=torch.long)
    rows, group = 2 * torch.arange(size), torch.from_numpy(kind)
    return Windows.of(torch.from_numpy(maps), none, rows, at, group, none[:size], tokens)


@pytest.mark.parametrize("ahead", [1, 2, 3])
@pytest.mark.parametrize("luck", [0.0, 0.02])
def test_a_window_is_as_large_as_what_decides_and_reads_nothing_else(ahead: int, luck: float) -> None:
    windows = looking(ahead, luck=luck).deciding()
    side = 2 * windows.radius + 1
    assert windows.radius == ahead
    assert windows.ambiguity == pytest.approx(luck / 2, abs=0.01)
    where = windows.radius * side + windows.radius + ahead
    assert torch.nonzero(windows.matters(centre=False)).tolist() == [[0, where]]
    assert torch.nonzero(windows.matters(centre=True))[:, 1].tolist() == [windows.radius * (side + 1), where]


def test_each_group_reads_what_decides_for_it() -> None:
    """Some look one cell ahead, and others two; all of them change where they are and what is right of it."""
    both = looking(1, 2).deciding()
    assert both.radius == 2
    assert torch.nonzero(both.matters(centre=False)).tolist() == [[0, 13], [1, 14]]
    assert torch.nonzero(both.touches(1)[:, 0]).tolist() == [[0, 4], [0, 5], [1, 4], [1, 5]]


def test_each_action_changes_what_it_changed_in_play() -> None:
    """The first goes right, the second changes nothing, and of the third play shows too little to tell it apart."""
    steps = looking(1)
    rows = torch.arange(len(steps.action))
    still, seldom = rows % 3 == 0, rows == 1
    done = steps.action + steps.tokens * (still + 2 * seldom)
    found = replace(steps, action=done, changed=steps.changed & ~still[:, None], outcome=steps.outcome * ~still)
    assert torch.nonzero(found.touches(3)[0]).tolist() == [[0, 4], [0, 5], [2, 4], [2, 5]]


def test_what_mostly_fails_is_an_actions_own_doing_where_others_never_do_it() -> None:
    """The first action changes what is right of it once in fifty times, as where hands are mostly empty, and no other
    does. What is left of it changes as often after all four, which is chance."""
    steps = looking(1)
    count = 4000
    row = torch.arange(count)
    changed = torch.zeros(count, 9, dtype=torch.bool)
    changed[:, 5] = (row % 4 == 0) & (row % 200 < 4)
    changed[:, 3] = torch.rand(count, generator=torch.Generator().manual_seed(0)) < 0.02
    found = replace(
        steps,
        before=steps.before[:1].expand(count, -1),
        action=row % 4 * steps.tokens,
        group=torch.zeros(count, dtype=torch.long),
        outcome=changed[:, 5] + 2 * changed[:, 3] + 4 * (row % 7),  # never sure how it ends
        changed=changed,
    )
    assert torch.nonzero(found.touches(4)[0]).tolist() == [[0, 5]]
