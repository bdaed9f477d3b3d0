"""What a variable of a few depends on, found in play: some others before a step, some after it, or two being equal.

It is found for each action by greedy search (as in Friedman, Murphy and Russell, 1998, "Learning the structure of
dynamic probabilistic networks"), by the description length of play:

    nats to say the values, where contexts are known  +  nats to name the contexts whose value is not the usual one

Whether two variables are equal is one more number that may tell. So what holds wherever you are at your goal is known
of goals and places that play never combined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from hplan.levels.tables import ENDED, SAME, SUCCEEDED, Conditional, with_equal
from hplan.play.play import Play

MOST_STATES = 4096  # that one variable may have
MANY = 10  # times that play has to have met a step to count on it, where steps end in several ways
SEEN = 50_000  # steps that dependencies are looked for in
PAIRS = 12  # columns at the most, of which two at once are tried where no single one tells anything
ALIKE = 0.9  # of the values that one variable has, another that it is held against has at least
COMPARED = 64  # pairs of variables at the most, that are held against each other


@dataclass(frozen=True)
class Steps:
    """Play as tables read it. sizes: values of each of n variables, and macros: of actions. macro (N,); before, after
    (N, n + 1): variables, and last the status; reward (N,)."""

    sizes: tuple[int, ...]
    macros: int
    macro: Tensor
    before: Tensor
    after: Tensor
    reward: Tensor

    @property
    def columns(self) -> Tensor:
        return torch.cat([self.before, self.after], 1)

    @classmethod
    def of(cls, play: Play, variables: Tensor, sizes: tuple[int, ...]) -> Steps:
        """variables (N, n) of every row of play, of so many values each."""
        rows = play.starts(1)
        status = play.terminated[rows + 1] * ENDED + play.success[rows] * SUCCEEDED
        before = torch.cat([variables[rows], torch.zeros_like(status)[:, None]], 1)
        after = torch.cat([variables[rows + 1], status[:, None]], 1)
        return cls(sizes, play.action_spec.size, play.actions[rows], before, after, play.rewards[rows].double())


def factor(steps: Steps, values: Tensor, target: int) -> Conditional:
    """The table of one of several variables, number `target`, of which play says the values (N,): for each action by
    those before and, if that tells more, by those after that are determined before it. Values are written as staying
    the same where that is shorter. What is no variable itself may as well be told from what comes of a step alone, by
    whichever action."""
    count = len(steps.sizes)
    before, after = list(range(count)), [count + 1 + i for i in range(min(target, count))]
    sizes = {column: steps.sizes[column % (count + 1)] for column in before + after}
    pairs = torch.tensor(compared(before, sizes) + compared(after, sizes), dtype=torch.long).view(-1, 2)
    equal = [2 * count + 2 + i for i in range(len(pairs))]
    action = 2 * count + 2 + len(pairs)
    sizes |= {**dict.fromkeys(equal, 2), action: steps.macros}
    columns = [with_equal(steps.columns, pairs), steps.macro[:, None]]
    every, written = torch.cat(columns, 1).numpy(), [values.numpy() + 1]
    if target < count:
        written.insert(0, np.where(every[:, target] == values.numpy(), SAME, written[0]))
    some = slice(None, None, max(len(every) // SEEN, 1))
    found, told = [], written[-1].copy()
    for number in range(steps.macros):
        own = every[some, -1] == number
        tellings = [Telling(every[some][own], each[some][own], sizes, equal) for each in written]
        tried = [_shortest(telling, before, after + equal) for telling in tellings]
        best = min(range(len(tried)), key=lambda i: tried[i][1])
        found.append(tried[best])
        own = every[:, -1] == number
        told[own] = written[best][own]
    together = (
        [Telling(every[some], told[some], sizes, equal).search([*before, *after, *equal, action])]
        if target >= count
        else []
    )
    if together and together[0][1] <= sum(length for _, length in found):
        groups = [(together[0][0], range(steps.macros))]
    else:
        groups = [(parents, range(number, number + 1)) for number, (parents, _) in enumerate(found)]
    weights, offset, total = torch.zeros(steps.macros, action, dtype=torch.long), torch.zeros(steps.macros), 0
    seen, said = [every], [told]
    for parents, actions in groups:
        place, own = 1, np.isin(every[:, -1], actions)
        for parent in parents:
            if parent == action:
                offset[actions] += place * torch.arange(steps.macros)
            else:
                weights[actions, parent] = place
            place *= sizes[parent]
        offset[actions] += total
        total += place
        for kept, extra in zip((seen, said), completed(every[own], told[own], parents, sizes), strict=True):
            kept.append(extra)
    rows, told = torch.from_numpy(np.concatenate(seen)), torch.from_numpy(np.concatenate(said))
    used = weights.any(0)
    used[: 2 * count + 2] = True
    pairs = pairs[used[2 * count + 2 :]]
    return Conditional.fitted(weights[:, used], offset.long(), rows[:, -1], rows[:, :-1][:, used], told, pairs)


def compared(columns: list[int], sizes: dict[int, int]) -> list[tuple[int, int]]:
    """Pairs of columns that have about as many values, more than two; none where those are too many pairs."""
    several = [column for column in columns if sizes[column] > 2]
    pairs = [(a, b) for a, b in combinations(several, 2) if ALIKE * max(sizes[a], sizes[b]) <= min(sizes[a], sizes[b])]
    return pairs if len(pairs) <= COMPARED else []


def _shortest(telling: Telling, before: list[int], others: list[int]) -> tuple[tuple[int, ...], float]:
    """The shorter of two descriptions: what tells most of all, and first of all what is known before a step."""
    found = telling.search(before + others, telling.search(before)[0])
    return min(found, telling.search(before + others), key=lambda each: each[1]) if telling.equal else found


def completed(
    rows: np.ndarray, values: np.ndarray, parents: tuple[int, ...], sizes: dict[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows (K, C) and values (K,) for contexts of `parents` that play, rows (N, C) and values (N,), never met: what
    always came where those parents that tell most were the same. Each as often as that was met, up to `MANY` times.
    Of the others nothing is known."""
    counts = [sizes[parent] for parent in parents]
    if len(parents) < 2 or not len(rows) or math.prod(counts) > MOST_STATES:
        return rows[:0], values[:0]
    all_ = np.stack([grid.ravel() for grid in np.meshgrid(*map(np.arange, counts), indexing="ij")], 1)
    left = all_[~np.isin(_numbers(all_, counts), _numbers(rows[:, parents], counts))]
    extra, said = [], []
    for shared in range(len(parents) - 1, 0, -1):
        known, first, which, met = np.unique(
            _numbers(rows[:, parents[:shared]], counts), return_index=True, return_inverse=True, return_counts=True
        )
        always = np.bincount(which, values != values[first][which]) == 0
        asked = _numbers(left[:, :shared], counts)
        at = np.searchsorted(known, asked).clip(max=len(known) - 1)
        found = (known[at] == asked) & always[at]
        times = met[at[found]].clip(max=MANY)
        made = np.zeros((int(found.sum()), rows.shape[1]), rows.dtype)
        made[:, -1] = rows[0, -1]  # the action; where it is one of the parents it is set like them
        made[:, parents] = left[found]
        extra.append(made.repeat(times, 0))
        said.append(values[first][at[found]].repeat(times))
        left = left[~found]
    return np.concatenate(extra), np.concatenate(said)


def _numbers(rows: np.ndarray, counts: list[int]) -> np.ndarray:
    """(N, K) -> (N,): equal where rows are, of numbers below `counts`."""
    return rows @ np.cumprod([1, *counts[: rows.shape[1] - 1]])


@dataclass(frozen=True)
class _Known:
    """What some columns tell, in order: numbers of the contexts (N,) that they make, the commonest value in the context
    of each row (N,), and nats to name the values that contexts have other than usual."""

    columns: tuple[int, ...]
    contexts: np.ndarray
    usual: np.ndarray
    named: float
    length: float


@dataclass
class Telling:
    """How well some of `columns` (N, C), of so many `sizes` by number, tell `values` (N,). equal: those that say
    whether two others are."""

    columns: np.ndarray
    values: np.ndarray
    sizes: dict[int, int]
    equal: Sequence[int] = ()

    def __post_init__(self) -> None:
        kinds, self.values = np.unique(self.values, return_inverse=True)
        self.kinds = max(len(kinds), 1)
        nothing = np.zeros(len(self.values), np.int64)
        usual = nothing + np.bincount(self.values, minlength=1).argmax()
        self.nothing = self._known((), nothing, usual, 0.0)

    def search(self, candidates: list[int], first: tuple[int, ...] = ()) -> tuple[tuple[int, ...], float]:
        """The columns that tell most for their cost, greedily: one after the other, or two at once where none helps
        alone; those that are not missed are left out again. And the length of the description, in nats."""
        best = self.of(first)
        while best.length > 0:
            left = [column for column in candidates if column not in best.columns]
            tried = [self.more(best, column) for column in left]
            if all(other.length >= best.length for other in tried):
                for kind in ([c for c in left if c not in self.equal], [c for c in left if c in self.equal]):
                    if len(kind) <= PAIRS:
                        tried += [self.more(self.more(best, one), two) for one, two in combinations(kind, 2)]
            better = min(tried, key=lambda other: other.length, default=best)
            if better.length >= best.length:
                break
            best = better
        for column in best.columns:
            fewer = self.of(tuple(other for other in best.columns if other != column))
            best = fewer if fewer.length <= best.length else best
        return best.columns, best.length

    def of(self, columns: tuple[int, ...]) -> _Known:
        """What these tell, in that order."""
        known = self.nothing
        for column in columns:
            known = self.more(known, column)
        return known

    def more(self, known: _Known, column: int) -> _Known:
        """What is known with one more column. A context whose value is what was usual without it need not be named."""
        contexts = np.unique(known.contexts * self.sizes[column] + self.columns[:, column], return_inverse=True)[1]
        return self._known((*known.columns, column), contexts, known.usual, known.named)

    def _known(self, columns: tuple[int, ...], contexts: np.ndarray, before: np.ndarray, named: float) -> _Known:
        if not len(contexts):
            return _Known(columns, contexts, before, named, 0.0)
        pairs, first, counts = np.unique(contexts * self.kinds + self.values, return_index=True, return_counts=True)
        of = pairs // self.kinds
        met, ways, order = np.bincount(of, counts), np.bincount(of), np.lexsort((counts, of))
        most = order[np.cumsum(ways) - 1]  # the commonest value of each context
        usual, was = pairs[most] % self.kinds, before[first[most]]
        name = np.log(len(met)) + np.log(self.kinds)
        named += name * int((usual != was).sum())
        mixed = (name * (ways > 1) + 0.5 * (ways - 1) * np.log(met)).sum()
        bits = (met * np.log(met)).sum() - (counts * np.log(counts)).sum()
        return _Known(columns, contexts, usual[contexts], named, float(bits + mixed + named))
