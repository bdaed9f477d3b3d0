"""Levels of events that know where the mover can get to: what a step of such a level is, and which are possible.

A latent is a map of the ground with the mover in it, of whom only what it *carries* is kept: what no step changes that
leaves the ground as it is. Where the mover stands counts as far as it can get before the next event, its *reach*: cells
of ground that play went on from, by moves that play made. An event changes one cell next to the reach, or enters a cell
that play never went on from. What events do was read off play; nothing else is imagined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.heads.prior import IMPOSSIBLE
from hplan.levels.spaces import DiscreteMap
from hplan.types import MacroSpec

if TYPE_CHECKING:
    from hplan.levels.level import Level

FAR = 30_000  # steps to where there is no way
LEAST_CHANCE = 0.01  # of an event: what seldom ends so takes as many steps as trying again until it does
KEPT = 20_000  # answers about reach that a space remembers


class ReachMap(DiscreteMap):
    """Maps (H, W) int64: ground * K + what the mover that is there carries, from 1; 0 where it is not.

    passable (grounds,): what the mover can stand on and go on from. moves (R, 2): rows and columns that a step goes.
    Two latents are the same if ground and carried are, and the mover is within the same reach.
    """

    passable: Tensor
    moves: Tensor

    def __init__(self, *, vocabulary: int, channels: int, tokens: int, token_channels: int, moves: int) -> None:
        super().__init__(vocabulary=vocabulary, channels=channels, tokens=tokens, token_channels=token_channels)
        self.register_buffer("passable", torch.zeros(vocabulary, dtype=torch.bool))
        self.register_buffer("moves", torch.zeros(moves, 2, dtype=torch.long))
        self._known: dict[bytes, np.ndarray] = {}

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, H, W) -> ground (B, H * W), flat cell of the mover (B,), what it carries (B,)."""
        flat = z.flatten(1)
        at = (flat % self.tokens > 0).long().argmax(1)
        return flat // self.tokens, at, (flat % self.tokens).gather(1, at[:, None])[:, 0]

    def reach(self, z: Tensor) -> Tensor:
        """(B, H, W) -> (B, H * W) int64: fewest steps of the mover to each cell before the next event, `FAR` where it
        does not get to."""
        ground, at, _ = self.parts(z)
        free = self.passable[ground].numpy(force=True)
        return torch.from_numpy(self._steps(free, at.numpy(force=True), z.shape[1:], self.moves)).to(z.device)

    def _steps(self, free: np.ndarray, at: np.ndarray, shape: torch.Size, moves: Tensor) -> np.ndarray:
        """As `reach`, remembered: free (B, N) bool, at (B,)."""
        keys = [row.tobytes() + int(cell).to_bytes(4, "little") for row, cell in zip(free, at, strict=True)]
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            if len(self._known) > KEPT:
                self._known.clear()
                new = {key: i for i, key in enumerate(keys)}
            rows = list(new.values())
            sources = np.zeros((len(rows), free.shape[1]), bool)
            sources[np.arange(len(rows)), at[rows]] = True
            steps = flood(free[rows].reshape(-1, *shape), sources.reshape(-1, *shape), moves.tolist())
            self._known |= dict(zip(new, steps, strict=True))
        return np.stack([self._known[key] for key in keys]).astype(np.int64)

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
            off[apart] = (away | self.stopped(ground, at)[apart] | self.stopped(wanted, to)[apart]).long()
        return off / self.typical_change

    def keys(self, z: Tensor) -> Tensor:
        ground, at, has = self.parts(z)
        first = (self.reach(z) < FAR).long().argmax(1)
        first = torch.where(self.stopped(ground, at), ground.shape[1] + at, first)
        return torch.cat([ground, has[:, None], first[:, None]], 1)


def flood(free: np.ndarray, sources: np.ndarray, moves: list[list[int]]) -> np.ndarray:
    """Fewest steps from the nearest source to every free cell, `FAR` where there is no way: (B, H, W) bool twice ->
    (B, H * W) int16. Sources need not be free."""
    most = max((abs(value) for move in moves for value in move), default=0)
    room = ((0, 0), (most, most), (most, most))
    open_, front = np.pad(free & ~sources, room), np.pad(sources, room)
    steps = np.where(front, 0, FAR).astype(np.int16)
    height, width = free.shape[1:]
    inner = (slice(None), slice(most, most + height), slice(most, most + width))
    distance = 0
    while front.any():
        distance += 1
        following = np.zeros_like(front)
        for rows, columns in moves:
            source = (slice(None), slice(most - rows, most - rows + height), slice(most - columns, most - columns + width))
            following[inner] |= front[source]
        front = following & open_
        open_ &= ~front
        steps[front] = distance
    return steps[inner].reshape(len(free), -1)


class ReachEvents(nn.Module):
    """Events of a `ReachMap`: (type, cell) pairs. edits (types, 4): the ground of the cell before and after, and what
    is carried before and after. contacts (types, N): at which `offsets` (N, 2) from the mover to the cell play showed
    it. enters (types,): the mover is in the cell afterwards. chance (types,): how often it ended so, of the times that
    play did the same."""

    edits: Tensor
    contacts: Tensor
    offsets: Tensor
    enters: Tensor
    chance: Tensor

    def __init__(self, *, types: int, offsets: int) -> None:
        super().__init__()
        self.spec = MacroSpec("discrete", types, pointed=True)
        self.register_buffer("edits", torch.zeros(types, 4, dtype=torch.long))
        self.register_buffer("contacts", torch.zeros(types, offsets, dtype=torch.bool))
        self.register_buffer("offsets", torch.zeros(offsets, 2, dtype=torch.long))
        self.register_buffer("enters", torch.zeros(types, dtype=torch.bool))
        self.register_buffer("chance", torch.ones(types))

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
        ground, at, has = space.parts(z)
        rows, edit = torch.arange(len(z), device=z.device), events.edits[kind]
        able = (steps < FAR) & (ground[rows, cell] == edit[:, 0]) & (has == edit[:, 2])
        ground[rows, cell] = edit[:, 1]
        to = torch.where(events.enters[kind], cell, stand)
        after = ground * space.tokens
        after[rows, to] += edit[:, 3]
        return torch.where(able[:, None, None], after.view_as(z), z)

    def approach(self, level: Level, z: Tensor, macro: Tensor) -> Callable[[Tensor], Tensor]:
        """As `hplan.types.Approach`: steps of the mover to where it can do the event from, and one for the event."""
        space, events, count = level.space, level.macros, z.numel()
        kind, cell = int(macro) // count, int(macro) % count
        width, sources = z.shape[-1], np.zeros((1, *z.shape), bool)
        ground, at, _ = space.parts(z[None])
        free = space.passable[ground].view(1, *z.shape).numpy(force=True)
        row, column = cell // width, cell % width
        for rows, columns in events.offsets[events.contacts[kind]].tolist():
            place = (row - rows, column - columns)
            if 0 <= place[0] < z.shape[0] and 0 <= place[1] < width:
                sources[0][place] = free[0][place] or place[0] * width + place[1] == int(at)
        away = torch.from_numpy(flood(free, sources, (-space.moves).tolist())[0].astype(np.float32))
        steps = torch.where(away < FAR, away + 1, torch.inf)

        def left(below: Tensor) -> Tensor:
            flat = level.encoder.table[below.flatten(1)]
            return steps[(flat % space.tokens > 0).long().argmax(1)]

        return left


def standing(level: Level, z: Tensor, kind: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Where the mover does an event from: the nearest cell that play showed to do, (B,), and the steps to it (B,)."""
    events, width = level.macros, z.shape[-1]
    reach = level.space.reach(z)
    rows, columns = cell // width - events.offsets[:, :1], cell % width - events.offsets[:, 1:]  # (N, B)
    inside = (rows >= 0) & (rows < z.shape[-2]) & (columns >= 0) & (columns < width) & events.contacts[kind].T
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

    def _tables(self, level: Level) -> list[tuple[Tensor, Tensor]]:
        """Types by where they can be done from: contacts (N,) and a table (grounds * K, P) of types, -1 for none."""
        if getattr(self, "_made", None) is None:
            space, events, self._made = level.space, level.macros, []
            for contacts in events.contacts.unique(dim=0):
                types = torch.nonzero((events.contacts == contacts).all(1))[:, 0]
                at = events.edits[types, 0] * space.tokens + events.edits[types, 2]
                most = int(torch.bincount(at).max())
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
