"""What play did not show, but follows from what it did: combinations of features, and what happens to them.

Nobody may ever have carried the green box, though green keys, green balls and boxes of every other colour. Then it is a
symbol like these, and what happens to it is what happens to another box, if whatever was tried with green ended as it
does with the other's colour.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

COMPLETE = 0.5  # share of a table of two features that play has to show, from which the rest of it may be
ALIKE = 0.9  # share of what was tried with one value that ended as with the other, from which values are alike
LINKED = 0.9  # share of what is taken up that has in a feature of its own what the ground had in one

Pairs = dict[tuple[int, int], set[tuple[int, int]]]


def closure(cells: Tensor, *, complete: bool = False) -> Tensor:
    """Cells (K, F) that are not among (V, F), but every two of whose features are together in one of these; or, where
    all is to be `complete`, belong to a table of which play showed `COMPLETE`."""
    rows = cells.tolist()
    known = {tuple(cell) for cell in rows}
    values = [sorted(set(column)) for column in cells.T.tolist()]
    pairs = {(i, j): {(cell[i], cell[j]) for cell in rows} for i in range(len(values)) for j in range(i)}
    if complete:
        pairs = {features: _completed(seen) for features, seen in pairs.items()}
    partial: list[tuple[int, ...]] = [()]
    for i, column in enumerate(values):
        partial = [(*p, v) for p in partial for v in column if all((v, p[j]) in pairs[i, j] for j in range(i))]
    found = [p for p in partial if p not in known]
    return torch.tensor(found, dtype=cells.dtype).view(-1, cells.shape[1])


def _completed(seen: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """All of the table of what was seen with more than one other, if play showed `COMPLETE` of it."""
    rows, columns = ([pair[i] for pair in seen] for i in (0, 1))
    table = {(a, b) for a in rows if rows.count(a) > 1 for b in columns if columns.count(b) > 1}
    return seen | table if len(table & seen) >= COMPLETE * len(table) else seen


def alike_edits(
    edits: Tensor, actions: Tensor, counts: Tensor, tried: Tensor, ground: Tensor, held: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Edits (E, 5), as `hplan.levels.reach.what_happened` has them, with the action (E,) that brings each about and how
    often it did -> those that play did not try and that follow from them, (K, 5), with their actions (K,) and how
    often the same action ends so, as its sum over those from which each follows, (K,) float.

    tried (N, 3): actions of which play showed the end, by the ground that they are done to, what is carried, and which.
    ground (G, F) and held (H, M): features. Two values of what is carried are alike where nearly all that was tried
    with one ended as it does with the other in its place.
    """
    asked = torch.cat([edits[:, [0, 2]], actions[:, None]], 1)
    tried, chances = torch.cat([tried, asked]), shares(asked, counts.float())
    found: list[tuple[Tensor, Tensor]] = []
    for own, other in _links(edits, ground, held):
        for pair in combinations(held[1:, other].unique().tolist(), 2):
            of_ground, of_held = _swapped(ground, own, *pair), _swapped(held, other, *pair)
            images = torch.cat([of_ground[edits[:, :2]], of_held[edits[:, 2:4]], edits[:, 4:]], 1)
            moved = (images != edits).any(1)
            known = _among(torch.cat([images[:, [0, 2]], actions[:, None]], 1), tried)
            alike = _among(images[moved & known], edits)
            if len(alike) and float(alike.float().mean()) >= ALIKE:
                new = moved & ~known
                found.append((torch.cat([images, actions[:, None]], 1)[new], chances[new]))
    if not found:
        return edits[:0], actions[:0], chances[:0]
    images, chances = (torch.cat(each) for each in zip(*found, strict=True))
    every, which = torch.unique(images, dim=0, return_inverse=True)
    return every[:, :5], every[:, 5], torch.zeros(len(every)).index_add_(0, which, chances)


def shares(groups: Tensor, weights: Tensor) -> Tensor:
    """(K,): what part of its group each weight (K,) is; rows (K, F) that are equal are one group."""
    which = torch.unique(groups, dim=0, return_inverse=True)[1]
    return weights / torch.zeros(len(groups)).index_add_(0, which, weights)[which]


def _links(edits: Tensor, ground: Tensor, held: Tensor) -> list[tuple[int, int]]:
    """Which feature of the ground (G, F) is which of what is carried (H, M), as taking it up or putting it down
    shows."""
    taken = edits[edits[:, 2] != edits[:, 3]]
    if not len(taken):
        return []
    nothing = taken[:, 2:4].flatten().mode().values
    up = torch.where((taken[:, 2] == nothing)[:, None], taken[:, [0, 3]], taken[:, [1, 2]])  # the ground, and in hand
    same = (ground[up[:, 0], :, None] == held[up[:, 1], None, :]).float().mean(0)  # (F, M)
    varies = torch.tensor([len(column.unique()) > 1 for column in held[1:].T], dtype=torch.bool)
    found: list[list[int]] = torch.nonzero((same >= LINKED) & varies).tolist()
    return [(own, other) for own, other in found]


def _swapped(symbols: Tensor, feature: int, one: int, two: int) -> Tensor:
    """(V,): which of the symbols (V, F) each is with two values of a feature swapped; itself where there is none."""
    other = symbols.clone()
    other[:, feature] = torch.where(symbols[:, feature] == one, two, symbols[:, feature])
    other[symbols[:, feature] == two, feature] = one
    same = (other[:, None] == symbols).all(-1)
    return torch.where(same.any(1), same.long().argmax(1), torch.arange(len(symbols)))


def _among(rows: Tensor, known: Tensor) -> Tensor:
    """(K, F), (N, F) -> (K,) bool."""
    return (rows[:, None] == known).all(-1).any(1)
