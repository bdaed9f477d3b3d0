"""What a level of events learns from play of a world whose rules are known: what is carried, ways, events, chances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from key_door import (
    AHEAD,
    BOX,
    EDITS,
    FLOOR,
    FORWARD,
    FREE,
    GOAL,
    KEY,
    MOVES,
    PLAN,
    TURN_LEFT,
    TURN_RIGHT,
    USE,
    State,
    played,
    read,
)
from levels.plays import play_of
from torch import Tensor

from hplan.levels.level import Level
from hplan.planning.novelty import NoveltySearch
from hplan.training.events import Events, EventSettings
from hplan.training.mover import MoverSteps, _moves, carried, closed, lasting, wanted_stride
from hplan.types import Budget

PLAY = played()
EVENTS = Events(EventSettings(), PLAY, PLAY, count=None, seed=0)


def drafted() -> tuple[Level, Level]:
    """Untrained but for what is counted."""
    base = EVENTS.draft(())
    assert base is not None
    fine = EVENTS.maps
    level = EVENTS.draft((base,))
    EVENTS.fine = fine  # type: ignore[attr-defined]
    assert level is not None and EVENTS.draft((base, level)) is None
    return base.eval(), level.eval()


BASE, LEVEL = drafted()
CELLS = BASE.encoder.cells[:, 0].tolist()  # what each kind of ground is, in the order of the vocabulary
HOLDS, POSES = EVENTS.mover.holds, EVENTS.mover.poses  # type: ignore[union-attr]
HAS = BASE.encoder.tokens[:, 1]


def test_the_mover_is_apart_from_the_ground() -> None:
    assert EVENTS.vocabulary.mover == (1, 2)
    assert sorted(CELLS) == list(range(7))
    tokens = [tuple(token) for token in BASE.encoder.tokens.tolist()]
    assert tokens[0] == (0, 0) and set(tokens[1:]) == {(1 + pose, key) for pose in range(4) for key in (0, 1)}
    found = BASE.encode(PLAY.observations)
    assert torch.equal(found, EVENTS.fine)  # type: ignore[attr-defined]


def test_what_a_step_changes_that_leaves_the_ground_alone_is_the_pose_and_the_rest_is_carried() -> None:
    assert HOLDS[0] == 0 and len(set(HOLDS[1:].tolist())) == 2
    for key in (0, 1):
        assert len(HOLDS[1:][HAS[1:] == key].unique()) == 1
    way = BASE.encoder.tokens[1:, 0]
    assert all(len(POSES[1:][way == 1 + pose].unique()) == 1 for pose in range(4))
    assert len(POSES[1:].unique()) == 4


def test_tokens_that_play_never_showed_are_made_of_poses_and_what_is_carried() -> None:
    """Nobody who had the second key ever looked to the left."""
    tokens = torch.tensor([[0, 0], *[[way, key] for key in (0, 1, 2) for way in (1, 2, 3, 4)][:-1]])
    size = len(tokens)

    def steps(pairs: list[tuple[int, int, bool]]) -> MoverSteps:
        one, other, still = (torch.tensor(each) for each in zip(*pairs, strict=True))
        return MoverSteps(one, one, one, one, other, still, one)

    turns = [(1 + 4 * key + way, 1 + 4 * key + (way + 1) % 4, True) for key in (0, 1) for way in range(4)]
    turns += [(9, 10, True), (10, 11, True)]
    takes = [(1 + way, 5 + way, False) for way in range(4)] + [(1, 9, False)]
    stays, alike = lasting(tokens, steps(turns + takes))
    assert stays.tolist() == [False, True]
    every = closed(tokens, stays)
    assert every[:size].tolist() == tokens.tolist() and every[size:].tolist() == [[4, 2]]
    holds, poses = carried(every, stays, alike)
    assert holds.tolist() == [0] + [1] * 4 + [2] * 4 + [3] * 4
    assert poses.tolist() == [0] + 3 * [0, 1, 2, 3]


def test_a_window_is_turned_the_way_the_mover_goes() -> None:
    way = BASE.encoder.tokens[:, 0]
    assert BASE.dynamics.turns[1:].tolist() == (way[1:] - 1).tolist()


def test_what_play_went_on_from_is_passable() -> None:
    assert {cell for cell, free in zip(CELLS, LEVEL.space.passable.tolist(), strict=True) if free} == set(FREE)


def named_moves() -> list[tuple[int, int, int, int]]:
    """Moves of the level, by poses as the world has them."""
    name = {int(pose): int(way) - 1 for pose, way in zip(POSES[1:], BASE.encoder.tokens[1:, 0], strict=True)}
    return sorted((name[p], name[q], down, right) for p, q, down, right in LEVEL.space.moves.tolist())


def test_moves_are_turns_and_steps_ahead() -> None:
    assert named_moves() == MOVES


def test_moves_from_a_pose_that_is_seldom_are_moves_and_what_is_seldom_in_a_pose_is_none() -> None:
    """On a strip of ten cells, one goes right. With the other pose, which three steps in a thousand have, too; and
    three other steps in a thousand lead two cells on."""
    pose = torch.tensor([0] * 994 + [1] * 3 + [0] * 3)
    at = torch.zeros(1000, dtype=torch.long)
    to = torch.where(torch.arange(1000) < 997, 1, 2)
    still = torch.ones(1000, dtype=torch.bool)
    steps = MoverSteps(at, at, to, 1 + pose, 1 + pose, still, at)
    holds, poses = torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])
    assert _moves(steps, holds, poses, 10).tolist() == [[0, 0, 0, 1], [1, 1, 0, 1]]


def named_edits() -> list[tuple[int, ...]]:
    held = {int(HOLDS[i]): 1 + int(HAS[i]) for i in range(1, len(HAS))}
    enters = LEVEL.macros.enters.long().tolist()
    return [
        (CELLS[old], CELLS[new], held[had], held[has], entered)
        for (old, new, had, has), entered in zip(LEVEL.macros.edits.tolist(), enters, strict=True)
    ]


def test_events_are_those_of_the_world() -> None:
    edits = named_edits()
    assert sorted(edits) == sorted(EDITS)


def test_events_are_done_to_what_is_ahead() -> None:
    """The goal is at the right border, so that nobody ever entered it to the left."""
    way = {int(pose): int(way) - 1 for pose, way in zip(POSES[1:], BASE.encoder.tokens[1:, 0], strict=True)}
    for faces, count in zip(LEVEL.macros.faces, (4, 3), strict=True):
        found = {(way[pose], *LEVEL.macros.offsets[number].tolist()) for pose, number in torch.nonzero(faces).tolist()}
        assert found == {(pose, *ahead) for pose, ahead in enumerate(AHEAD[:count])}


def test_an_event_has_the_chance_that_play_had() -> None:
    chance = dict(zip(named_edits(), LEVEL.macros.chance.tolist(), strict=True))
    for key in (1, 2):
        once = chance[(BOX, KEY, key, key, 0)]
        assert once == pytest.approx(0.25, abs=0.12)
        assert once + chance[(BOX, FLOOR, key, key, 0)] == pytest.approx(1)
    assert all(share == 1 for edit, share in chance.items() if edit[0] != BOX)


def test_ways_in_which_the_same_may_end_are_outcomes_of_either() -> None:
    edits, start = named_edits(), State(read(PLAN), (0, 1))
    kinds = [edits.index((BOX, thing, 1, 1, 0)) for thing in (KEY, FLOOR)]
    other = [i for i in range(len(edits)) if edits[i][0] != BOX]
    groups = LEVEL.macros.group.tolist()
    assert groups[kinds[0]] == groups[kinds[1]] and len({groups[i] for i in other} - {groups[kinds[0]]}) == len(other)
    assert LEVEL.outcomes is not None
    z, cell = coarse(start)[None], 1 * 5 + 1
    wanted = torch.stack([LEVEL.predict(z, torch.tensor([kind * 25 + cell]))[0] for kind in kinds])
    assert not torch.equal(*wanted)
    for kind in kinds:
        ends, chance = LEVEL.outcomes(z, torch.tensor([kind * 25 + cell]))
        order = chance[0].argsort()  # the key is the rarer of the two
        assert torch.equal(ends[0, order], wanted) and torch.allclose(chance[0, order], LEVEL.macros.chance[kinds])
    take = edits.index((KEY, FLOOR, 1, 2, 0)) * 25
    ends, chance = LEVEL.outcomes(z.repeat(2, 1, 1), torch.tensor([take, kinds[0] * 25 + cell]))
    assert chance[0].tolist() == [1.0, 0.0] and torch.equal(ends[0, 0], LEVEL.predict(z, torch.tensor([take]))[0])


def coarse(state: State) -> Tensor:
    return LEVEL.encode(BASE.encode(torch.from_numpy(state.observation)[None]))[0]


class InGoal:
    """To be where the goal is."""

    threshold = 0.0

    def __call__(self, z: Tensor) -> Tensor:
        ground, at, _ = LEVEL.space.parts(z)
        return (torch.tensor(CELLS)[ground.gather(1, at[:, None])[:, 0]] != GOAL).float()


def test_it_plans_a_way_that_play_never_took_as_a_whole() -> None:
    start = coarse(State(read(PLAN), (4, 0)))
    found = NoveltySearch().plan(LEVEL, start, InGoal(), budget=Budget(1000, 20))
    assert found.reached
    kinds = [named_edits()[macro // start.numel()][:2] for macro in found.macros.tolist()]
    assert kinds == [EDITS[0][:2], EDITS[2][:2], (GOAL, GOAL)]
    assert [macro % start.numel() for macro in found.macros.tolist()] == [0, 12, 14]


def test_a_step_is_as_long_as_the_way_to_an_event_from_the_one_before() -> None:
    state, rng = State(read("k...."), (0, 1), 3), np.random.default_rng(0)
    seen, taken = [state.observation], [USE, TURN_RIGHT, TURN_LEFT, TURN_RIGHT, TURN_RIGHT, FORWARD, USE, TURN_LEFT]
    for action in taken:
        state = state.after(action, rng)
        seen.append(state.observation)
    assert state.ground.tolist() == [[FLOOR, FLOOR, FLOOR, KEY, FLOOR]]
    observations, none = torch.from_numpy(np.stack(seen)), torch.zeros(len(seen))
    play = play_of(observations, none.long(), torch.arange(len(taken), -1, -1))
    maps = LEVEL.encode(BASE.encode(observations))
    assert wanted_stride(LEVEL, maps, play, seed=0) == 2.0, "one ahead, and to drop the key; play took six"
