"""What a level of events with a mover in it learns from play: what is carried, where the mover gets to, what events do.

Nothing here is a network: play is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from hplan.levels.heads.conjunction import present
from hplan.levels.heads.missions import CHANCE, looked_at
from hplan.levels.level import Level
from hplan.levels.reach import FAR, ReachMap, what_happened
from hplan.play.play import Play
from hplan.training.closure import alike_edits, closure, shares
from hplan.training.symbols import CHUNK, LEAST_CELLS

ALIKE = 0.5  # share of the steps between two tokens that leave the ground alone, from which they carry the same
USUAL = 0.01  # share of the mover's steps from a pose that a move has to have
OFTEN = 2  # times that play went on from a kind of ground
SOLVES = 0.5  # share of entries into a kind of ground that succeed, from which to enter it is an event
QUARTERS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # up, and what a quarter turn each makes up
FEW = 3  # changes that failed, and that did not, from which what is elsewhere is looked at
MOVERS = 4  # that are taken for several, at the most; more are things
TYPES = 1024  # of events, at the most, the commonest: eleven tasks of MiniGrid show 268
TRIED = 500  # events that tell how long a step is


def several_movers(observations: Tensor) -> tuple[int, int] | None:
    """Of observations (N, H, W, F) without one mover: a feature that differs from its usual value in as many cells of
    every map, a few, not always the same; and how many."""
    some = observations[:: max(len(observations) // 512, 1)]
    usual = some.flatten(0, 2).long().mode(0).values.to(observations.dtype)
    other = (some != usual).flatten(1, 2)
    counts = other.sum(1)
    alike = (counts == counts[0]).all(0) & (counts[0] >= 2) & (counts[0] <= MOVERS)
    wander = (other != other[0]).flatten(0, 1).any(0)
    found = torch.nonzero(alike & wander)[:, 0].tolist()
    return (found[0], int(counts[0, found[0]])) if found and some[0, ..., 0].numel() >= LEAST_CELLS else None


@dataclass(frozen=True)
class MoverSteps:
    """Steps of play from rows (K,), as far as the mover matters: where it was and came to be (K,), its tokens (K,), and
    whether the ground stayed as it was (K,) bool. `under` (K,): the ground that it came to."""

    rows: Tensor
    at: Tensor
    to: Tensor
    token: Tensor
    following: Tensor
    still: Tensor
    under: Tensor

    @classmethod
    def of(cls, maps: Tensor, starts: Tensor, tokens: int) -> MoverSteps:
        """maps (N, H, W) of symbols, ground * tokens + token."""
        found: list[tuple[Tensor, ...]] = []
        for rows in starts.split(CHUNK):
            before, after = maps[rows].flatten(1), maps[rows + 1].flatten(1)
            at, to = ((part % tokens > 0).long().argmax(1) for part in (before, after))
            still = (before // tokens == after // tokens).all(1)
            one, other = (part.gather(1, cell[:, None])[:, 0] for part, cell in ((before, at), (after, to)))
            found.append((rows, at, to, one % tokens, other % tokens, still, other // tokens))
        return cls(*(torch.cat(each) for each in zip(*found, strict=True)))


def lasting(tokens: Tensor, steps: MoverSteps) -> tuple[Tensor, Tensor]:
    """Of tokens (T, M): which features no step changes that leaves the ground alone, (M,) bool; and which pairs of
    tokens such steps turn into one another, (2, K)."""
    size = len(tokens)
    pair = steps.token * size + steps.following
    counts, still = (
        torch.bincount(pair[rows], minlength=size * size).view(size, size)
        for rows in (torch.ones_like(steps.still), steps.still)
    )
    alike = torch.stack(torch.nonzero((still >= ALIKE * counts) & (still > 0), as_tuple=True))
    return (tokens[alike[0]] == tokens[alike[1]]).all(0), alike


def closed(tokens: Tensor, stays: Tensor) -> Tensor:
    """Tokens (T, M), the first of them nothing, and after them those that play never showed, but might: every pose, as
    the features say that do not last, with everything that was carried, or is like what was."""
    if bool(stays.all()) or not bool(stays.any()):
        return tokens
    poses, holds = (tokens[1:, which].unique(dim=0) for which in (~stays, stays))
    holds = torch.cat([holds, closure(holds, complete=True)])
    every = torch.zeros(len(poses), len(holds), tokens.shape[1], dtype=tokens.dtype)
    every[:, :, ~stays], every[:, :, stays] = poses[:, None], holds
    known = {tuple(token) for token in tokens.tolist()}
    new = [token for token in every.flatten(0, 1).tolist() if tuple(token) not in known]
    return torch.cat([tokens, torch.tensor(new, dtype=tokens.dtype).view(-1, tokens.shape[1])])


def carried(tokens: Tensor, stays: Tensor, alike: Tensor) -> tuple[Tensor, Tensor]:
    """(T,): what each token carries, from 1; 0 of the first, which is nothing. And its pose (T,), which is the rest of
    it. stays (M,), alike (2, K): see `lasting`.

    Tokens that steps turn into one another which leave the ground alone carry the same; and so do tokens, seen or not,
    that share all features which last.
    """
    size = len(tokens)
    same = torch.unique(tokens[:, stays], dim=0, return_inverse=True)[1] if bool(stays.any()) else torch.arange(size)
    links = torch.cat([alike, torch.stack([torch.arange(size), size + same])], 1)
    links = links[:, links[0] > 0]  # the token that is nothing is by itself
    graph = coo_matrix((torch.ones(links.shape[1]).numpy(), links.numpy()), shape=(2 * size, 2 * size))
    component = torch.from_numpy(connected_components(graph, directed=False)[1]).long()[:size]
    component[0] = -1
    poses = torch.zeros(size, dtype=torch.long)
    if not bool(stays.all()):
        poses[1:] = torch.unique(tokens[1:, ~stays], dim=0, return_inverse=True)[1]
    return torch.unique(component, return_inverse=True)[1], poses


@dataclass(frozen=True)
class Mover:
    """Its steps in play, its tokens (T, M), closed, and of each of them what it carries, from 1, and its pose (T,).
    held (K, C): features of what can be carried, -1 of the first, which is no mover. moves (R, 4): what its steps do
    that do nothing else, from pose to pose, so many rows and columns away."""

    steps: MoverSteps
    tokens: Tensor
    holds: Tensor
    poses: Tensor
    held: Tensor
    moves: Tensor

    @classmethod
    def of(cls, tokens: Tensor, maps: Tensor, starts: Tensor) -> Mover:
        """maps (N, H, W) of play show these tokens (T, M)."""
        steps = MoverSteps.of(maps, starts, len(tokens))
        stays, alike = lasting(tokens, steps)
        tokens = closed(tokens, stays)
        holds, poses = carried(tokens, stays, alike)
        held = tokens.new_full((int(holds.max()) + 1, int(stays.sum())), -1)
        held[holds[1:]] = tokens[1:, stays]
        return cls(steps, tokens, holds, poses, held, _moves(steps, holds, poses, maps.shape[-1]))

    def relabelled(self) -> Tensor | None:
        """(4, T): which token each is after so many quarter turns of the map, counterclockwise; None where poses are
        not four ways to go."""
        turns = self.turns
        by_pose = torch.stack([turns[self.poses == pose][-1] for pose in range(int(self.poses.max()) + 1)])
        if sorted(by_pose.tolist()) != [0, 1, 2, 3]:
            return None
        number = {
            (int(turn), int(holds)): t for t, (turn, holds) in enumerate(zip(turns, self.holds, strict=True)) if t
        }
        found = torch.zeros(4, len(turns), dtype=torch.long)
        for (turn, holds), token in number.items():
            for quarter in range(4):
                found[quarter, token] = number.get(((turn - quarter) % 4, holds), token)
        return found

    @cached_property
    def turns(self) -> Tensor:
        """(T,): by how many quarter turns a window looks as if the mover went up, where its pose goes one way alone."""
        moves = self.moves
        found = torch.zeros(int(self.poses.max()) + 1, dtype=torch.long)
        for pose in range(len(found)):
            own = moves[(moves[:, 0] == pose) & (moves[:, 2:] != 0).any(1), 2:].sign().unique(dim=0).tolist()
            found[pose] = QUARTERS.index(tuple(own[0])) if len(own) == 1 and tuple(own[0]) in QUARTERS else 0
        return found[self.poses]


@dataclass(frozen=True)
class Spoilers:
    """What makes a change of one cell end an episode without success, wherever in the map it is. changes (K, 2): the
    ground of the cell before and after; grounds (K, G) bool: kinds of ground of which none may be there; explained (N,)
    bool: rows of play whose step failed so."""

    changes: Tensor
    grounds: Tensor
    explained: Tensor

    @classmethod
    def of(cls, maps: Tensor, tokens: int, steps: MoverSteps, failed: Tensor) -> Spoilers:
        """maps (N, H, W) of symbols, ground * tokens + token; failed (N,) bool. A kind of ground spoils a change if it
        is in maps where that failed, and in none where it did not; as counted, where both came a few times."""
        rows, single, kinds = steps.rows[~steps.still], list[Tensor](), int(maps.max()) // tokens + 1
        for some in rows.split(CHUNK):
            before, after = (maps[at].flatten(1) // tokens for at in (some, some + 1))
            cell = (before != after).long().argmax(1, keepdim=True)
            own = torch.cat([before.gather(1, cell), after.gather(1, cell)], 1)
            single.append(torch.where((before != after).sum(1, keepdim=True) == 1, own, -1))
        change, explained = torch.cat([torch.zeros(0, 2, dtype=torch.long), *single]), torch.zeros_like(failed)
        found: list[tuple[Tensor, Tensor]] = []
        for kind in change[failed[rows]].unique(dim=0) if len(rows) else ():
            own = rows[(change == kind).all(1)]
            bad, good = own[failed[own]], own[~failed[own]]
            if min(len(bad), len(good)) < FEW or int(kind[0]) < 0:
                continue
            there, elsewhere = (present(maps[looked_at(some)] // tokens, kinds) for some in (bad, good))
            tells = there.any(0) & (elsewhere.float().mean(0) <= CHANCE / kinds)
            told = there[:, tells].any(1)
            if float(told.float().mean()) >= 1 - CHANCE:
                found.append((kind, tells))
                explained[bad] = True
        if not found:
            return cls(torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, kinds, dtype=torch.bool), explained)
        changes, grounds = (torch.stack(each) for each in zip(*found, strict=True))
        return cls(changes, grounds, explained)

    def of_types(self, edits: Tensor, grounds: int) -> Tensor:
        """(types, G) bool: what spoils events of these edits (types, 5)."""
        spoiled = torch.zeros(len(edits), grounds, dtype=torch.bool)
        for change, kinds in zip(self.changes, self.grounds, strict=True):
            spoiled[(edits[:, :2] == change).all(1) & (edits[:, 4] == 0), : len(kinds)] |= kinds
        return spoiled


def reach_level(
    below: Level, mover: Mover, maps: Tensor, play: Play, hidden: int, spoilers: Spoilers | None = None
) -> tuple[Level, Tensor] | None:
    """The level of events above `below`, whose maps (N, H, W) of play have a mover, and its own maps of play. Its
    success head alone is not trained. None where play shows no event."""
    steps, holds, poses = mover.steps, mover.holds, mover.poses
    tokens, grounds = len(holds), below.space.outside // len(holds)
    kinds = int(holds.max()) + 1
    table = (torch.arange(grounds)[:, None] * kinds + holds).flatten()
    passable, moves, own = _passable(steps, play, grounds), mover.moves, table[maps]
    codes, token_codes = below.space.codes[:-1], _means(below.space.token_codes, holds, kinds)
    sizes = {
        "vocabulary": grounds,
        "channels": codes.shape[1],
        "tokens": kinds,
        "token_channels": token_codes.shape[1],
        "moves": len(moves),
        "tokens_below": tokens,
    }
    space = ReachMap(**sizes)
    space.set_codes(codes, token_codes)
    space.passable.copy_(passable)
    space.moves.copy_(moves)
    space.poses.copy_(poses)
    found = _events(space, own, steps, play.actions, below.encoder.cells, mover.held)
    if found is None:
        return None
    spoils = spoilers.of_types(found.edits, grounds) if spoilers and len(spoilers.changes) else None
    level = Level(
        index=below.index + 1,
        parts={
            "encoder": {"kind": "slow-symbols", "vocabulary": len(table)},
            "prior": {"kind": "possible-events"},
            "dynamics": {"kind": "event-edit"},
            "success": {"kind": "map", "channels": space.channels, "hidden": hidden},
            "space": {"kind": "reach-map", **sizes},
            "macros": {
                "kind": "reach-events",
                "types": len(found.edits),
                "offsets": len(found.offsets),
                "poses": found.faces.shape[1],
                "grounds": 0 if spoils is None else grounds,
            },
        },
    )
    level.encoder.table.copy_(table)
    level.space.load_state_dict(space.state_dict())
    events = level.macros
    events.edits.copy_(found.edits[:, :4])
    events.enters.copy_(found.edits[:, 4] > 0)
    events.faces.copy_(found.faces)
    events.offsets.copy_(found.offsets)
    events.group.copy_(found.group)
    events.chance.copy_(found.chance)
    if spoils is not None:
        events.spoils.copy_(spoils)
    return level, own


def _passable(steps: MoverSteps, play: Play, grounds: int) -> Tensor:
    """(grounds,) bool: what play stood on and went on from, and where it did not succeed by being there."""
    moved = steps.at != steps.to
    left = torch.zeros(len(play), dtype=torch.bool)
    left[steps.rows[moved]] = True  # the mover went on from where it was at that row
    stood = steps.under[left[(steps.rows + 1).clamp(max=len(play) - 1)] & (play.remaining[steps.rows] > 1)]
    entries = torch.bincount(steps.under[moved], minlength=grounds)
    solved = torch.bincount(steps.under[moved & play.success[steps.rows]], minlength=grounds)
    return (torch.bincount(stood, minlength=grounds) >= OFTEN) & (solved <= SOLVES * entries)


def _moves(steps: MoverSteps, holds: Tensor, poses: Tensor, width: int) -> Tensor:
    """(R, 4): steps of the mover that do nothing else, from pose to pose, and the rows and columns that they go."""
    plain = steps.still & ((steps.at != steps.to) | (steps.token != steps.following))
    plain &= holds[steps.token] == holds[steps.following]
    at, to = steps.at[plain], steps.to[plain]
    gone = [
        poses[steps.token[plain]],
        poses[steps.following[plain]],
        to // width - at // width,
        to % width - at % width,
    ]
    moves, counts = torch.unique(torch.stack(gone, 1), dim=0, return_counts=True)
    return moves[shares(moves[:, :1], counts.float()) >= USUAL]


def _means(codes: Tensor, groups: Tensor, count: int) -> Tensor:
    """(T, D) -> (count, D): the direction of the mean of each group (T,)."""
    sums = torch.zeros(count, codes.shape[1]).index_add_(0, groups, codes)
    return torch.nn.functional.normalize(sums, dim=1)


@dataclass(frozen=True)
class _Found:
    """Of the events of play: see `hplan.levels.reach.ReachEvents`; edits (types, 5) with `enters` last."""

    edits: Tensor
    faces: Tensor
    offsets: Tensor
    group: Tensor
    chance: Tensor


def _events(
    space: ReachMap, maps: Tensor, steps: MoverSteps, actions: Tensor, ground: Tensor, held: Tensor
) -> _Found | None:
    """ground (G, F), held (K, C): features of the symbols of maps (N, H, W)."""
    every: list[tuple[Tensor, ...]] = []
    for rows, token in zip(steps.rows.split(CHUNK), steps.token.split(CHUNK), strict=True):
        z, following = maps[rows], maps[rows + 1]
        some = space.changed(z, following)
        edit, cell, at, known = what_happened(space, z[some], following[some])
        every.append((edit[known], cell[known], at[known], actions[rows][some][known], space.poses[token[some][known]]))
    edit, cell, at, action, pose = (torch.cat(each) for each in zip(*every, strict=True))
    if not len(edit):
        return None
    width = maps.shape[-1]
    edits, kind, counts = torch.unique(edit, dim=0, return_inverse=True, return_counts=True)
    offset = torch.stack([cell // width - at // width, cell % width - at % width], 1)
    offsets, which = torch.unique(offset, dim=0, return_inverse=True)
    # Where one event can be done from, others can: play met some of them on one side alone. What is seen elsewhere now
    # and then is something else that moved by chance.
    enters = edit[:, 4]
    seen = torch.zeros(2, int(space.poses.max()) + 1, len(offsets), dtype=torch.long).index_put_(
        (enters, pose, which), torch.ones_like(kind), accumulate=True
    )
    faces = (seen > 0) & (seen >= USUAL * seen.sum((1, 2), keepdim=True))
    # What play did when it happened: the same action with the same before may end in several ways.
    most = torch.zeros(len(edits), int(action.max()) + 1, dtype=torch.long).index_put_(
        (kind, action), torch.ones_like(kind), accumulate=True
    )
    done = most.argmax(1)
    tried = _tried(space, maps, steps, actions, faces[0], offsets)
    following, by, often = alike_edits(edits, done, counts, tried, ground, held)
    edits, counts = torch.cat([edits, following]), torch.cat([counts, often])
    asked = torch.cat([edits[:, [0, 2]], torch.cat([done, by])[:, None]], 1)
    kept = counts.argsort(descending=True, stable=True)[:TYPES]
    group = torch.unique(asked[kept], dim=0, return_inverse=True)[1]
    return _Found(edits[kept], faces, offsets, group, shares(asked, counts)[kept])


def _tried(space: ReachMap, maps: Tensor, steps: MoverSteps, actions: Tensor, faces: Tensor, offsets: Tensor) -> Tensor:
    """(K, 3): what was tried at least `OFTEN` times, wherever an event could have been, and no ground changed: the
    ground that it would have been done to, what was carried, and the action. faces (P, N) bool, offsets (N, 2)."""
    kinds = int(actions.max()) + 1
    counts = torch.zeros(space.outside * kinds, dtype=torch.long)
    height, width = maps.shape[1:]
    for part in torch.nonzero(steps.still)[:, 0].split(CHUNK):
        rows, at, pose = steps.rows[part], steps.at[part], space.poses[steps.token[part]]
        ground, _, has = space.parts(maps[rows])
        row, column = at[:, None] // width + offsets[:, 0], at[:, None] % width + offsets[:, 1]
        able = faces[pose] & (row >= 0) & (row < height) & (column >= 0) & (column < width)
        which, number = torch.nonzero(able, as_tuple=True)
        ahead = ground[which, (row * width + column)[which, number]]
        asked = (ahead * space.tokens + has[which]) * kinds + actions[rows][which]
        counts += torch.bincount(asked, minlength=len(counts))
    asked = torch.nonzero(counts >= OFTEN)[:, 0]
    return torch.stack([asked // kinds // space.tokens, asked // kinds % space.tokens, asked % kinds], 1)


@torch.inference_mode()
def wanted_stride(level: Level, maps: Tensor, play: Play, seed: int) -> float:
    """Environment steps of an event when it is wanted: the mean over events of play from where the one before had left
    the mover."""
    starts = play.starts(1)
    changed = torch.cat([level.space.changed(maps[rows], maps[rows + 1]) for rows in starts.split(CHUNK)])
    rows = starts[changed]
    same = torch.nonzero(play.episode[rows[1:]] == play.episode[rows[:-1]])[:, 0]
    same = same[torch.randperm(len(same), generator=torch.Generator().manual_seed(seed))[:TRIED]]
    if not len(same):
        return 1.0
    space, at, after = level.space, rows[same] + 1, rows[same + 1]
    place = space.parts(maps[after])[1]
    steps = space.reach(maps[at]).gather(1, place[:, None])[:, 0]
    return float(steps[steps < FAR].float().mean() + 1) if bool((steps < FAR).any()) else 1.0
