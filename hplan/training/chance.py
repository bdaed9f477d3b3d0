"""What is chance and what only looks like it, before a level has learned anything: by how far what it reads changes.

size(i)   =  | change of i, each number in units of its deviation |
alike(i)  =  share of the nearest K other steps by the same action whose change is like that of i
A gripper that closes, a switch, a wall that is hit: rare, far, and the same each time. A teleporter is not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hplan.levels.encoders import standardised
from hplan.play.play import Play

LONG = 4.0  # times the median of those that go anywhere: a step that is as long may be rare
RARE = 0.05  # share of the steps, at the most, that are
NEIGHBOURS, ALIKE = 10, 0.8  # steps that are compared, and share of them that end alike, from which it is no chance
LIKE = 0.5  # of the length of a change: another one that is no farther from it is like it
KNOWN = 200_000  # steps of play, at the most, among which neighbours are looked for
CHUNK = 256
MOST, FAR = 0.99, 3.0  # share of the steps that are ordinary ones; times as long as any of these: no step leads there
LOOKED_AT = 1_000_000  # that tell it, at the most: as many as a quantile takes


@torch.no_grad()
def repeatable(play: Play) -> Tensor:
    """(K,) int64, ascending: rows of play of vectors whose next step is a rare long one, and no chance."""
    rows = play.starts(1)
    seen = play.below.flatten(1).float()
    change = seen[rows + 1] - seen[rows]
    change = change / change.std(0).clamp(min=torch.finfo(change.dtype).tiny)
    size = change.norm(dim=1)
    moved = size[size > 0]
    long = torch.nonzero(size > LONG * moved.median())[:, 0] if len(moved) else rows[:0]
    if not 0 < len(long) <= RARE * len(rows):
        return rows[:0]
    at, discrete = standardised(seen)[rows], not play.actions.is_floating_point()
    at = at if discrete else torch.cat([at, standardised(play.actions[rows])], 1)
    known = torch.arange(0, len(rows), max(len(rows) // KNOWN, 1))
    found = []
    for part in long.split(CHUNK):
        away = torch.cdist(at[part], at[known])
        away[part[:, None] == known] = torch.inf
        if discrete:
            away[play.actions[rows[part]][:, None] != play.actions[rows[known]]] = torch.inf
        off, near = away.topk(min(NEIGHBOURS, len(known) - 1), largest=False)
        like = (change[known[near]] - change[part, None]).norm(dim=2) <= LIKE * size[part, None]
        like, there = like & off.isfinite(), off.isfinite().sum(1)  # of a rare action there may be fewer
        found.append(part[(there > 0) & (like.sum(1) >= ALIKE * there)])
    return rows[torch.cat(found)]


@torch.no_grad()
def ordinary(play: Play) -> Tensor:
    """(N,) bool: rows from which what level 0 reads changes no more than in most steps: no leap, whatever follows."""
    return _lengths(play) <= 1


@torch.no_grad()
def leaps(play: Play) -> Tensor:
    """(N,) bool: rows from which what level 0 reads changes far more than in most steps, and as no other step does."""
    found = _lengths(play).nan_to_num(0.0) > FAR
    if found.any():
        found[repeatable(play)] = False
    return found


def _lengths(play: Play) -> Tensor:
    """(N,): how far what level 0 reads changes, of what most steps stay within; NaN where nothing follows."""
    rows, seen = play.starts(1), play.below.flatten(1).float()
    change = (seen[rows + 1] - seen[rows]) / seen.std(0).clamp(min=torch.finfo(torch.float32).tiny)
    size = change.norm(dim=1)
    some = size[:: max(len(size) // LOOKED_AT, 1)]
    most = some.quantile(MOST)
    if not most and (some > 0).any():  # hardly anything happens: that something does is no leap
        most = some[some > 0].quantile(MOST)
    most = most.clamp(min=torch.finfo(torch.float32).tiny)
    return torch.full((len(play),), torch.nan).index_put((rows,), size / most)
