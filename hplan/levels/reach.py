"""Levels of events that know where the mover can get to: what a step of such a level is, and which are possible.

A latent is a map of the ground with the mover in it, of whom only what it *carries* is kept: what no step changes that
leaves the ground as it is. Where the mover stands counts as far as it can get before the next event, its *reach*: cells
of ground that play went on from, by moves that play made. An event changes one cell next to the reach, or enters a cell
that play never went on from. What events do was read off play; nothing else is imagined.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.heads.prior import IMPOSSIBLE
from hplan.levels.relaxation import Relaxation
from hplan.levels.spaces import DiscreteMap
from hplan.types import Energy, MacroSpec

if TYPE_CHECKING:
    from hplan.levels.level import Level

FAR = 30_000  # steps to where there is no way
LEAST_CHANCE = 0.01  # of an event: what seldom ends so takes as many steps as trying again until it does
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
        self._known: dict[bytes, np.ndarray] = {}

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, W) -> ground (B, H * W), flat cell of the mover (B,), what it carries (B,)."""
        flat = z.flatten(1)
        at = (flat % self.tokens > 0).long().argmax(1)
        return flat // self.tokens, at, (flat % self.tokens).gather(1, at[:, None])[:, 0]

    def reach(self, z: Tensor) -> Tensor:
        """(B, H, W) -> (B, H * W) int64: fewest steps of the mover to each cell before the next event, `FAR` where it
        does not get to. From where play never went on it gets nowhere."""
        ground, at, _ = self.parts(z)
        free = self.passable[ground].numpy(force=True)
        steps = torch.from_numpy(self._steps(free, at.numpy(force=True), z.shape[1:])).to(z.device)
        return steps.masked_fill(self.stopped(ground, at)[:, None], FAR)

    def _steps(self, free: np.ndarray, at: np.ndarray, shape: torch.Size) -> np.ndarray:
        """As `reach`, remembered: free (B, N) bool, at (B,)."""
        own = np.array(shape, np.int32).tobytes()  # maps of other shapes may have as many cells
        keys = [own + row.tobytes() + int(cell).to_bytes(4, "little") for row, cell in zip(free, at, strict=True)]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            if len(self._known) > KEPT:
                self._known.clear()
                new = {key: i for i, key in enumerate(keys)}
            rows = list(new.values())
            sources = np.zeros((len(rows), 1, free.shape[1]), bool)
            sources[np.arange(len(rows)), :, at[rows]] = True
            gone = torch.unique(self.moves[:, 2:], dim=0).tolist()  # whatever the pose
            moves = [[0, 0, *move] for move in gone if move != [0, 0]]
            steps = flood(free[rows].reshape(-1, *shape), sources.reshape(-1, 1, *shape), moves)[:, 0]
            self._known |= dict(zip(new, steps, strict=True))
        return np.array([self._known[key] for key in keys], np.int64).reshape(free.shape)

    def stopped(self, ground: Tensor, at: Tensor) -> Tensor:
        """(B, N), (B,) -> (B,) bool: whether the mover is where play never went on from."""
        return ~self.passable[ground.gather(1, at[:, None])[:, 0]]

    def changed(self, z: Tensor, following: Tensor) -> Tensor:
        (before, at, had), (after, to, has) = self.parts(z), self.parts(following)
        enters = (at != to) & self.stopped(after, to)
        return (before != after).any(1) | (had != has) | enters

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        """Cells whose ground differs, one more if what is carried does; or else one, if reach does."""
        (ground, at, has), (wanted, to, held) = self.parts(z), self.parts(other)
        off = (ground != wanted).sum(1) + (has != held)
        apart = torch.nonzero((off == 0) & (at != to))[:, 0]
        if len(apart):
            away = self.reach(other[apart]).gather(1, at[apart, None])[:, 0] == FAR
            away |= self.reach(z[apart]).gather(1, to[apart, None])[:, 0] == FAR  # there may be no way back
            off[apart] = (away | self.stopped(ground, at)[apart] | self.stopped(wanted, to)[apart]).long()
        return off / self.typical_change

    def keys(self, z: Tensor) -> Tensor:
        """Ground, what is carried, and a number for the reach: that of its first cell might be of another reach too,
        from where there is a way to it and none back."""
        ground, at, has = self.parts(z)
        where = ((self.reach(z) < FAR) * _numbers(ground.shape[1]).to(z.device)).sum(1)
        where = torch.where(self.stopped(ground, at), at, where)
        return torch.cat([ground, has[:, None], where[:, None]], 1)


@cache
def _numbers(cells: int) -> Tensor:
    """(cells,) int64: sums of them tell sets of cells apart."""
    return torch.randint(2**62, (cells,), generator=torch.Generator().manual_seed(0))


def flood(free: np.ndarray, sources: np.ndarray, moves: list[list[int]]) -> np.ndarray:
    """Fewest steps from the nearest source, `FAR` where there is no way: free (B, H, W) bool, sources (B, P, H, W) bool
    by pose -> (B, P, H * W) int16. A move goes from pose p to pose q, so many rows and columns away, as (p, q, rows,
    columns), to a free cell; a source need not be free."""
    most = max((abs(value) for move in moves for value in move[2:]), default=0)
    room = ((0, 0), (0, 0), (most, most), (most, most))
    front = np.pad(sources, room)
    unseen = np.pad(np.broadcast_to(free[:, None], sources.shape) | sources.any(1, keepdims=True), room) & ~front
    steps = np.where(front, 0, FAR).astype(np.int16)
    height, width = free.shape[1:]
    rows, columns = slice(most, most + height), slice(most, most + width)
    distance = 0
    while front.any():
        distance += 1
        following = np.zeros_like(front)
        for before, after, down, right in moves:
            source = front[:, before, most - down : most - down + height, most - right : most - right + width]
            following[:, after, rows, columns] |= source
        front = following & unseen
        unseen &= ~front
        steps[front] = distance
    return steps[:, :, rows, columns].reshape(len(free), sources.shape[1], -1)


class ReachEvents(nn.Module):
    """Events of a `ReachMap`: (type, cell) pairs. edits (types, 4): the ground of the cell before and after, and what
    is carried before and after. enters (types,): the mover is in the cell afterwards. faces (2, P, N): in which pose,
    at which of `offsets` (N, 2) from the mover to the cell, play showed events that do not enter it and such that do.
    group (types,): types of one group are ways in which the same may end, and chance (types,) how often it ends so."""

    edits: Tensor
    enters: Tensor
    faces: Tensor
    offsets: Tensor
    group: Tensor
    chance: Tensor

    def __init__(self, *, types: int, offsets: int, poses: int) -> None:
        super().__init__()
        self.spec = MacroSpec("discrete", types, pointed=True)
        self.register_buffer("edits", torch.zeros(types, 4, dtype=torch.long))
        self.register_buffer("enters", torch.zeros(types, dtype=torch.bool))
        self.register_buffer("faces", torch.zeros(2, poses, offsets, dtype=torch.bool))
        self.register_buffer("offsets", torch.zeros(offsets, 2, dtype=torch.long))
        self.register_buffer("group", torch.arange(types))
        self.register_buffer("chance", torch.ones(types))

    @property
    def certain(self) -> bool:
        """Whether every event ends in one way."""
        return len(self.group.unique()) == len(self.group)

    @property
    def contacts(self) -> Tensor:
        """(2, N) bool: at which offsets events can be done, in whatever pose."""
        return self.faces.any(1)

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
        space, events, count = level.space, level.macros, z[0].numel()
        kind, cell = macro // count, macro % count
        stand, steps = standing(level, z, kind, cell)
        ground, _, has = space.parts(z)
        rows, edit = torch.arange(len(z), device=z.device), events.edits[kind]
        able = (steps < FAR) & (ground[rows, cell] == edit[:, 0]) & (has == edit[:, 2])
        ground[rows, cell] = edit[:, 1]
        to = torch.where(events.enters[kind], cell, stand)
        after = ground * space.tokens
        after[rows, to] += edit[:, 3]
        return torch.where(able[:, None, None], after.view_as(z), z)

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
        space, events, count = level.space, level.macros, z.numel()
        kind, cell = int(macro) // count, int(macro) % count
        width, sources = z.shape[-1], np.zeros((1, events.faces.shape[1], *z.shape), bool)
        ground, at, _ = space.parts(z[None])
        free = space.passable[ground].view(1, *z.shape).numpy(force=True)
        row, column = cell // width, cell % width
        own = events.faces[int(events.enters[kind])]
        for pose, number in torch.nonzero(own).tolist():
            rows, columns = events.offsets[number].tolist()
            place = (row - rows, column - columns)
            if 0 <= place[0] < z.shape[0] and 0 <= place[1] < width:
                there = free[0][place] or place[0] * width + place[1] == int(at)
                sources[0, pose][place] = there
        back = [[after, before, -down, -right] for before, after, down, right in space.moves.tolist()]
        away = torch.from_numpy(flood(free, sources, back)[0].astype(np.float32))
        steps = torch.where(away < FAR, away + 1, torch.inf)

        def left(below: Tensor) -> Tensor:
            token = below.flatten(1) % len(space.poses)
            at = (token > 0).long().argmax(1)
            return steps[space.poses[token.gather(1, at[:, None])[:, 0]], at]

        return left


def standing(level: Level, z: Tensor, kind: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Where the mover does an event from: the nearest cell that play showed to do, (B,), and the steps to it (B,)."""
    events, width = level.macros, z.shape[-1]
    reach = level.space.reach(z)
    rows, columns = cell // width - events.offsets[:, :1], cell % width - events.offsets[:, 1:]  # (N, B)
    inside = (
        (rows >= 0)
        & (rows < z.shape[-2])
        & (columns >= 0)
        & (columns < width)
        & events.contacts[events.enters[kind].long()].T
    )
    places = torch.where(inside, rows * width + columns, 0)
    steps = torch.where(inside, reach.gather(1, places.T).T, FAR)
    nearest = steps.argmin(0)
    number = torch.arange(len(z), device=z.device)
    return places[nearest, number], steps[nearest, number]


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
        ground, _, has = space.parts(z)
        reach, found = level.space.reach(z).view(-1, *z.shape[1:]), []
        for contacts, table in self._tables(level):
            near = torch.full_like(reach, FAR)
            for offset in events.offsets[contacts].tolist():
                near = torch.minimum(near, _shifted(reach, *offset))
            at = ground * space.tokens + has[:, None]
            rows, cells = torch.nonzero((near.flatten(1) < FAR) & (table[at, 0] >= 0), as_tuple=True)
            types = table[at[rows, cells]]
            which, slot = torch.nonzero(types >= 0, as_tuple=True)
            rows, cells, types = rows[which], cells[which], types[which, slot]
            steps = (near.flatten(1)[rows, cells] + 1) / events.chance[types].clamp(min=LEAST_CHANCE)
            found.append((rows, types * count + cells, steps))
        return tuple(torch.cat(each) for each in zip(*found, strict=True))  # type: ignore[return-value]

    def relaxation(self, level: Level, start: Tensor, goal: Energy) -> Relaxation | None:
        """As `hplan.types.Relaxed`."""
        found = Relaxation(level, start, goal, 1 / level.macros.chance.clamp(min=LEAST_CHANCE))
        return found if found.known else None

    def _tables(self, level: Level) -> list[tuple[Tensor, Tensor]]:
        """Types that do not enter their cell, and that do: contacts (N,) and a table (grounds * K, P), -1 for none."""
        if getattr(self, "_made", None) is None:
            space, events, self._made = level.space, level.macros, []
            for enters, contacts in enumerate(events.contacts):
                types = torch.nonzero(events.enters.long() == enters)[:, 0]
                at = events.edits[types, 0] * space.tokens + events.edits[types, 2]
                most = int(torch.bincount(at).max()) if len(at) else 1
                table = torch.full((space.outside, most), -1)
                for place, kind in zip(at.tolist(), types.tolist(), strict=True):
                    table[place, int((table[place] >= 0).sum())] = kind
                self._made.append((contacts, table))
        return self._made


def _shifted(maps: Tensor, rows: int, columns: int) -> Tensor:
    """(B, H, W): at each cell what is at the cell so many rows and columns before it; FAR beyond the border."""
    most = max(abs(rows), abs(columns))
    padded = F.pad(maps, (most,) * 4, value=FAR)
    return padded[:, most - rows : most - rows + maps.shape[1], most - columns : most - columns + maps.shape[2]]
