"""How much is left to a goal of a level of events, if nothing that was once so ever ceased to be.

That is the delete relaxation of planning: what was somewhere, was carried or within reach counts as being so for good,
and more of it can only help. So it is reached in layers, without search, and the events that the goal then takes (FF;
Hoffmann and Nebel, 2001) say how far it is and what to do first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.types import Energy

LATER = np.iinfo(np.int16).max  # the layer of what never comes true
FEW = 8  # cells that tell whether it meets the goal that one becomes like this; facts that are compared
EVERY, MANY = 256, 32  # the same where a goal is of many facts; and how many, at the most
CLOSER = 0.5  # energy that one more of them takes away at least
NEARER = 1e-3  # of an event's effort, by which it is easier if done a step nearer
CARRIED, ENTERED = -1, -2  # places of facts that are not the ground of a cell
Fact = tuple[int, int]  # (cell, ground), (CARRIED, what) or (ENTERED, cell)
Facts = tuple[Fact, ...]  # that are so together


class Relaxation:
    """Of one goal, for latents (H, W) of the shape of `start`. `known`: whether a fact or two meet the goal, as far as
    can be told by changing `start` in them alone."""

    def __init__(self, level: Level, start: Tensor, goal: Energy, effort: Tensor) -> None:
        """effort (types,): steps that an event of each type takes, as a mean."""
        self.space, self.shape, events = level.space, start.shape, level.macros
        self.before, self.after, self.had, self.has = events.edits.T.numpy(force=True)
        self.enters = events.enters.numpy(force=True)
        self.effort = effort.numpy(force=True)
        self.passable = self.space.passable.numpy(force=True)
        moves = torch.unique(self.space.moves[:, 2:], dim=0)
        moves = moves[(moves != 0).any(1)]
        self.moves, self.back = (neighbours(self.shape, way) for way in (moves, -moves))
        beside = [neighbours(self.shape, -events.offsets[contact]) for contact in events.contacts]
        self.contacts = [np.pad(table, ((0, 0), (0, 1)), constant_values=-1) for table in beside]  # where play had none
        self.goals = self._meeting(start, goal)

    @property
    def known(self) -> bool:
        return bool(self.goals)

    def __call__(self, z: Tensor) -> tuple[float, list[int]]:
        """(H, W) -> steps of the level that are left, infinite where the goal is out of reach; and which macro-actions
        of those come first."""
        layers = _Layers.of(self, z)
        while layers.grow():
            if met := [facts for facts in self.goals if all(layers.when(fact) < LATER for fact in facts)]:
                return min((layers.needed(facts) for facts in met[:FEW]), key=lambda found: found[0])
        return math.inf, []

    def _meeting(self, start: Tensor, goal: Energy) -> list[Facts]:
        """What comes true some day and meets the goal: a single fact, or else to be somewhere with something, or else
        several, each of which brings it nearer."""
        layers = _Layers.of(self, start)
        while layers.grow():
            pass
        facts = layers.new()
        found = self._meet(start, goal, [(fact,) for fact in facts])
        if found:
            return found
        things, places = ([fact for fact in facts if fact[0] == kind] for kind in (CARRIED, ENTERED))
        found = self._meet(start, goal, [(place, thing) for place in places[:FEW] for thing in things])
        return found or self._several(start, goal, layers.new(EVERY))

    def _several(self, start: Tensor, goal: Energy, facts: list[Fact]) -> list[Facts]:
        """One set of facts that meets the goal together, found one after the other; none where one brings no more."""
        chosen: Facts = ()
        left = float(goal(start[None])[0])
        while left > goal.threshold and len(chosen) < MANY:
            tried = [(*chosen, fact) for fact in facts if fact not in chosen]
            energies = self._energies(start, goal, tried)
            if not tried or left - float(energies.min()) < CLOSER:
                return []
            chosen, left = tried[int(energies.argmin())], float(energies.min())
        return [chosen] if chosen and left <= goal.threshold else []

    def _meet(self, start: Tensor, goal: Energy, facts: list[Facts]) -> list[Facts]:
        """Those that, changed in `start` alone, meet the goal."""
        energies = self._energies(start, goal, facts)
        return [each for each, met in zip(facts, (energies <= goal.threshold).tolist(), strict=True) if met]

    def _energies(self, start: Tensor, goal: Energy, facts: list[Facts]) -> Tensor:
        """(N,): of `start` with each of these changed in it."""
        if not facts:
            return torch.zeros(0)
        ground, at, has = (part[0].numpy(force=True) for part in self.space.parts(start[None]))
        maps, stands, holds = np.repeat(ground[None], len(facts), 0), np.full(len(facts), at), np.full(len(facts), has)
        for row, each in enumerate(facts):
            for place, value in each:
                if place == CARRIED:
                    holds[row] = value
                elif place == ENTERED:
                    stands[row] = value
                else:
                    maps[row, place] = value
        maps *= self.space.tokens
        maps[np.arange(len(facts)), stands] += holds
        return goal(torch.from_numpy(maps).view(-1, *self.shape).to(start.device))


@dataclass
class _Layers:
    """What has come true by now, and in which layer. ground (N, V), carried (K,), reached (N,) and entered (N,) int16;
    `by`: the types that first did it, and for what is carried the cell too; `way` (N,): the cell before on the way
    there, itself where that begins; steps (N,) of the way."""

    rules: Relaxation
    at: int
    ground: np.ndarray
    carried: np.ndarray
    reached: np.ndarray
    entered: np.ndarray
    by_ground: np.ndarray
    by_carried: np.ndarray
    by_entered: np.ndarray
    way: np.ndarray
    steps: np.ndarray
    stands: tuple[np.ndarray, ...] = ()  # where events at each cell are done from
    layer: int = 0
    front: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, rules: Relaxation, z: Tensor) -> _Layers:
        space = rules.space
        now, at, has = (part[0].numpy(force=True) for part in space.parts(z[None]))
        cells, kinds = len(now), len(rules.passable)
        ground = np.full((cells, kinds), LATER, np.int16)
        ground[np.arange(cells), now] = 0
        carried = np.full(space.tokens, LATER, np.int16)
        carried[has] = 0
        reached, way = np.full(cells, LATER, np.int16), np.arange(cells)
        start = int(at)
        reached[start] = 0
        return cls(
            rules, start, ground, carried, reached, np.full(cells, LATER, np.int16),
            np.zeros((cells, kinds), np.int64), np.zeros((space.tokens, 2), np.int64), np.zeros(cells, np.int64),
            way, np.zeros(cells, np.int64), (), 0, [start] if rules.passable[now[start]] else [],
        )  # fmt: skip

    def when(self, fact: Fact) -> int:
        place, value = fact
        if place == CARRIED:
            return int(self.carried[value])
        return int(self.entered[value] if place == ENTERED else self.ground[place, value])

    def new(self, few: int = FEW) -> list[Fact]:
        """What was not so at first; of what the ground of many cells can become, the first few."""
        cells, kinds = np.nonzero((self.ground > 0) & (self.ground < LATER))
        order = np.argsort(self.ground[cells, kinds], kind="stable")
        found = [
            (int(cell), int(kind)) for kind in np.unique(kinds) for cell in cells[order][kinds[order] == kind][:few]
        ]
        found += [(CARRIED, int(k)) for k in np.flatnonzero((self.carried > 0) & (self.carried < LATER))]
        return found + [(ENTERED, int(n)) for n in np.flatnonzero(self.entered < LATER)]

    def grow(self) -> bool:
        """One layer more; False if it has nothing new."""
        if not self.front and not self.layer:
            return False
        self._walk()
        self.layer += 1
        rules = self.rules
        self.stands, near = zip(*(_first(self.reached, table) for table in rules.contacts), strict=True)
        group = rules.enters.astype(int)
        asked = (
            (self.ground[:, rules.before] < LATER)
            & (self.carried[rules.had] < LATER)
            & (np.stack(near)[group] < LATER).T
        )
        news = (self.ground[:, rules.after] == LATER) | (self.carried[rules.has] == LATER)
        news = np.where(rules.enters, self.entered[:, None] == LATER, news)
        cells, types = np.nonzero(asked & news)
        if not len(cells):
            return False
        stand = np.stack(self.stands)[group[types], cells]
        # Of several the easiest is written last.
        order = np.argsort(-rules.effort[types] - NEARER * self.steps[stand], kind="stable")
        cells, types = cells[order], types[order]
        enters, before = rules.enters[types], self.opened
        self.entered[cells[enters]], self.by_entered[cells[enters]] = self.layer, types[enters]
        after, has = rules.after[types], rules.has[types]
        fresh = (self.ground[cells, after] == LATER) & ~enters
        newly = (self.carried[has] == LATER) & ~enters
        self.ground[cells[fresh], after[fresh]] = self.layer
        self.by_ground[cells[fresh], after[fresh]] = types[fresh]
        self.carried[has[newly]] = self.layer
        self.by_carried[has[newly]] = np.stack([types[newly], cells[newly]], 1)
        found = np.flatnonzero((before == LATER) & (self.opened < LATER))
        beside = rules.back[found].ravel()
        self.front = np.unique(beside[(beside >= 0) & (self.reached[beside] < LATER)]).tolist()
        return True

    @property
    def opened(self) -> np.ndarray:
        """(N,): the layer in which the mover can first go on from a cell."""
        return self.ground[:, self.rules.passable].min(1)

    def _walk(self) -> None:
        """To all that is within reach, nearest first."""
        free, reached, front = (self.opened < LATER).tolist(), self.reached.tolist(), self.front
        while front:
            following = []
            for cell in front:
                for to in self.rules.moves[cell].tolist():
                    if to >= 0 and free[to] and reached[to] == LATER:
                        reached[to], self.way[to], self.steps[to] = self.layer, cell, self.steps[cell] + 1
                        following.append(to)
            front = following
        self.reached[:] = reached

    def needed(self, goal: Facts) -> tuple[float, list[int]]:
        """The effort of all events that they take; those that can be done at once."""
        rules, cells = self.rules, len(self.reached)
        walked, done, events, first = {self.at}, set[Fact](), set[tuple[int, int]](), []
        opened, need = self.opened, [*goal]
        while need:
            fact = need.pop()
            if fact in done or self.when(fact) == 0:
                continue
            done.add(fact)
            place, value = fact
            if place == CARRIED:
                kind, cell = self.by_carried[value].tolist()
            elif place == ENTERED:
                kind, cell = int(self.by_entered[value]), value
            else:
                kind, cell = int(self.by_ground[place, value]), place
            if (kind, cell) in events:
                continue
            events.add((kind, cell))
            stand = int(self.stands[int(rules.enters[kind])][cell])
            asked: list[Fact] = [(cell, int(rules.before[kind])), (CARRIED, int(rules.had[kind]))]
            if self.reached[stand] == 0 and all(self.when(each) == 0 for each in asked):
                first.append(kind * cells + cell)
            need += asked
            while stand not in walked:
                walked.add(stand)
                if opened[stand] > 0:
                    grounds = np.flatnonzero(rules.passable)
                    need.append((stand, int(grounds[self.ground[stand, grounds].argmin()])))
                stand = int(self.way[stand])
        return float(sum(rules.effort[kind] for kind, _ in events)), first


def neighbours(shape: torch.Size, offsets: Tensor) -> np.ndarray:
    """(N, P): by flat cell, those so many rows and columns away (P, 2); -1 outside the map."""
    height, width = shape
    rows, columns = np.divmod(np.arange(height * width)[:, None], width)
    rows, columns = rows + offsets[:, 0].numpy(force=True), columns + offsets[:, 1].numpy(force=True)
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    return np.where(inside, rows * width + columns, -1)


def _first(layers: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the cells of each row of a table (N, P), the one of the first layer (N,), and that layer (N,)."""
    found = np.where(table >= 0, layers[table], LATER)
    first = found.argmin(1)[:, None]
    return np.take_along_axis(table, first, 1)[:, 0], np.take_along_axis(found, first, 1)[:, 0]
