"""What follows from play: combinations of features that it did not show, and what happens to them."""

from __future__ import annotations

from itertools import product

import torch
from hypothesis import given
from hypothesis import strategies as st

from hplan.training.closure import alike_edits, closure, shares

KEY, BALL, BOX, FLOOR, DOOR, GOAL = 5, 6, 7, 1, 4, 8
COLOURS = range(4)
TAKE, DROP, USE, GO = range(4)

THINGS = [*product((KEY, BALL, BOX), COLOURS)]
GROUND = torch.tensor([[FLOOR, 0, 0], [GOAL, 1, 0], *[[*thing, 0] for thing in THINGS]])
DOORS = torch.tensor([[DOOR, colour, state] for colour in COLOURS for state in (0, 1)])
CELLS = torch.cat([GROUND, DOORS])
HELD = torch.tensor([[-1, -1], [0, 0], *THINGS])
CELL = {tuple(cell): i for i, cell in enumerate(CELLS.tolist())}
HAND = {tuple(held): i for i, held in enumerate(HELD.tolist())}
EMPTY = HAND[0, 0]


def every() -> dict[tuple[int, ...], int]:
    """All that can happen, and the action: things are taken and put down, and a key opens the door of its colour."""
    floor = CELL[FLOOR, 0, 0]
    edits = {(CELL[*thing, 0], floor, EMPTY, HAND[thing], 0): TAKE for thing in THINGS}
    edits |= {(floor, CELL[*thing, 0], HAND[thing], EMPTY, 0): DROP for thing in THINGS}
    edits |= {(CELL[DOOR, c, 1], CELL[DOOR, c, 0], HAND[KEY, c], HAND[KEY, c], 0): USE for c in COLOURS}
    return edits | {(CELL[GOAL, 1, 0], CELL[GOAL, 1, 0], EMPTY, EMPTY, 1): GO}


FAILS = tuple((CELL[DOOR, c, 1], HAND[thing, d], USE) for thing in (BALL, BOX) for c in COLOURS for d in COLOURS)
LOCKED = tuple((CELL[DOOR, c, 1], HAND[KEY, d], USE) for c in COLOURS for d in COLOURS if c != d)


def following(
    shown: dict[tuple[int, ...], int],
    counts: dict[tuple[int, ...], int] | None = None,
    tried: tuple[tuple[int, int, int], ...] = FAILS + LOCKED,
) -> dict[tuple[tuple[int, ...], int], float]:
    """What follows from the edits that play showed, with the action of each, and how often it ends so."""
    edits, actions = torch.tensor([*shown]), torch.tensor([*shown.values()])
    often = torch.tensor([(counts or {}).get(edit, 1) for edit in shown])
    found, by, weights = alike_edits(edits, actions, often, torch.tensor(tried).view(-1, 3), CELLS, HELD)
    every = zip(found.tolist(), by.tolist(), weights.tolist(), strict=True)
    return {(tuple(edit), action): weight for edit, action, weight in every}


def test_nothing_follows_from_all_that_can_happen() -> None:
    assert following(every()) == {}


def test_what_was_taken_up_in_no_colour_but_one_is_taken_up_in_that_one() -> None:
    """Nobody ever had the box of colour 2. Three others say what happens to it, and so does the ball."""
    missing = {edit for edit in every() if HAND[BOX, 2] in edit[2:4]}
    found = following({edit: action for edit, action in every().items() if edit not in missing})
    assert found == {(edit, every()[edit]): 4.0 for edit in missing} and len(missing) == 2


@given(st.sets(st.sampled_from(sorted(edit for edit in every() if edit[4] == 0)), max_size=8))
def test_only_what_can_happen_follows(missing: set[tuple[int, ...]]) -> None:
    """A key never opens a door of another colour, nor a ball one, where that was tried."""
    shown = {edit: action for edit, action in every().items() if edit not in missing}
    assert {edit for edit, _ in following(shown)} <= missing


def test_what_ends_otherwise_with_one_value_than_with_the_other_tells_them_apart() -> None:
    """Nobody took up the ball of colour 1, nor used a ball on the door of colour 0; on others they did nothing."""
    shown = {edit: action for edit, action in every().items() if HAND[BALL, 1] not in edit[2:4]}
    tried = tuple(each for each in FAILS if each[0] != CELL[DOOR, 0, 1])
    assert {action for _, action in following(shown, tried=tried)} == {TAKE, DROP}
    assert USE in {action for _, action in following(shown, tried=())}, "but for what was tried, they are as keys are"


def test_what_play_showed_the_end_of_has_no_other() -> None:
    """A box of colour 3 gives up a key when it is used; of another colour, nothing; and no ball can be used."""
    floor, shown = CELL[FLOOR, 0, 0], every()
    shown |= {(CELL[BOX, c, 0], floor, EMPTY, EMPTY, 0): USE for c in (0, 1)}
    opened = [(CELL[BOX, 3, 0], CELL[KEY, c, 0], EMPTY, EMPTY, 0) for c in COLOURS]
    counts = dict(zip(opened, (1, 2, 3, 2), strict=True))
    balls = tuple((CELL[BALL, c, 0], EMPTY, USE) for c in COLOURS)
    found = following(shown | dict.fromkeys(opened, USE), counts, FAILS + LOCKED + balls)
    assert {edit[0] for edit, _ in found} == {CELL[BOX, 2, 0]}
    assert found[(CELL[BOX, 2, 0], floor, EMPTY, EMPTY, 0), USE] == 2.0
    keys = sum(weight for (edit, _), weight in found.items() if edit[1] != floor)
    assert keys == torch.tensor(1.0), "of three boxes that were used, one has a key"


def test_what_is_carried_need_have_no_features() -> None:
    edits = torch.tensor([[0, 1, 0, 1, 0]])
    found = alike_edits(
        edits, torch.tensor([0]), torch.tensor([1]), edits[:, :3], CELLS, torch.zeros(2, 0, dtype=torch.long)
    )
    assert [len(each) for each in found] == [0, 0, 0]


def test_a_table_of_which_play_showed_half_is_complete() -> None:
    whole, none = [*product((1, 2, 3), (1, 2, 3))], [(0, 0)]
    for missing in ([(1, 1)], [(1, 1), (2, 2)], [(1, 1), (2, 2), (3, 3)]):
        rows = torch.tensor(none + [pair for pair in whole if pair not in missing])
        assert len(closure(rows)) == 0, "a pair that was not seen is not made of pairs that were"
        assert [tuple(row) for row in closure(rows, complete=True).tolist()] == missing


def test_a_table_of_which_play_showed_less_is_not() -> None:
    rows = torch.tensor([[i, i] for i in range(6)] + [[i, (i + 1) % 6] for i in range(6)])
    assert len(closure(rows, complete=True)) == 0


def test_shares_sum_to_one_in_every_group() -> None:
    groups, weights = torch.tensor([[0, 1], [1, 1], [0, 1], [0, 2]]), torch.tensor([1.0, 2.0, 3.0, 5.0])
    assert shares(groups, weights).tolist() == [0.25, 1.0, 0.75, 1.0]
