"""Levels of events that know where the mover gets to: against shortest ways of networkx, and rules known by heart."""

from __future__ import annotations

from itertools import product

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from key_door import (
    AHEAD,
    BOX,
    DOOR,
    EDITS,
    FLOOR,
    FREE,
    GOAL,
    KEY,
    KINDS,
    MOVES,
    OPEN,
    PLAN,
    USE,
    WALL,
    State,
    key_door_level,
    read,
)
from torch import Tensor

from hplan.levels.heads.prior import IMPOSSIBLE
from hplan.levels.level import Level
from hplan.levels.reach import FAR, ReachMap, flood
from hplan.testing import check_model

LEVEL = key_door_level()
PICK, DROP, UNLOCK, _, EMPTY, *_, ENTER, ENTER_WITH_KEY = range(len(EDITS))
ROOK = [(0, 0, *ahead) for ahead in AHEAD]
LEAPS = [(0, 0, 2 * down, 2 * right) for down, right in AHEAD]
ROOM = read(PLAN)


def grounds(share: float = 0.3) -> st.SearchStrategy[np.ndarray]:
    """Maps (H, W) of everything that there is in the world of the key."""

    def ground(s: tuple[int, int, int]) -> np.ndarray:
        rng = np.random.default_rng(s[2])
        walls = np.where(rng.random(s[:2]) < share, WALL, FLOOR)
        return np.where(rng.random(s[:2]) < 0.2, rng.integers(KEY, GOAL + 1, s[:2]), walls)

    return st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000)).map(ground)


@st.composite
def states(draw: st.DrawFn) -> State:
    """Somebody who stands on floor or in an open door."""
    ground = draw(grounds())
    at = (draw(st.integers(0, ground.shape[0] - 1)), draw(st.integers(0, ground.shape[1] - 1)))
    ground = ground.copy()
    ground[at] = draw(st.sampled_from(FREE))
    return State(ground, at, draw(st.integers(0, 3)), draw(st.booleans()))


def ways(free: np.ndarray, moves: list[tuple[int, ...]], poses: int) -> nx.DiGraph:
    """Cells (row, column, pose), and moves to where it is free."""
    graph = nx.DiGraph()
    for row, column, pose in product(*map(range, free.shape), range(poses)):
        graph.add_node((row, column, pose))
        for before, after, down, right in moves:
            to = (row + down, column + right)
            inside = 0 <= to[0] < free.shape[0] and 0 <= to[1] < free.shape[1]
            if before == pose and inside and free[to]:
                graph.add_edge((row, column, pose), (*to, after))
    return graph


def nearby(cell: tuple[int, int], shape: tuple[int, ...]) -> list[tuple[int, tuple[int, int]]]:
    """Poses, and from which cell inside a map each of them looks at this one."""
    found = [(pose, (cell[0] - down, cell[1] - right)) for pose, (down, right) in enumerate(AHEAD)]
    return [(pose, at) for pose, at in found if 0 <= at[0] < shape[0] and 0 <= at[1] < shape[1]]


def macro(kind: int, cell: tuple[int, int], shape: tuple[int, ...] = ROOM.shape) -> Tensor:
    return torch.tensor([kind * shape[0] * shape[1] + cell[0] * shape[1] + cell[1]])


# --------------------------------------------------------------------------------------------------------------- flood


def flooded(free: np.ndarray, at: tuple[int, int], moves: list[tuple[int, ...]]) -> list[list[int]]:
    sources = np.zeros((1, 1, *free.shape), bool)
    sources[0, 0][at] = True
    return flood(free[None], sources, tuple(moves))[0, 0].reshape(free.shape).tolist()


def test_a_flood_goes_around_walls() -> None:
    free = read(".....\n.###.\n.#.#.\n.##..\n.....") == FLOOR
    assert flooded(free, (0, 0), ROOK) == [
        [0, 1, 2, 3, 4],
        [1, FAR, FAR, FAR, 5],
        [2, FAR, FAR, FAR, 6],
        [3, FAR, FAR, 8, 7],
        [4, 5, 6, 7, 8],
    ]


def test_a_flood_leaps_over_walls_where_moves_do() -> None:
    free = read("..#..\n#####\n..#..\n#####\n.....") == FLOOR
    assert flooded(free, (0, 0), ROOK) == [[0, 1, FAR, FAR, FAR]] + [[FAR] * 5] * 4
    assert flooded(free, (0, 0), LEAPS) == [
        [0, FAR, FAR, FAR, 6],
        [FAR] * 5,
        [1, FAR, FAR, FAR, 5],
        [FAR] * 5,
        [2, FAR, 3, FAR, 4],
    ]
    both = flooded(free, (0, 0), ROOK + LEAPS)
    assert both[0] == [0, 1, FAR, 2, 3] and both[4] == [2, 3, 3, 4, 4]


def test_a_source_need_not_be_free() -> None:
    free = read("..#..") == FLOOR
    assert flooded(free, (0, 2), ROOK) == [[2, 1, 0, 1, 2]]


@given(grounds(), st.integers(0, 10_000))
def test_a_flood_is_the_shortest_way_by_pose(ground: np.ndarray, seed: int) -> None:
    rng, free = np.random.default_rng(seed), np.isin(ground, FREE)
    moves = [*MOVES, (0, 0, 2, 1), (3, 1, 0, -2)]  # a leap and a turn in the air
    places = [(int(rng.integers(free.shape[0])), int(rng.integers(free.shape[1])), int(rng.integers(4))) for _ in "ab"]
    sources = np.zeros((1, 4, *free.shape), bool)
    for row, column, pose in places:
        sources[0, pose, row, column] = True
    entered = free | sources[0].any(0)
    away = nx.multi_source_dijkstra_path_length(ways(entered, moves, 4), set(places))
    steps = flood(free[None], sources, tuple(moves))[0].reshape(4, *free.shape)
    for row, column, pose in product(*map(range, free.shape), range(4)):
        assert steps[pose, row, column] == away.get((row, column, pose), FAR)


# --------------------------------------------------------------------------------------------------- where one gets to


@given(st.lists(states(), min_size=1, max_size=3))
def test_reach_is_the_shortest_way_whatever_the_pose(several: list[State]) -> None:
    for state in several:
        away = nx.single_source_shortest_path_length(ways(np.isin(state.ground, FREE), ROOK, 1), (*state.at, 0))
        expected = [away.get((*cell, 0), FAR) for cell in product(*map(range, state.ground.shape))]
        assert LEVEL.space.reach(state.coarse[None])[0].tolist() == expected


@given(states(), st.integers(0, 10_000))
def test_where_the_mover_stands_does_not_matter_within_its_reach(state: State, seed: int) -> None:
    rng = np.random.default_rng(seed)
    at = (int(rng.integers(state.ground.shape[0])), int(rng.integers(state.ground.shape[1])))
    if state.ground[at] not in FREE:
        return
    z, other = state.coarse[None], State(state.ground, at, 2, state.key).coarse[None]
    same = nx.has_path(ways(np.isin(state.ground, FREE), ROOK, 1), (*state.at, 0), (*at, 0))
    assert (float(LEVEL.distance(z, other)) == 0) == same == torch.equal(LEVEL.keys(z), LEVEL.keys(other))
    assert torch.equal(LEVEL.distance(z, other), LEVEL.distance(other, z))
    assert bool(LEVEL.space.changed(z, other)) is False, "nothing has happened, whoever put him there"


def one_way() -> ReachMap:
    """Right is the only way that there is."""
    space = ReachMap(vocabulary=7, channels=7, tokens=KINDS, token_channels=KINDS, moves=1, tokens_below=2)
    space.passable[list(FREE)] = True
    space.moves.copy_(torch.tensor([[0, 0, 0, 1]]))
    return space


def test_where_there_is_no_way_back_it_is_another_place() -> None:
    space, line = one_way(), read(".....")
    here, there = (State(line, (0, column)).coarse[None] for column in (1, 3))
    assert float(space.distance(here, there)) == float(space.distance(there, here)) == 1
    assert not torch.equal(space.keys(here), space.keys(there))
    down = ReachMap(vocabulary=7, channels=7, tokens=KINDS, token_channels=KINDS, moves=1, tokens_below=2)
    down.load_state_dict(space.state_dict() | {"moves": torch.tensor([[0, 0, 0, -1]])})
    assert not torch.equal(down.keys(here), down.keys(there)), "also if both get to the first cell"


def test_distance_counts_cells_and_what_is_carried() -> None:
    state = State(ROOM, (2, 0))
    opened, taken = ROOM.copy(), ROOM.copy()
    opened[2, 2] = OPEN
    taken[0, 0] = FLOOR
    for other, away in (
        (State(opened, (2, 0)), 1.0),
        (State(taken, (0, 1), key=True), 2.0),
        (State(ROOM, (2, 3)), 1.0),  # behind the door
        (State(ROOM, (4, 1), pose=3), 0.0),
        (State(opened, (2, 3)), 1.0),
    ):
        z, to = state.coarse[None], other.coarse[None]
        assert float(LEVEL.distance(z, to)) == float(LEVEL.distance(to, z)) == away
        assert torch.equal(LEVEL.keys(z), LEVEL.keys(to)) == (away == 0)


def test_where_nothing_goes_on_is_a_place_of_its_own() -> None:
    beside, goal, above = (State(ROOM, at).coarse[None] for at in ((2, 3), (2, 4), (1, 4)))
    assert float(LEVEL.distance(beside, above)) == 0
    assert float(LEVEL.distance(beside, goal)) == float(LEVEL.distance(goal, above)) == 1
    assert not torch.equal(LEVEL.keys(goal), LEVEL.keys(beside))
    assert LEVEL.space.changed(beside, goal).tolist() == [True]
    assert LEVEL.space.changed(goal, goal).tolist() == [False], "it is there already"
    assert LEVEL.space.changed(goal, above).tolist() == [False]


def test_what_is_remembered_of_reach_is_what_it_was() -> None:
    fresh, z = key_door_level(), torch.stack([State(ROOM, at).coarse for at in ((0, 1), (4, 4), (0, 1))])
    first = fresh.space.reach(z)
    assert torch.equal(first, fresh.space.reach(z)) and torch.equal(first[0], fresh.space.reach(z[2:])[0])
    first.zero_()
    assert torch.equal(fresh.space.reach(z[:1]), LEVEL.space.reach(z[:1]))
    wide, high = (State(np.zeros(shape, np.int64), (0, 0)).coarse[None] for shape in ((2, 3), (3, 2)))
    assert fresh.space.reach(wide).tolist() == [[0, 1, 2, 1, 2, 3]]
    assert fresh.space.reach(high).tolist() == [[0, 1, 1, 2, 2, 3]], "a map of another shape, of as many cells"


def test_of_no_map_there_is_no_reach() -> None:
    none = State(ROOM, (0, 1)).coarse[None][:0]
    cells = ROOM.size
    assert LEVEL.space.reach(none).shape == (0, cells) and LEVEL.keys(none).shape == (0, cells + 2)


# -------------------------------------------------------------------------------------------------------------- events


def test_events_leave_the_mover_where_it_did_them_from() -> None:
    z = State(ROOM, (4, 1)).coarse[None]
    after = LEVEL.predict(z, macro(PICK, (0, 0)))
    ground = ROOM.copy()
    ground[0, 0] = FLOOR
    assert torch.equal(after[0], State(ground, (1, 0), key=True).coarse), "the nearest place to do it from"
    after = LEVEL.predict(after, macro(UNLOCK, (2, 2)))
    ground[2, 2] = OPEN
    assert torch.equal(after[0], State(ground, (2, 1), key=True).coarse)
    after = LEVEL.predict(after, macro(ENTER_WITH_KEY, (2, 4)))
    assert torch.equal(after[0], State(ground, (2, 4), key=True).coarse), "what is entered is where it is"


@pytest.mark.parametrize(
    ("kind", "cell", "key"),
    [
        (PICK, (0, 0), True),  # one key is enough
        (DROP, (4, 0), False),
        (UNLOCK, (2, 2), False),
        (PICK, (4, 0), False),  # there is none
        (ENTER, (2, 4), False),  # behind the door
        (ENTER, (4, 0), False),
        (DROP, (4, 4), True),
    ],
)
def test_what_is_not_possible_changes_nothing(kind: int, cell: tuple[int, int], key: bool) -> None:
    z = State(ROOM, (3, 0), key=key).coarse[None]
    asked = macro(kind, cell)
    before = z.clone()
    assert torch.equal(LEVEL.predict(z, asked), z) and torch.equal(z, before)
    macros = LEVEL.possible(z)[1]  # type: ignore[misc]
    assert int(asked) not in macros.tolist()
    assert float(LEVEL.prior(z)[0, asked]) == IMPOSSIBLE


@given(states())
def test_what_is_possible_can_be_done_next_to_the_reach(state: State) -> None:
    check_possible(LEVEL, state)


@given(states())
def test_what_seldom_ends_so_takes_longer(state: State) -> None:
    check_possible(key_door_level({EMPTY: 0.5, PICK: 0.001}), state, {EMPTY: 0.5, PICK: 0.01})


def check_possible(level: Level, state: State, chance: dict[int, float] | None = None) -> None:
    """Against every event at every cell."""
    free, shape, expected = np.isin(state.ground, FREE), state.ground.shape, {}
    away = nx.single_source_shortest_path_length(ways(free, ROOK, 1), (*state.at, 0))
    for (kind, (before, _, had, *_)), cell in product(enumerate(EDITS), product(*map(range, shape))):
        near = [away[(*at, 0)] for _, at in nearby(cell, shape) if (*at, 0) in away]
        if state.ground[cell] == before and 1 + state.key == had and near:
            expected[int(macro(kind, cell, shape))] = min(near) + 1 / (chance or {}).get(kind, 1)
    z = state.coarse[None]
    rows, macros, steps = level.possible(z.repeat(2, 1, 1))  # type: ignore[misc]
    for row in (0, 1):
        found = dict(zip(macros[rows == row].tolist(), steps[rows == row].tolist(), strict=True))
        assert len(found) == int((rows == row).sum()) and found == pytest.approx(expected)
    log_p = level.prior(z)[0]
    assert set(torch.nonzero(log_p > IMPOSSIBLE)[:, 0].tolist()) == set(expected)
    assert not expected or float(log_p.exp().sum()) == pytest.approx(1)


@given(states())
def test_an_approach_is_the_shortest_way_to_look_at_the_cell_and_one_step(state: State) -> None:
    free, shape, z = np.isin(state.ground, FREE), state.ground.shape, state.coarse
    graph = ways(free, MOVES, 4)
    for asked in LEVEL.possible(z[None])[1].tolist():  # type: ignore[misc]
        cell = divmod(asked % z.numel(), shape[1])
        facing = {(*at, pose) for pose, at in nearby(cell, shape) if free[at]}
        away = nx.multi_source_dijkstra_path_length(graph.reverse(), facing)
        left = LEVEL.approach(z, torch.tensor(asked))  # type: ignore[misc]
        places = [(row, column, pose) for row, column in zip(*np.nonzero(free), strict=True) for pose in range(4)]
        below = torch.stack([State(state.ground, (int(r), int(c)), p, state.key).fine for r, c, p in places])
        assert left(below).tolist() == [1.0 + away.get(place, np.inf) for place in places]
        assert 1 <= float(left(state.fine[None])) < np.inf


def test_nothing_is_possible_from_where_nothing_goes_on() -> None:
    """Or the way to the key would lead through the goal, which ends the episode."""
    start = State(read("..G.k"), (0, 0)).coarse[None]
    assert LEVEL.possible(start)[1].tolist() == macro(ENTER, (0, 2), (1, 5)).tolist()  # type: ignore[misc]
    there = LEVEL.predict(start, macro(ENTER, (0, 2), (1, 5)))
    assert torch.equal(there[0], State(read("..G.k"), (0, 2)).coarse)
    assert not len(LEVEL.possible(there)[0])  # type: ignore[misc]
    assert bool((LEVEL.space.reach(there) == FAR).all()) and float(LEVEL.prior(there).max()) == IMPOSSIBLE
    assert torch.equal(LEVEL.predict(there, macro(PICK, (0, 4), (1, 5))), there)


@given(states(), st.integers(0, 10_000))
def test_hindsight_knows_every_event(state: State, seed: int) -> None:
    """And the level predicts it as it was, if it was done from the nearest place."""
    rng = np.random.default_rng(seed)
    following = state.after(USE, rng)
    z, after = state.coarse[None], following.coarse[None]
    macros, known = LEVEL.macros.hindsight(LEVEL, z, after, torch.tensor([[USE]]))
    assert known.tolist() == LEVEL.space.changed(z, after).tolist() == [not torch.equal(z, after)]
    if bool(known):
        assert float(LEVEL.distance(LEVEL.predict(z, macros), after)) == 0
        left = LEVEL.approach(z[0], macros[0])(torch.stack([state.fine, following.fine]))  # type: ignore[misc]
        assert left.tolist() == [1.0, 0.0]


def test_entering_is_an_event_and_walking_is_none() -> None:
    at, beside, goal = (State(ROOM, cell).coarse[None] for cell in ((1, 3), (2, 3), (2, 4)))
    none = torch.tensor([[0]])
    assert LEVEL.macros.hindsight(LEVEL, at, beside, none)[1].tolist() == [False]
    found, known = LEVEL.macros.hindsight(LEVEL, beside, goal, none)
    assert known.tolist() == [True] and torch.equal(found, macro(ENTER, (2, 4)))


def test_a_level_that_knows_its_reach_keeps_to_the_protocol() -> None:
    starts = [((0, 1), False), ((4, 4), True), ((2, 0), True), ((4, 0), False)]
    below = torch.stack([State(ROOM, at, 1, key).fine for at, key in starts])
    check_model(key_door_level({EMPTY: 0.5}), below)
    assert BOX in ROOM and DOOR in ROOM and GOAL in ROOM
