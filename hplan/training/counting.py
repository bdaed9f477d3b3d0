"""Level 0 as tables of counts (`hplan.levels.tables`), where observations are a few discrete variables.

Two models are counted, and the one that tells more of play that neither has seen is kept:

    one variable   all numbers together are one state. Exact where play has met practically all that follows.
    several        every number is a variable, and depends on a few. It is the one that knows what play never combined.

What a variable depends on is found for each action by greedy search (as in Friedman, Murphy and Russell, 1998,
"Learning the structure of dynamic probabilistic networks"), by the description length of play:

    nats to say the values, where contexts are known  +  nats to name the contexts whose value is not the usual one
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.levels.level import Level
from hplan.levels.tables import ENDED, SAME, STATUSES, SUCCEEDED, Conditional, read
from hplan.planning.value_iteration import values_of
from hplan.play.play import Play

MOST_STATES = 4096  # that one variable may have
MOST_VARIABLES = 64  # more would be looked at in too many ways
SEEN = 50_000  # steps that dependencies are looked for in
MANY = 10  # times that play has to have met a step to count on it, where steps end in several ways
CERTAIN = 0.999  # of steps ending as they mostly do: where it is more, they end in one way
KINDS = 256  # of rewards; more are told in so many steps
STRANGE = -20.0  # log probability of what a model calls impossible
FACTORED = 0.01  # nats a step that it may tell less, to know what was never combined
PAIRS = 12  # variables at the most, of which two at once are tried where no single one tells anything


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


def told(play: Play) -> Tensor:
    """(N, F): the numbers of every observation; of a row of cells the first of each, since the others say its place."""
    seen = play.observations.long()
    return seen[:, 0, 0] if seen.shape[2] == 1 else seen[:, 0, :, 0]


def are_variables(play: Play) -> bool:
    """Whether observations are a few discrete variables: one cell, or a row of cells that say their places."""
    seen = play.observations
    if play.observation_spec.kind != "symbols" or seen.shape[1] != 1 or told(play).shape[1] > MOST_VARIABLES:
        return False
    place = torch.arange(seen.shape[2])
    return seen.shape[2] == 1 or (seen.shape[3] == 2 and bool((seen[:, 0, :, 1] == place).all()))


def table_level(play: Play, held: Play, discount: float, facts: dict[str, Any]) -> Level:
    """Level 0 of play; `held` decides which model it is. discount: of rewards. facts: for people, added to."""
    return _TableLevel(play, held, discount, facts).level()


@dataclass
class _TableLevel:
    play: Play
    held: Play
    discount: float
    facts: dict[str, Any]

    def level(self) -> Level:
        seen, held = told(self.play), told(self.held)
        models = list(self._models(seen, held))
        scores = [score for score, *_ in models]
        one = len(models) > 1 and scores[1] < scores[0] - FACTORED
        best = models[0] if len(models) == 1 or one else models[1]
        _, steps, tables, states = best
        self.facts["tables"] = {
            "variables": steps.before.shape[1] - 1,
            "states": len(states),
            "told": [round(score, 4) for score in scores],
            "reads": [int((table.weights != 0).any(0).sum()) for table in tables],
        }
        return self._made(steps, tables, states)

    def _models(self, seen: Tensor, held: Tensor) -> Iterator[tuple[float, Steps, list[Conditional], Tensor]]:
        """All numbers as one variable, where those are not too many; then each as one of its own."""
        states = torch.unique(seen, dim=0)
        if len(states) <= MOST_STATES:
            number = torch.unique(torch.cat([states, seen, held]), dim=0, return_inverse=True)[1]
            place = torch.full((int(number.max()) + 1,), len(states))
            place[number[: len(states)]] = torch.arange(len(states))
            which, other = place[number[len(states) :]][:, None].split([len(seen), len(held)])
            sizes = (len(states) + 1,)
            known = Steps.of(self.play, which, sizes)
            tables = [_joint(known, known.after[:, i], after=i == 1) for i in range(2)]
            yield told_of(tables, Steps.of(self.held, other, sizes)), known, tables, states
        if seen.shape[1] > 1:
            sizes = tuple((seen.amax(0) + 1).tolist())
            known = Steps.of(self.play, seen, sizes)
            tables = [factor(known, known.after[:, i], i) for i in range(len(sizes) + 1)]
            other = Steps.of(self.held, torch.minimum(held, seen.amax(0)), sizes)
            yield told_of(tables, other), known, tables, seen[:0]

    def _made(self, steps: Steps, tables: list[Conditional], states: Tensor) -> Level:
        play, count = self.play, steps.before.shape[1] - 1
        actions = play.action_spec
        sizes = steps.sizes
        likely = certainty(tables, steps)
        self.facts["certainty"] = round(likely, 4)
        level = Level(
            index=0,
            parts={
                "encoder": {
                    "kind": "variables",
                    "inputs": tuple(play.observation_spec.shape),
                    "sizes": sizes,
                    "states": len(states),
                },
                "space": {"kind": "variables", "sizes": sizes},
                "macros": {"kind": "actions", "action": "discrete", "size": actions.size, "names": actions.names},
                "dynamics": {
                    "kind": "tables",
                    "macros": actions.size,
                    "tables": tuple((len(table.keys), len(table.values)) for table in tables),
                    "least": 1 if likely > CERTAIN else MANY,
                },
                "prior": {"kind": "known-steps"},
                "uncertainty": {"kind": "counted"},
                **({"success": {"kind": "status"}} if bool(play.success.any()) else {}),
            },
        )
        for part, table in zip(level.dynamics.tables, tables, strict=True):
            part.load_state_dict(table.state_dict())
        level.uncertainty_head.certainty.fill_(likely)
        if len(states):
            level.encoder.states.copy_(states)
            level.encoder.ends.copy_(_ends(steps, len(states) + 1))
        if level.success_head is None and bool(steps.reward.any()):
            self._pays(level, steps, count)
        self._breaks(level, steps)
        return level

    def _breaks(self, level: Level, steps: Steps) -> None:
        """Which steps break a rule, by whichever action; no head where play broke none."""
        broke = self.play.violation[self.play.starts(1)].long()
        if not bool(broke.any()):
            return
        known, count = replace(steps, macros=1, macro=torch.zeros_like(steps.macro)), len(steps.sizes)
        table = _decided(known, broke, count)
        sizes = table.sizes | {"columns": 2 * (count + 1)}
        level.made_anew("violation", kind="tables", **sizes).broke.load_state_dict(table.state_dict())

    def _pays(self, level: Level, steps: Steps, count: int) -> None:
        """What steps are paid, and what can be had from every latent, where all of them are known."""
        process = level.process
        if process is None:
            return
        kinds, which = torch.unique(steps.reward, return_inverse=True)
        if len(kinds) > KINDS:
            edges = torch.from_numpy(np.quantile(steps.reward.numpy(), np.linspace(0, 1, KINDS + 1)[1:-1]))
            which = torch.unique(torch.bucketize(steps.reward, edges), return_inverse=True)[1]
            kinds = torch.zeros(int(which.max()) + 1, dtype=torch.double).index_reduce_(
                0, which, steps.reward, "mean", include_self=False
            )
        paid = _decided(steps, which, count)
        sizes = paid.sizes | {"columns": 2 * (count + 1)}
        sizes |= {"macros": level.macro.size, "rewards": len(kinds), "latents": level.space.count}
        head = level.made_anew("returns", kind="tables", discount=self.discount, **sizes)
        head.paid.load_state_dict(paid.state_dict())
        head.rewards.copy_(kinds)
        nowhere = min(float(kinds.min()), 0.0) / (1 - self.discount)
        assert level.returns is not None
        head.values.copy_(torch.from_numpy(values_of(process, level.returns, nowhere))[::STATUSES])


def _ends(steps: Steps, count: int) -> Tensor:
    """(count,): the status of each state that play never went on from, as arriving there mostly had it; 0 of others."""
    arrivals = torch.zeros(count, STATUSES, dtype=torch.long)
    arrivals.index_put_((steps.after[:, 0], steps.after[:, 1]), torch.ones(len(steps.after), dtype=torch.long), True)
    ends = arrivals.argmax(1)
    ends[steps.before[:, 0]] = 0
    return ends


def _decided(steps: Steps, values: Tensor, count: int) -> Conditional:
    """The table of what is no variable and comes of a step, values (N,), of so many variables."""
    return _joint(steps, values, after=True) if count == 1 else factor(steps, values, count + 1)


def _joint(steps: Steps, values: Tensor, *, after: bool) -> Conditional:
    """The table of what the one variable that there is decides, values (N,): by what it was before, and was `after`."""
    weights, size = torch.zeros(steps.macros, 4, dtype=torch.long), steps.sizes[0]
    weights[:, 0], weights[:, 2] = 1, after * size * steps.macros
    return Conditional.fitted(weights, size * torch.arange(steps.macros), steps.macro, steps.columns, values + 1)


def factor(steps: Steps, values: Tensor, target: int) -> Conditional:
    """The table of one of several variables, number `target`, of which play says the values (N,): for each action by
    those before and, if that tells more, by those after that are determined before it. Values are written as staying
    the same where that is shorter. What is no variable itself may as well be told from what comes of a step alone, by
    whichever action."""
    count = len(steps.sizes)
    before, after = list(range(count)), [count + 1 + i for i in range(min(target, count))]
    sizes = {column: steps.sizes[column % (count + 1)] for column in before + after} | {2 * count + 2: steps.macros}
    every, written = torch.cat([steps.columns, steps.macro[:, None]], 1).numpy(), [values.numpy() + 1]
    if target < count:
        written.insert(0, np.where(every[:, target] == values.numpy(), SAME, written[0]))
    some = slice(None, None, max(len(every) // SEEN, 1))
    found, told = [], written[-1].copy()
    for action in range(steps.macros):
        own = every[some, -1] == action
        tellings = [Telling(every[some][own], each[some][own], sizes) for each in written]
        tried = [telling.search(before + after, telling.search(before)[0]) for telling in tellings]
        best = min(range(len(tried)), key=lambda i: tried[i][1])
        found.append(tried[best])
        own = every[:, -1] == action
        told[own] = written[best][own]
    together = (
        [Telling(every[some], told[some], sizes).search([*before, *after, 2 * count + 2])] if target >= count else []
    )
    if together and together[0][1] <= sum(length for _, length in found):
        groups = [(together[0][0], range(steps.macros))]
    else:
        groups = [(parents, range(action, action + 1)) for action, (parents, _) in enumerate(found)]
    weights, offset, total = torch.zeros(steps.macros, 2 * count + 2, dtype=torch.long), torch.zeros(steps.macros), 0
    seen, said = [every], [told]
    for parents, actions in groups:
        place, own = 1, np.isin(every[:, -1], actions)
        for parent in parents:
            if parent == 2 * count + 2:
                offset[actions] += place * torch.arange(steps.macros)
            else:
                weights[actions, parent] = place
            place *= sizes[parent]
        offset[actions] += total
        total += place
        for kept, extra in zip((seen, said), completed(every[own], told[own], parents, sizes), strict=True):
            kept.append(extra)
    rows = torch.from_numpy(np.concatenate(seen))
    return Conditional.fitted(weights, offset.long(), rows[:, -1], rows[:, :-1], torch.from_numpy(np.concatenate(said)))


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
    """How well some of `columns` (N, C), of so many `sizes` by number, tell `values` (N,)."""

    columns: np.ndarray
    values: np.ndarray
    sizes: dict[int, int]

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
            if all(other.length >= best.length for other in tried) and len(left) <= PAIRS:
                tried += [self.more(self.more(best, one), two) for one, two in combinations(left, 2)]
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


def told_of(tables: list[Conditional], steps: Steps) -> float:
    """Mean log probability of steps of play by some tables, of every variable and of the status."""
    total = torch.zeros(len(steps.macro), dtype=torch.double)
    for table, before, after in zip(tables, steps.before.T, steps.after.T, strict=True):
        rows = table.rows(steps.macro, steps.columns)
        same = torch.where(before == after, table.chance(rows, torch.full_like(after, SAME)), 0.0)
        total += (table.chance(rows, after + 1) + same).log().clamp(min=STRANGE)
    return float(total.mean())


def certainty(tables: list[Conditional], steps: Steps) -> float:
    """Share of steps of play that ended as they mostly do."""
    right = torch.ones(len(steps.macro), dtype=torch.bool)
    for table, before, after in zip(tables, steps.before.T, steps.after.T, strict=True):
        right &= read(table.usual[0][table.rows(steps.macro, steps.columns)], before) == after
    return float(right.float().mean())
