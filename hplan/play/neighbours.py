"""A model of maps of symbols that is cheap enough to learn while playing, and knows what it does not know.

What a cell becomes follows from the cell, one of its four neighbours and the action: of the four *pairs* of a cell, the
one whose outcome was surest so far tells it. A pair has few variants, so irrelevant detail around it makes nothing look
new, as it would with whole windows. With n the times that a pair was met under an action, the *novelty* of a patch is

    learnable(cell) * max over neighbours of mobile(cell, neighbour) * learnable(neighbour) / (1 + n)

learnable(c): how often what was foretold of c came true. Noise is new all the time, but play learns that having seen
such cells helps nothing. A cell never foretold is as learnable as others were when they were as new.
mobile(c, d): how often c or d changes, the larger of both. A wall beside a ball that was never there is nothing to try.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

_SIDES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # rows and columns of the neighbours
_PRIOR = 3  # forecasts that count for a cell as those of cells as new as it
_AGES = 64  # powers of two
_STILL = 0.05  # a pair that changes less often need not have been met for a forecast to be sure
_OUTCOMES = 2**24


class NeighbourModel:
    """Of cells as numbers: `cells` gives them, 0 is what lies beyond the border.

    A *patch* is a cell with its neighbours, also a number. What is foretold of patches is kept until `learn`.
    """

    def __init__(self, actions: int, rng: np.random.Generator) -> None:
        self._actions = actions
        self._mix = rng.integers(1, 2**63, 5, dtype=np.uint64) | np.uint64(1)
        self._cells: dict[bytes, int] = {b"": 0}
        self._patches: dict[int, int] = {}
        self._pairs: dict[int, int] = {}
        self._outcomes: Counter[int] = Counter()  # of a pair and an action
        # of cells: how often there, how often another one a step later; forecasts of it, and those that came true
        self._seen, self._changed = np.zeros(64), np.zeros(64)
        self._foretold, self._right = np.zeros(64), np.zeros(64)
        # of patches
        self._around = np.zeros((1024, 5), np.int64)  # cells
        self._of_patch = np.zeros((1024, len(_SIDES)), np.int64)  # pairs
        self._known = np.zeros(1024, bool)  # whether what follows is up to date
        self.next = np.zeros((1024, actions), np.int64)  # cells
        self.sure = np.zeros((1024, actions), np.float32)
        self.novelty = np.zeros((1024, actions), np.float32)
        # of pairs
        self._met = np.zeros((1024, actions), np.int64)
        self._most = np.zeros((1024, actions), np.int64)  # times of the most frequent outcome
        self._outcome = np.zeros((1024, actions), np.int64)
        # of cells by how often they were foretold
        self._age_foretold, self._age_right = np.ones(_AGES), np.ones(_AGES)

    def cells(self, observation: np.ndarray) -> np.ndarray:
        """(H, W, F) -> (H, W) numbers."""
        rows = observation.reshape(-1, observation.shape[-1])
        found = np.fromiter((self._cell(row.tobytes()) for row in rows), np.int64, len(rows))
        return found.reshape(observation.shape[:2])

    def patches(self, maps: np.ndarray) -> np.ndarray:
        """Cells (N, H, W) -> patches (N, H, W)."""
        count, height, width = maps.shape
        wide = np.zeros((count, height + 2, width + 2), np.int64)
        wide[:, 1:-1, 1:-1] = maps
        sides = [wide[:, 1 + r : 1 + r + height, 1 + c : 1 + c + width] for r, c in _SIDES]
        return self._numbers(np.stack([maps, *sides], -1).reshape(-1, 5)).reshape(maps.shape)

    def moved(self, maps: np.ndarray, before: np.ndarray, changed: np.ndarray) -> np.ndarray:
        """The same where patches (N, H, W) are known of maps that differ in the `changed` cells alone."""
        near = changed.copy()
        near[:, 1:] |= changed[:, :-1]
        near[:, :-1] |= changed[:, 1:]
        near[:, :, 1:] |= changed[:, :, :-1]
        near[:, :, :-1] |= changed[:, :, 1:]
        n, row, column = np.nonzero(near)
        wide = np.zeros((len(maps), maps.shape[1] + 2, maps.shape[2] + 2), np.int64)
        wide[:, 1:-1, 1:-1] = maps
        around = [wide[n, row + 1 + r, column + 1 + c] for r, c in ((0, 0), *_SIDES)]
        patches = before.copy()
        patches[n, row, column] = self._numbers(np.stack(around, -1))
        return patches

    def look(self, patches: np.ndarray) -> None:
        """Fill in `next`, `sure` and `novelty` of patches, by action, where they are not known since `learn`."""
        rows = np.unique(patches[~self._known[patches]])
        if not len(rows):
            return
        self.next[rows], self.sure[rows], met = self._forecast(rows)
        own, near = self._around[rows, 0], self._around[rows, 1:]
        cells = (self._changed + 1) / (self._seen + 1)
        cells[0] = 0
        mobile = np.maximum(cells[own, None], cells[near])[..., None]
        self.sure[rows] *= ((met > 0) | (mobile < _STILL)).all(1)
        learnable = self._learnable()
        self.novelty[rows] = learnable[own, None] * (mobile * learnable[near, None] / (1 + met)).max(1)
        self._known[rows] = True

    def moves(self, patches: np.ndarray, least: float) -> np.ndarray:
        """Patches (N, H, W) -> (N, A) bool: by which actions a map surely becomes another one, `least` being the share
        that every patch's forecast needs."""
        rows, inverse = np.unique(patches, return_inverse=True)
        inverse = inverse.reshape(len(patches), -1)
        sure = (self.sure[rows] >= least)[inverse].all(1)
        return sure & (self.next[rows] != self._around[rows, :1])[inverse].any(1)

    def learn(self, maps: np.ndarray, actions: np.ndarray, after: np.ndarray) -> None:
        """Maps of cells (N, H, W), actions (N,), maps one step later."""
        patches = self.patches(maps).reshape(len(maps), -1)
        acted = np.repeat(actions, patches.shape[1])
        (patch, action, outcome), times = _counted(patches.ravel(), acted, after.ravel(), self._actions)
        self._judge(patch, action, outcome, times)
        own = self._around[patch, 0]
        np.add.at(self._seen, own, times)
        np.add.at(self._changed, own, times * (own != outcome))
        pairs = self._of_patch[patch].ravel()
        sides = len(_SIDES)
        (pair, action, outcome), times = _counted(
            pairs, action.repeat(sides), outcome.repeat(sides), self._actions, times.repeat(sides)
        )
        np.add.at(self._met, (pair, action), times)
        keys = ((pair * self._actions + action) * _OUTCOMES + outcome).tolist()
        for key, p, a, o, n in zip(keys, pair.tolist(), action.tolist(), outcome.tolist(), times.tolist(), strict=True):
            self._outcomes[key] += n
            if self._outcomes[key] > self._most[p, a]:
                self._most[p, a], self._outcome[p, a] = self._outcomes[key], o
        self._known[:] = False

    def end(self, cells: np.ndarray, action: int) -> None:
        """An episode was over after an action in a map (H, W): nothing followed, but nothing there is new any more."""
        np.add.at(self._met[:, action], self._of_patch[self.patches(cells[None])].ravel(), 1)
        self._known[:] = False

    def _judge(self, patch: np.ndarray, action: np.ndarray, outcome: np.ndarray, times: np.ndarray) -> None:
        """Note what was foretold, before it is learned, and whether it came true."""
        rows, inverse = np.unique(patch, return_inverse=True)
        expected, _, met = self._forecast(rows)
        known = met[inverse, :, action].min(1) > 0
        own = self._around[patch[known], 0]
        times, right = times[known], (expected[inverse, action] == outcome)[known]
        age = np.log2(1 + self._foretold[own]).astype(int)
        np.add.at(self._age_foretold, age, 1)
        np.add.at(self._age_right, age, right)
        np.add.at(self._foretold, own, times)
        np.add.at(self._right, own, times * right)

    def _forecast(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Patches (N,) -> the cell that follows (N, A), its share of that pair's outcomes (N, A), and how often each
        pair was met (N, 4, A)."""
        pairs = self._of_patch[rows]
        met = self._met[pairs]
        share = self._most[pairs] / np.maximum(met, 1)
        best = (share + 1e-9 * np.minimum(met, 10**6)).argmax(1)[:, None]  # among equals the one met most
        follows = np.take_along_axis(self._outcome[pairs], best, 1)[:, 0]
        return follows, np.take_along_axis(share, best, 1)[:, 0], met

    def _learnable(self) -> np.ndarray:
        """Of every cell."""
        alike = (self._age_right / self._age_foretold)[np.log2(1 + self._foretold).astype(int)]
        learnable = (self._right + _PRIOR * alike) / (self._foretold + _PRIOR)
        learnable[0] = 1
        return learnable

    def _cell(self, key: bytes) -> int:
        cell = self._cells.setdefault(key, len(self._cells))
        if cell >= len(self._foretold):
            self._foretold, self._right = _doubled(self._foretold), _doubled(self._right)
            self._seen, self._changed = _doubled(self._seen), _doubled(self._changed)
        return cell

    def _numbers(self, around: np.ndarray) -> np.ndarray:
        """Cells with their neighbours (N, 5) -> patches (N,)."""
        keys, first, inverse = np.unique(around.astype(np.uint64) @ self._mix, return_index=True, return_inverse=True)
        table = self._patches
        rows = [table.get(key, -1) for key in keys.tolist()]
        for index, row in enumerate(rows):
            if row < 0:
                rows[index] = self._add(int(keys[index]), around[first[index]])
        return np.array(rows, np.int64)[inverse]

    def _add(self, key: int, around: np.ndarray) -> int:
        patch = self._patches[key] = len(self._patches)
        if patch >= len(self._known):
            for name in ("_around", "_of_patch", "_known", "next", "sure", "novelty"):
                setattr(self, name, _doubled(getattr(self, name)))
        self._around[patch] = around
        own, *near = around.tolist()
        self._of_patch[patch] = [self._pair((own * _OUTCOMES + cell) * len(_SIDES) + s) for s, cell in enumerate(near)]
        return patch

    def _pair(self, key: int) -> int:
        pair = self._pairs.setdefault(key, len(self._pairs))
        if pair >= len(self._met):
            self._met, self._most, self._outcome = map(_doubled, (self._met, self._most, self._outcome))
        return pair


def _doubled(table: np.ndarray) -> np.ndarray:
    return np.concatenate([table, np.zeros_like(table)])


def _counted(
    what: np.ndarray, action: np.ndarray, outcome: np.ndarray, actions: int, times: np.ndarray | None = None
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Each combination once, and how often it is there."""
    keys = (what * actions + action) * _OUTCOMES + outcome
    _, first, inverse, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    total = count if times is None else np.bincount(inverse, times).astype(np.int64)
    return (what[first], action[first], outcome[first]), total
