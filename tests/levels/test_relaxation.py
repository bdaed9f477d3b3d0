"""What is left of a goal in the relaxed world of the key, against all that can be reached in the real one."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from key_door import BOX, EDITS, FLOOR, KEY, KINDS, PLAN, State, key_door_level, read
from levels.test_reach import states
from torch import Tensor

from hplan.levels.relaxation import Relaxation
from hplan.planning.relaxed import RelaxedSearch
from hplan.types import Budget

LEVEL = key_door_level()
PICK, DROP, UNLOCK, FILLED, EMPTY, *_, ENTER, ENTER_WITH_KEY = range(len(EDITS))
GOAL_SIGN = 6


class InTheGoal:
    """Whoever it is has to be in the goal; with the key, if asked."""

    threshold = 0.0

    def __init__(self, *, key: bool = False) -> None:
        self.key = key

    def __call__(self, z: Tensor) -> Tensor:
        ground, at, has = LEVEL.space.parts(z)
        inside = ground.gather(1, at[:, None])[:, 0] == GOAL_SIGN
        return 1.0 - (inside & ((has == 2) | (not self.key))).float()


def relaxation(start: Tensor, goal: InTheGoal) -> Relaxation:
    assert LEVEL.relaxation is not None
    found = LEVEL.relaxation(start, goal)
    assert isinstance(found, Relaxation)
    return found


def at(kind: int, row: int, column: int) -> int:
    return kind * 25 + row * 5 + column


def test_the_key_the_door_and_the_goal_are_left() -> None:
    start = State(read(PLAN), (4, 0)).coarse
    left = relaxation(start, InTheGoal())
    assert left(start) == (3.0, [at(PICK, 0, 0)])
    following = LEVEL.predict(start[None], torch.tensor([at(PICK, 0, 0)]))[0]
    assert left(following) == (2.0, [at(UNLOCK, 2, 2)])
    following = LEVEL.predict(following[None], torch.tensor([at(UNLOCK, 2, 2)]))[0]
    assert left(following) == (1.0, [at(ENTER_WITH_KEY, 2, 4)])


def test_what_seldom_ends_so_takes_more() -> None:
    """Without the key there is the box, one in four of which holds one."""
    ground = read(PLAN)
    ground[0, 0] = FLOOR
    level, start = key_door_level({FILLED: 0.25}), State(ground, (4, 0)).coarse
    left = level.relaxation(start, InTheGoal())  # type: ignore[misc]
    assert left is not None and left(start) == (4.0 + 3.0, [at(FILLED, 1, 1)])
    ground[1, 1] = FLOOR
    start = State(ground, (4, 0)).coarse
    assert level.relaxation(start, InTheGoal()) is None, "nothing that can come true is the goal"  # type: ignore[misc]
    assert left(start) == (math.inf, [])


def test_a_kind_of_event_that_play_never_showed_is_none() -> None:
    """As where all that can be done beside the mover ends the episode: nothing is entered, or nothing is changed."""
    level, start = key_door_level(), State(read(PLAN), (4, 0)).coarse
    level.macros.faces[1] = False
    assert level.relaxation(start, InTheGoal()) is None  # type: ignore[misc]
    level = key_door_level()
    level.macros.faces[0] = False
    assert level.relaxation(start, InTheGoal()) is None, "the door stays shut"  # type: ignore[misc]


def test_a_goal_may_ask_for_two_things() -> None:
    ground = read("k...G")
    start = State(ground, (0, 2)).coarse
    left = relaxation(start, InTheGoal(key=True))
    steps, helpful = left(start)
    assert steps == 2.0 and sorted(helpful) == [PICK * 5, ENTER * 5 + 4], "in whatever order, since nothing is undone"


class AllTaken:
    """No key lies about any more; short of that, every one counts."""

    threshold, most = 0.0, math.inf

    def __call__(self, z: Tensor) -> Tensor:
        return (LEVEL.space.parts(z)[0] == KEY).sum(1).float().clamp(max=self.most)


def test_a_goal_may_ask_for_many_things_where_each_brings_it_nearer() -> None:
    start = State(read("kkk ..."), (1, 0)).coarse
    assert LEVEL.relaxation is not None
    left = LEVEL.relaxation(start, AllTaken())
    assert left is not None
    steps, helpful = left(start)
    assert steps == 3.0 and sorted(helpful) == [PICK * 6 + cell for cell in range(3)]
    following = LEVEL.predict(start[None], torch.tensor([PICK * 6 + 2]))[0]
    assert left(following)[0] == 3.0, "two to take, and the hand to be emptied before"
    goal = AllTaken()
    goal.most = 1.0
    assert LEVEL.relaxation(start, goal) is None, "where nothing is told short of all, none is found"


@settings(deadline=None)
@given(states())
def test_it_finds_a_way_wherever_there_is_one(state: State) -> None:
    """And where the relaxed world has none, the real one has none."""
    start, goal = state.coarse, InTheGoal()
    assert LEVEL.relaxation is not None and LEVEL.possible is not None
    seen, front = {tuple(LEVEL.keys(start[None])[0].tolist())}, start[None]
    reachable = False
    while len(front) and len(seen) < 2000:
        rows, macros, _ = LEVEL.possible(front)
        if not len(rows):
            break
        following = LEVEL.predict(front[rows], macros)
        reachable |= bool((goal(following) <= 0).any())
        keys = [tuple(key) for key in LEVEL.keys(following).tolist()]
        new = {key: i for i, key in enumerate(keys) if key not in seen}
        seen |= set(new)
        front = following[list(new.values())]
    left = LEVEL.relaxation(start, goal)
    if left is None:
        assert not reachable
        return
    assert math.isfinite(left(start)[0])
    tree = RelaxedSearch(prior_weight=0.0).search(LEVEL, start, goal, Budget(20_000, 100), 0, None)
    assert tree is not None and tree.reached
    plan = tree.path()
    z = start[None]
    for macro in plan.macros:
        assert macro in LEVEL.possible(z)[1]
        z = LEVEL.predict(z, macro[None])
    assert float(goal(z)[0]) == 0 and torch.equal(z[0], plan.latents[-1])


def test_a_goal_that_no_fact_meets_says_nothing() -> None:
    start = State(read(PLAN), (4, 0)).coarse
    assert LEVEL.relaxation is not None
    never = InTheGoal()
    never.threshold = -1.0
    assert LEVEL.relaxation(start, never) is None
    assert RelaxedSearch().search(LEVEL, start, never, Budget(100, 100), 0, None) is None
    assert BOX in start // KINDS
