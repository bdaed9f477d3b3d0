"""Levels of events that know where the mover can get to: what a step of such a level is, and which are possible.

A latent is a map of the ground with the mover in it, of whom only what it *carries* is kept: what no step changes that
leaves the ground as it is. Where the mover stands counts as far as it can get before the next event, its *reach*: cells
of ground that play went on from, by moves that play made. An event changes one cell next to the reach, or enters a cell
that play never went on from. What events do was read off play; nothing else is imagined.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from torch import Tensor, nn

from hplan.levels.heads.prior import IMPOSSIBLE
from hplan.levels.relaxation import Relaxation, neighbours
from hplan.levels.remembered import Remembered
from hplan.levels.spaces import DiscreteMap
from hplan.types import Energy, MacroSpec

if TYPE_CHECKING:
    from hplan.levels.level import Level

FAR = 30_000  # steps to where there is no way
LEAST_CHANCE = 0.01  # of an event: what seldom ends so takes as many steps as trying again until it does
Moves = tuple[tuple[int, int, int, int], ...]  # from one pose to another, so many rows and columns away
KEPT = 20_000  # answers about reach that a space remembers


class ReachMap(DiscreteMap):
    """Maps (H, W) int64: ground * K + what the mover that is there carries, from 1; 0 where it is not.

    passable (grounds,): what the mover can stand on and go on from. Its steps that do nothing else are `moves` (R, 4):
    from one *pose* to another, so many rows and columns away; `poses` (T,) of the tokens of the level below. Two
    latents are the same if ground and carried are, and the mover is within the same reach.
    """

    passable: Tensor
    moves: Tensor
    poses: Tensor

    def __init__(
        self, *, vocabulary: int, channels: int, tokens: int, token_channels: int, moves: int, tokens_below: int
    ) -> None:
        super().__init__(vocabulary=vocabulary, channels=channels, tokens=tokens, token_channels=token_channels)
        self.register_buffer("passable", torch.zeros(vocabulary, dtype=torch.bool))
        self.register_buffer("moves", torch.zeros(moves, 4, dtype=torch.long))
        self.register_buffer("poses", torch.zeros(tokens_below, dtype=torch.long))
        self._steps, self._reaches = Remembered(KEPT), Remembered(KEPT)

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, W) -> ground (B, H * W), flat cell of the mover (B,), what it carries (B,)."""
        ground, at, has = self.read(z)
        return tuple(torch.from_numpy(each).to(z.device) for each in (ground, at, has))  # type: ignore[return-value]

    def read(self, z: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As `parts`, in arrays: of a few maps that takes less than half the time."""
        flat = z.flatten(1).numpy(force=True)
        ground = flat // self.tokens
        token = flat - ground * self.tokens
        at = (token > 0).argmax(1)
        return ground, at, token[np.arange(len(flat)), at]

    def free(self, ground: np.ndarray) -> np.ndarray:
        """(B, N) -> (B, N) bool: cells that the mover can go on from."""
        return self.passable.numpy(force=True)[ground]

    def reach(self, z: Tensor) -> Tensor:
        """(B, H, W) -> (B, H * W) int64: fewest steps of the mover to each cell before the next event, `FAR` where it
        does not get to. From where play never went on it gets nowhere."""
        ground, at, _ = self.read(z)
        return torch.from_numpy(self.steps(self.free(ground), at, z.shape[1:])).to(z.device)

    def steps(self, free: np.ndarray, at: np.ndarray, shape: torch.Size) -> np.ndarray:
        """As `reach`: free (B, N) bool, at (B,)."""

        def missing(rows: list[int]) -> np.ndarray:
            sources = np.zeros((len(rows), 1, free.shape[1]), bool)
            sources[np.arange(len(rows)), 0, at[rows]] = free[rows, at[rows]]
            maps, sources = free[rows].reshape(len(rows), *shape), sources.reshape(len(rows), 1, *shape)
            return flood(maps, sources, self._ways)[:, 0]

        asked = np.column_stack([free, at, np.full(len(at), shape[1])]).astype(np.int16)
        return self._steps(asked, missing).astype(np.int64)

    def _places(self, free: np.ndarray, shape: torch.Size) -> np.ndarray:
        """(B, N) bool -> (B, N) int64: of the cells with ways there and back from each, the first. Maps of other shapes
        may have as many cells."""

        def missing(rows: list[int]) -> np.ndarray:
            ways = graph(free[rows].reshape(len(rows), *shape), 1, self._ways)
            _, labels = connected_components(ways, connection="strong")
            first, which = np.unique(labels, return_index=True, return_inverse=True)[1:]
            return first[which].reshape(len(rows), free.shape[1]) % free.shape[1]

        return self._reaches(np.column_stack([free, np.full(len(free), shape[1])]).astype(np.int16), missing)

    @property
    def _ways(self) -> Moves:
        """Moves whatever the pose."""
        gone = {(0, 0, rows, columns) for _, _, rows, columns in self.moves.tolist() if rows or columns}
        return tuple(sorted(gone))

    def stopped(self, ground: Tensor, at: Tensor) -> Tensor:
        """(B, N), (B,) -> (B,) bool: whether the mover is where play never went on from."""
        return ~self.passable[ground.gather(1, at[:, None])[:, 0]]

    def changed(self, z: Tensor, following: Tensor) -> Tensor:
        (before, at, had), (after, to, has) = self.parts(z), self.parts(following)
        enters = (at != to) & self.stopped(after, to)
        return (before != after).any(1) | (had != has) | enters

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        """Cells whose ground differs, one more if what is carried does; or else one, if reach does."""
        same = other[:1] if not other.stride(0) else other  # one map for all, expanded
        (ground, at, has), (wanted, to, held) = self.read(z), self.read(same)
        off = (ground != wanted).sum(1) + (has != held)
        apart = np.flatnonzero((off == 0) & (at != to))
        if len(apart):
            rows = apart % len(wanted)
            places = self._places(self.free(wanted[rows[: len(wanted)]]), z.shape[1:])
            which = np.arange(len(apart)) % len(places)
            off[apart] = places[which, at[apart]] != places[which, to[rows]]
        return torch.from_numpy(off).to(z.device) / self.typical_change

    def keys(self, z: Tensor) -> Tensor:
        """Ground, what is carried, and a number for the reach."""
        ground, at, has = self.read(z)
        free = self.free(ground)
        reach = self.steps(free, at, z.shape[1:]) < FAR
        where = np.where(free[np.arange(len(at)), at], reach @ _numbers(reach.shape[1]), at)
        return torch.from_numpy(np.column_stack([ground, has, where])).to(z.device)


@cache
def _numbers(cells: int) -> np.ndarray:
    """(cells,) int64: sums of them tell sets of cells apart."""
    return np.random.default_rng(0).integers(2**62, size=cells)


@cache
def _moved(shape: tuple[int, int], poses: int, moves: Moves) -> tuple[np.ndarray, np.ndarray]:
    """Nodes are (pose, row, column), flat: where each move leads, sorted by where it begins, (E,); and the first of
    those that begin at each node, (nodes + 1,)."""
    height, width = shape
    row, column = np.divmod(np.arange(height * width), width)
    begin: list[np.ndarray] = [np.zeros(0, np.int64)]
    end: list[np.ndarray] = [np.zeros(0, np.int64)]
    for before, after, down, right in moves:
        inside = (row + down >= 0) & (row + down < height) & (column + right >= 0) & (column + right < width)
        cells = np.flatnonzero(inside)
        begin.append(before * height * width + cells)
        end.append(after * height * width + cells + down * width + right)
    start = np.concatenate(begin)
    order = np.argsort(start, kind="stable")
    first = np.searchsorted(start[order], np.arange(poses * height * width + 1))
    return np.concatenate(end)[order].astype(np.int32), first


def graph(free: np.ndarray, poses: int, moves: Moves) -> csr_array:
    """The moves that there are to free cells, (B, H, W) bool, between nodes (map, pose, row, column), flat."""
    end, first = _moved(free.shape[1:], poses, moves)
    maps, nodes = np.arange(len(free))[:, None], len(first) - 1
    kept = free.reshape(len(free), prod(free.shape[1:]))[:, end % prod(free.shape[1:])]
    before = np.concatenate([[0], kept.cumsum()]).astype(np.int32)
    begins = np.append(maps * len(end) + first[:-1], kept.size)
    ways = (end + maps * nodes).astype(np.int32)[kept]
    return csr_array((np.ones(len(ways)), ways, before[begins]), shape=(len(free) * nodes,) * 2)


def flood(free: np.ndarray, sources: np.ndarray, moves: Moves) -> np.ndarray:
    """Fewest steps from the nearest source, `FAR` where there is no way: free (B, H, W) bool, sources (B, P, H, W) bool
    by pose -> (B, P, H * W) int16. A move goes to a free cell; a source need not be free."""
    begin, steps = np.flatnonzero(sources), np.full(sources.size, FAR, np.int16)
    if len(begin):
        ways = graph(free | sources.any(1), sources.shape[1], moves)
        away = dijkstra(ways, indices=begin, unweighted=True, min_only=True)
        steps = np.where(np.isfinite(away), away, FAR).astype(np.int16)
    return steps.reshape(*sources.shape[:2], prod(sources.shape[2:]))


class ReachEvents(nn.Module):
    """Events of a `ReachMap`: (type, cell) pairs. edits (types, 4): the ground of the cell before and after, and what
    is carried before and after. enters (types,): the mover is in the cell afterwards. faces (2, P, N): in which pose,
    at which of `offsets` (N, 2) from the mover to the cell, play showed events that do not enter it and such that do.
    group (types,): types of one group are ways in which the same may end, and chance (types,) how often it ends so.
    spoils (types, grounds) bool: kinds of ground that must be nowhere, or it ends in failure; where play shows any."""

    edits: Tensor
    enters: Tensor
    faces: Tensor
    offsets: Tensor
    group: Tensor
    chance: Tensor
    spoils: Tensor

    def __init__(self, *, types: int, offsets: int, poses: int, grounds: int = 0) -> None:
        """`grounds`: kinds of ground, where some spoil events; else 0."""
        super().__init__()
        self.spec = MacroSpec("discrete", types, pointed=True)
        self.register_buffer("edits", torch.zeros(types, 4, dtype=torch.long))
        self.register_buffer("enters", torch.zeros(types, dtype=torch.bool))
        self.register_buffer("faces", torch.zeros(2, poses, offsets, dtype=torch.bool))
        self.register_buffer("offsets", torch.zeros(offsets, 2, dtype=torch.long))
        self.register_buffer("group", torch.arange(types))
        self.register_buffer("chance", torch.ones(types))
        self.spoiling = bool(grounds)
        if grounds:
            self.register_buffer("spoils", torch.zeros(types, grounds, dtype=torch.bool))
        self._doors: dict[torch.Size, np.ndarray] = {}

    @property
    def certain(self) -> bool:
        """Whether every event ends in one way."""
        return len(self.group.unique()) == len(self.group)

    @property
    def contacts(self) -> Tensor:
        """(2, N) bool: at which offsets events can be done, in whatever pose."""
        return self.faces.any(1)

    def doors(self, shape: torch.Size) -> np.ndarray:
        """(2, cells, N): by flat cell of such maps, where events that do not enter it, and such that do, are done from;
        -1 where not."""
        if shape not in self._doors:
            contacts, places = self.contacts.numpy(force=True), neighbours(shape, -self.offsets)
            self._doors[shape] = np.where(contacts[:, None], places, -1)
        return self._doors[shape]

    def standing(
        self, reach: np.ndarray, shape: torch.Size, kind: np.ndarray, cell: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the mover does events (B,) at these cells from: the nearest that play showed to do, (B,), and the steps
        to it (B,). reach (B, cells), as of `ReachMap`."""
        places = self.doors(shape)[self.enters.numpy(force=True)[kind].astype(int), cell]
        steps = _within(reach, places)
        nearest, rows = steps.argmin(1), np.arange(len(reach))
        return places[rows, nearest], steps[rows, nearest]

    def spoiled(self, ground: np.ndarray) -> np.ndarray:
        """(B, cells) -> (B, types) bool: which types would end in failure, for what is somewhere in the map."""
        spoils = self.spoils.numpy(force=True)
        there = np.zeros((len(ground), spoils.shape[1]), bool)
        np.put_along_axis(there, ground, True, 1)
        return there @ spoils.T

    def steps(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,) -> (B,): environment steps that possible events take, those to where they are done from, and
        one."""
        kind, cell = np.divmod(macro.numpy(force=True), z[0].numel())
        ground, at, _ = level.space.read(z)
        reach = level.space.steps(level.space.free(ground), at, z.shape[1:])
        return torch.from_numpy(self.standing(reach, z.shape[1:], kind, cell)[1] + 1).to(z.device)

    def hindsight(self, level: Level, z: Tensor, following: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        edit, cell, _, known = what_happened(level.space, z, following)
        same = (edit[:, None] == torch.cat([self.edits, self.enters[:, None].long()], 1)).all(-1)
        return same.long().argmax(1) * z[0].numel() + cell, known & same.any(1)


def what_happened(space: ReachMap, z: Tensor, following: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of steps between maps (B, H, W): what changed, (B, 5) as ground before and after, carried before and after, and
    whether it was entered; the flat cell (B,); the cell the mover was in (B,); and whether this is all that happened:
    the ground changed in no more than one cell, and something did."""
    (before, at, had), (after, to, has) = space.parts(z), space.parts(following)
    changed = before != after
    count = changed.sum(1)
    enters = (count == 0) & (had == has) & (at != to) & space.stopped(after, to)
    cell = torch.where(count == 1, changed.long().argmax(1), to)
    old, new = (ground.gather(1, cell[:, None])[:, 0] for ground in (before, after))
    known = (count == 1) | enters
    return torch.stack([old, new, had, has, enters.long()], 1), cell, at, known


class EventEdit(nn.Module):
    """What an event does: its cell and what is carried become what they became in play, and the mover is where it did
    it from, or in the cell. An event that is not possible changes nothing."""

    local, pointed = False, True

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        space, events = level.space, level.macros
        kind, cell = np.divmod(macro.numpy(force=True), z[0].numel())
        ground, at, has = space.read(z)
        stand, steps = events.standing(space.steps(space.free(ground), at, z.shape[1:]), z.shape[1:], kind, cell)
        edits, enters = events.edits.numpy(force=True)[kind], events.enters.numpy(force=True)[kind]
        rows = np.arange(len(ground))
        able = (steps < FAR) & (ground[rows, cell] == edits[:, 0]) & (has == edits[:, 2])
        ground[rows, cell] = edits[:, 1]
        after = ground * space.tokens
        after[rows, np.where(enters, cell, stand)] += edits[:, 3]
        after = np.where(able[:, None], after, z.flatten(1).numpy(force=True))
        return torch.from_numpy(after).view_as(z).to(z.device)

    def outcomes(self, level: Level, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor]:
        """As `hplan.types.Outcomes`: what the types of the event's group make of it; where they are fewer than others
        have, the event itself again, with no chance."""
        events, count = level.macros, z[0].numel()
        kind, cell = macro // count, macro % count
        same = events.group[kind][:, None] == events.group  # (B, types)
        chance, types = (same * events.chance).topk(int(same.sum(1).max()))
        types = torch.where(chance > 0, types, kind[:, None])
        rows = z.repeat_interleave(types.shape[1], 0)
        following = self(level, rows, (types * count + cell[:, None]).flatten())
        return following.view(*types.shape, *z.shape[1:]), chance / chance.sum(1, keepdim=True)

    def approach(self, level: Level, z: Tensor, macro: Tensor) -> Callable[[Tensor], Tensor]:
        """As `hplan.types.Approach`: steps of the mover to where it can do the event from, and one for the event."""
        space, events = level.space, level.macros
        kind, cell = divmod(int(macro), z.numel())
        ground, at, had = space.read(z[None])
        free, sources = space.free(ground), np.zeros((1, events.faces.shape[1], z.numel()), bool)
        enters = bool(events.enters[kind])
        poses, numbers = events.faces[int(enters)].numpy(force=True).nonzero()
        places = neighbours(z.shape, -events.offsets)[cell, numbers]
        there = (places >= 0) & (free[0][places] | (places == at))
        sources[0, poses[there], places[there]] = True
        back = tuple((after, before, -down, -right) for before, after, down, right in space.moves.tolist())
        found = flood(free.reshape(1, *z.shape), sources.reshape(1, -1, *z.shape), back)
        away = torch.from_numpy(found[0].astype(np.float32))
        steps = torch.where(away < FAR, away + 1, torch.inf)

        def left(below: Tensor) -> Tensor:
            token = below.flatten(1) % len(space.poses)
            at = (token > 0).long().argmax(1)
            now, to, has = space.read(level.encode(below))
            done = (now[:, cell] != ground[0, cell]) | (has != had) | (enters & (to == cell))
            return steps[space.poses[token.gather(1, at[:, None])[:, 0]], at].where(torch.from_numpy(~done), 0.0)

        return left


class PossibleEvents(nn.Module):
    """As a prior: even over the events that are possible. Everything else is impossible."""

    weight, floors = 0.0, (0.0,)

    def forward(self, level: Level, z: Tensor) -> Tensor:
        rows, macros, _ = self.possible(level, z)
        log_p = torch.full((len(z), level.macro.size * z[0].numel()), IMPOSSIBLE, device=z.device)
        log_p[rows, macros] = -torch.bincount(rows, minlength=len(z)).clamp(min=1).float().log()[rows]
        return log_p

    def possible(self, level: Level, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `hplan.types.Possible`."""
        space, events, count = level.space, level.macros, z[0].numel()
        ground, at, has = space.read(z)
        reach, chance = space.steps(space.free(ground), at, z.shape[1:]), events.chance.clamp(min=LEAST_CHANCE)
        symbols, found = ground * space.tokens + has[:, None], []
        for doors, table in zip(events.doors(z.shape[1:]), self._tables(level), strict=True):
            near = _within(reach, np.broadcast_to(doors, (len(z), *doors.shape))).min(2)
            rows, cells = ((near < FAR) & (table[:, 0] >= 0)[symbols]).nonzero()
            types = table[symbols[rows, cells]]
            which, slot = (types >= 0).nonzero()
            rows, cells, types = rows[which], cells[which], types[which, slot]
            if events.spoiling:
                fine = ~events.spoiled(ground)[rows, types]
                rows, cells, types = rows[fine], cells[fine], types[fine]
            found.append((rows, types * count + cells, near[rows, cells] + 1 / chance.numpy(force=True)[types]))
        rows, macros, steps = (torch.from_numpy(np.concatenate(each)).to(z.device) for each in zip(*found, strict=True))
        return rows, macros, steps.float()

    def relaxation(self, level: Level, start: Tensor, goal: Energy) -> Relaxation | None:
        """As `hplan.types.Relaxed`."""
        found = Relaxation(level, start, goal, 1 / level.macros.chance.clamp(min=LEAST_CHANCE))
        return found if found.known else None

    def _tables(self, level: Level) -> list[np.ndarray]:
        """Types that do not enter their cell, and that do, by its ground and what is carried, (grounds * K, P); -1 for
        none."""
        if getattr(self, "_made", None) is None:
            space, events, self._made = level.space, level.macros, []
            for enters in range(2):
                types = torch.nonzero(events.enters.long() == enters)[:, 0]
                at = events.edits[types, 0] * space.tokens + events.edits[types, 2]
                most = int(torch.bincount(at).max()) if len(at) else 1
                table = np.full((space.outside, most), -1)
                for place, kind in zip(at.tolist(), types.tolist(), strict=True):
                    table[place, int((table[place] >= 0).sum())] = kind
                self._made.append(table)
        return self._made


def _within(reach: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Steps (B, cells) to places (B, ...); `FAR` to those that are -1."""
    rows = np.arange(len(reach)).reshape(-1, *(1 for _ in places.shape[1:]))
    return np.where(places >= 0, reach[rows, places], FAR)
