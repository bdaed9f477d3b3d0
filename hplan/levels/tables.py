"""Levels that are tables of counts: what play showed to follow, for observations that are a few discrete variables.

A latent is a row (1, n + 1) of whole numbers: the n variables, and last what the episode has come to (`STATUSES`). So
an end and a success are told of the step that led there, also where the observation after it does not show them. A
variable is a number of the observation, or all of its numbers together, as one state of a few.

    P(z' | z, a)  =  product over variables i of  P(z'_i | a, what i depends on)            a dynamic Bayesian network

Each factor is a table of counts (`Conditional`), and what a variable depends on is found in play
(`hplan.training.counting`). Source: Dean and Kanazawa, 1989, "A model for reasoning about persistence and causation".
"""

from __future__ import annotations

from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.heads.prior import IMPOSSIBLE
from hplan.levels.heads.returns import LevelReturns
from hplan.levels.heads.uncertainty import CERTAIN
from hplan.types import DecisionProcess

if TYPE_CHECKING:
    from hplan.levels.level import Level

STATUSES = 4  # of an episode: it goes on, ended, succeeded, succeeded and ended
ENDED, SUCCEEDED = 1, 2  # bits of a status
SAME = 0  # how a value is written that stays what it was
SURE = 4.0  # logit of success that counts told
WHOLE = 2**20  # pairs of latent and action, up to which all of them are unfolded into one table


class Conditional(nn.Module):
    """Counts of one number's values, by what it depends on: some of `columns` numbers, which of them the action says.

    A value is written as `SAME`, as it was before, or as itself and 1. A context is a whole number, offset[a] + sum of
    weights[a] * columns, after which come `pairs` (P, 2) of them, 1 where both are equal. keys (R,): contexts that play
    met, ascending; first (R + 1,): where the values of each begin, among values (E,) and counts (E,) of play.
    """

    pairs: Tensor
    weights: Tensor
    offset: Tensor
    keys: Tensor
    first: Tensor
    values: Tensor
    counts: Tensor

    def __init__(self, *, macros: int, columns: int, contexts: int, entries: int, pairs: int = 0) -> None:
        super().__init__()
        self.register_buffer("pairs", torch.zeros(pairs, 2, dtype=torch.long), bool(pairs))
        self.register_buffer("weights", torch.zeros(macros, columns + pairs, dtype=torch.long))
        self.register_buffer("offset", torch.zeros(macros, dtype=torch.long))
        self.register_buffer("keys", torch.zeros(contexts, dtype=torch.long))
        self.register_buffer("first", torch.zeros(contexts + 1, dtype=torch.long))
        self.register_buffer("values", torch.zeros(entries, dtype=torch.long))
        self.register_buffer("counts", torch.zeros(entries, dtype=torch.long))

    @classmethod
    def fitted(
        cls,
        weights: Tensor,
        offset: Tensor,
        macro: Tensor,
        columns: Tensor,
        values: Tensor,
        pairs: Tensor | None = None,
    ) -> Conditional:
        """Of play: macro (N,), columns (N, C), those that say what is equal included, and the values (N,) that came of
        them, as written."""
        pairs = torch.zeros(0, 2, dtype=torch.long) if pairs is None else pairs
        keys = (columns * weights[macro]).sum(1) + offset[macro]
        size = int(values.max()) + 1
        met, counts = torch.unique(keys * size + values, return_counts=True)
        contexts, of_each = torch.unique_consecutive(met // size, return_counts=True)
        sizes = {"contexts": len(contexts), "entries": len(met), "pairs": len(pairs)}
        made = cls(macros=len(offset), columns=columns.shape[1] - len(pairs), **sizes)
        first = F.pad(of_each.cumsum(0), (1, 0))
        found = {"weights": weights, "offset": offset, "keys": contexts, "first": first, "values": met % size}
        made.load_state_dict(found | {"counts": counts} | ({"pairs": pairs} if len(pairs) else {}))
        return made

    @property
    def sizes(self) -> dict[str, int]:
        """Arguments that make a table of this size."""
        return {"contexts": len(self.keys), "entries": len(self.values), "pairs": len(self.pairs)}

    def rows(self, macro: Tensor, columns: Tensor) -> Tensor:
        """(B,): the context of each, by number; -1 where play never met it."""
        columns = with_equal(columns, self.pairs) if len(self.pairs) else columns
        keys = (columns * self.weights[macro]).sum(1) + self.offset[macro]
        at = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return torch.where(self.keys[at] == keys, at, -1)

    @cached_property
    def usual(self) -> tuple[Tensor, Tensor, Tensor]:
        """(R + 1,) each: of every context the commonest value, as written, the chance of it, and how often play met the
        context; last, of what it never met: `SAME`, for sure, never."""
        context = torch.repeat_interleave(self.first.diff())
        met = torch.zeros(len(self.keys), dtype=torch.long).index_add_(0, context, self.counts)
        order = (context.double() - self.counts / (self.counts.max() + 1.0)).argsort(stable=True)
        most = order[self.first[:-1]]
        chance = (self.counts[most].double() / met).float()
        return F.pad(self.values[most], (0, 1)), F.pad(chance, (0, 1), value=1.0), F.pad(met, (0, 1))

    def chance(self, rows: Tensor, values: Tensor) -> Tensor:
        """(B,): of each value, in each context; 0 where the context is none, or never had it."""
        size = int(torch.cat([self.values, values]).max()) + 1
        pairs = torch.repeat_interleave(self.first.diff()) * size + self.values
        at = torch.searchsorted(pairs, rows * size + values).clamp(max=len(pairs) - 1)
        right = (pairs[at] == rows * size + values) & (rows >= 0)
        return torch.where(right, self.counts[at] / self.usual[2][rows].clamp(min=1).double(), 0.0)

    def branches(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of contexts (B,): for every value that one may have, in order, which of them it is of, the value, as written,
        and its chance, (M,) each. What play never met stays the same."""
        known = rows >= 0
        count = torch.where(known, self.first.diff()[rows.clamp(min=0)], 1)
        which = torch.repeat_interleave(count)
        within = torch.arange(len(which)) - (count.cumsum(0) - count)[which]
        entry = torch.where(known[which], self.first[rows.clamp(min=0)][which] + within, 0)
        chance = self.counts[entry].double() / self.usual[2][rows[which]].clamp(min=1)
        return which, self.values[entry].where(known[which], SAME), chance.where(known[which], 1.0)


def with_equal(columns: Tensor, pairs: Tensor) -> Tensor:
    """(B, C), (P, 2) -> (B, C + P): and 1 for each pair of columns that are equal, else 0."""
    return torch.cat([columns, (columns[:, pairs[:, 0]] == columns[:, pairs[:, 1]]).long()], 1)


def read(written: Tensor, before: Tensor) -> Tensor:
    """(B,) twice -> (B,): the values that are written, of variables that were `before`."""
    return torch.where(written == SAME, before, written - 1)


class Variables(nn.Module):
    """Rows (1, n + 1) of whole numbers: variables of so many values, and the status."""

    discrete = True

    def __init__(self, *, sizes: tuple[int, ...]) -> None:
        """`sizes`: values of each variable."""
        super().__init__()
        self.sizes = sizes
        places = [prod((*sizes, STATUSES)[i + 1 :]) for i in range(len(sizes) + 1)]
        self.count = STATUSES * prod(sizes)  # of different latents
        self.register_buffer("place", torch.tensor(places if self.count < 2**62 else [0] * len(places)), False)

    place: Tensor

    def embed(self, z: Tensor) -> Tensor:
        """(..., 1, n + 1) -> (..., 1, sum of sizes): the variables, one-hot."""
        parts = [F.one_hot(z[..., i], size) for i, size in enumerate(self.sizes)]
        return torch.cat(parts, -1).float()

    def kinds(self, z: Tensor) -> Tensor:
        """(N, 1, n + 1) -> (K, values): each different latent once, one-hot over the values that any of them has."""
        found = self.embed(z.unique(dim=0)).flatten(1)
        return found[:, found.any(0)]

    def snap(self, latents: Tensor) -> Tensor:
        return latents

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        """How many variables differ, and the status."""
        return (z != other).flatten(1).sum(1).float()

    def keys(self, z: Tensor) -> Tensor:
        return z.flatten(1)

    def number(self, z: Tensor) -> Tensor:
        """(B, 1, n + 1) -> (B,): which of all latents."""
        return (z.flatten(1) * self.place).sum(1)

    def latents(self, number: Tensor) -> Tensor:
        """The inverse."""
        sizes = torch.tensor([*self.sizes, STATUSES])
        return (number[:, None] // self.place % sizes)[:, None]


class VariableEncoder(nn.Module):
    """Symbols (..., 1, W, F) to variables: the numbers of one cell, or the first of each where there are several.
    states (V, n): those that are one variable, all n of them together; with none, every one is a variable.

    What play never met is the last state of all, of which nothing is known; a single value is the nearest that it met.
    ends (V + 1,): the status that observing a state means, where play never went on from it.
    """

    counted = True
    states: Tensor
    ends: Tensor

    def __init__(self, *, inputs: tuple[int, ...], sizes: tuple[int, ...], states: int = 0, **_: Any) -> None:
        super().__init__()
        self.single, self.joint = inputs[1] == 1, states > 0
        self.register_buffer("states", torch.zeros(states, inputs[2 if self.single else 1], dtype=torch.long))
        self.register_buffer("ends", torch.zeros(states + 1, dtype=torch.long))
        self.register_buffer("highest", torch.tensor(sizes) - 1, False)

    highest: Tensor

    def forward(self, symbols: Tensor) -> Tensor:
        seen = symbols.long().flatten(-2) if self.single else symbols[..., 0].long()
        if not self.joint:
            return F.pad(torch.minimum(seen, self.highest), (0, 1))
        base = torch.maximum(self.states.amax(0), seen.reshape(-1, seen.shape[-1]).amax(0)) + 1
        weights = torch.cumprod(F.pad(base[:-1], (1, 0), value=1), 0)
        known, order = (self.states @ weights).sort()
        asked = seen @ weights
        at = torch.searchsorted(known, asked).clamp(max=len(known) - 1)
        found = torch.where(known[at] == asked, order[at], len(known))
        return torch.stack([found, self.ends[found]], -1)

    def numbers(self, z: Tensor) -> Tensor:
        """Variables (..., 1, n + 1) to symbols (..., 1, W, F). A state that play never met has -1 for each number."""
        seen = F.pad(self.states, (0, 0, 0, 1), value=-1)[z[..., 0]] if self.joint else z[..., :-1]
        if self.single:
            return seen[..., None, :]
        return torch.stack([seen, torch.arange(seen.shape[-1], device=z.device).expand_as(seen)], -1)


class Tables(nn.Module):
    """The latent one step later, variable by variable, each by its table: of the action, of some variables before, and
    of some after that are determined before it. The status is the last. Where a table knows nothing, a variable stays.

    least: how often play has to have met what decides for a step to be known. Where nothing was met as often, what was
    met most is known.
    """

    local = False

    def __init__(self, *, macros: int, tables: tuple[tuple[int, ...], ...], least: int = 1) -> None:
        """`tables`: contexts and entries of each variable's, and of the status's; and pairs, where it reads any."""
        super().__init__()
        self.macros, self.least = macros, least
        self.tables = nn.ModuleList(
            Conditional(macros=macros, columns=2 * len(tables), contexts=contexts, entries=entries, pairs=sum(pairs))
            for contexts, entries, *pairs in tables
        )
        self._process: DecisionProcess | None = None

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        return self.likeliest(z, macro)[0]

    def likeliest(self, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, *z), (B,) -> what most likely follows (B, *z), the chance of it (B,), and how often play met what decides
        it (B,); never, where the episode has ended."""
        columns, count = self.columns(z), len(self.tables)
        chance, met = torch.ones(len(z)), torch.full((len(z),), 2**62)
        for i, table in enumerate(self._each()):
            rows = table.rows(macro, columns)
            values, sure, times = table.usual
            columns[:, count + i] = read(values[rows], columns[:, i])
            chance, met = chance * sure[rows], torch.minimum(met, times[rows])
        over = z[:, 0, -1] & ENDED > 0
        following = torch.where(over[:, None, None], z, columns[:, None, count:])
        return following, torch.where(over, 1.0, chance), torch.where(over, 0, met)

    def columns(self, z: Tensor, following: Tensor | None = None) -> Tensor:
        """(B, *z) -> (B, 2 (n + 1)): what tables read, before and after; a new tensor, in which what is not known yet
        is 0. An episode that has succeeded and goes on does so as any other."""
        before = torch.cat([z[:, 0, :-1], torch.zeros_like(z[:, 0, :1])], 1)
        return torch.cat([before, torch.zeros_like(before) if following is None else following[:, 0]], 1)

    def known(self, z: Tensor) -> Tensor:
        """(B, M) bool: actions of which play showed enough. None where the episode has ended."""
        every = torch.arange(self.macros).repeat(len(z))
        met = self.likeliest(z.repeat_interleave(self.macros, 0), every)[2].view(len(z), -1)
        return (met > 0) & ((met >= self.least) | (met == met.amax(1, keepdim=True)))

    def branches(self, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, *z), (B,) -> which of them (M,), latents (M, *z) and chances (M,): all ways in which each may end."""
        columns, count = self.columns(z), len(self.tables)
        rows, chance = torch.arange(len(z)), torch.ones(len(z), dtype=torch.double)
        for i, table in enumerate(self._each()):
            which, values, share = table.branches(table.rows(macro[rows], columns))
            columns, rows, chance = columns[which], rows[which], chance[which] * share
            columns[:, count + i] = read(values, columns[:, i])
        return rows, torch.where(z[rows, :, -1:] & ENDED > 0, z[rows], columns[:, None, count:]), chance

    def outcomes(self, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor]:
        """As `hplan.types.Outcomes`."""
        rows, following, chance = self.branches(z, macro)
        count = torch.bincount(rows, minlength=len(z))
        within = torch.arange(len(rows)) - (count.cumsum(0) - count)[rows]
        ends = z[:, None].repeat(1, int(count.max()), 1, 1)
        chances = torch.zeros(ends.shape[:2])
        ends[rows, within], chances[rows, within] = following, chance.float()
        return ends, chances

    def process(self, level: Level) -> DecisionProcess | None:
        """Everything that can follow from anywhere; None where that is too much to keep."""
        space = level.space
        if self._process is None and space.count * self.macros <= STATUSES * WHOLE:
            alive = space.latents(torch.arange(0, space.count, STATUSES))
            node, macro = torch.nonzero(self.known(alive), as_tuple=True)
            pair, following, chance = self.branches(alive[node], macro)
            self._process = DecisionProcess(
                latents=space.latents(torch.arange(space.count)),
                number=space.number,
                node=STATUSES * node,
                macro=macro,
                pair=pair,
                following=space.number(following),
                chance=chance,
            )
        return self._process

    def _each(self) -> list[Conditional]:
        return list(self.tables)  # type: ignore[arg-type]  # of nothing else


class KnownSteps(nn.Module):
    """A prior: every action of which play showed enough is as possible as any other. All are, where it showed none."""

    weight, floors = 1.0, (0.005, 0.0)

    def forward(self, level: Level, z: Tensor) -> Tensor:
        known = level.dynamics.known(z)
        return torch.where(known | ~known.any(1, keepdim=True), 0.0, IMPOSSIBLE)


class StatusSuccess(nn.Module):
    """A latent is a success where its status says so."""

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return torch.where(z[:, 0, -1] & SUCCEEDED > 0, SURE, -SURE)


class CountedChances(nn.Module):
    """What the likeliest outcome lacks to certainty, as counted. `certainty`: share of steps of play that ended as they
    mostly do."""

    certainty: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("certainty", torch.tensor(1.0))

    @property
    def certain(self) -> bool:
        return float(self.certainty) >= CERTAIN

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        return 1 - level.dynamics.likeliest(z, macro)[1]

    def outcomes(self, level: Level, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor]:
        return level.dynamics.outcomes(z, macro)


class TableReturns(nn.Module):
    """Rewards by a table of counts, and what the exact solution of the whole table says can still be had.

    paid: which of `rewards` (K,) a step is, by what play showed to decide. values (latents / STATUSES,): of every
    latent of an episode that goes on; what has ended has nothing to come.
    """

    policy = None  # actions are discrete
    rewards: Tensor
    values: Tensor

    def __init__(self, *, macros: int, columns: int, rewards: int, latents: int, discount: float, **sizes: int) -> None:
        """`discount`: of one environment step; `sizes`: of the table (`Conditional.sizes`)."""
        super().__init__()
        self.discount = discount
        self.paid = Conditional(macros=macros, columns=columns, **sizes)
        self.register_buffer("rewards", torch.zeros(rewards))
        self.register_buffer("values", torch.zeros(latents // STATUSES))

    def of(self, level: Level) -> LevelReturns:
        return LevelReturns(level, self)

    def step(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """The mean reward of play, 0 where it is not known."""
        rows = self.paid.rows(macro, level.dynamics.columns(z, following))
        which, values, chance = self.paid.branches(rows)
        paid = torch.zeros(len(z), dtype=torch.double).index_add_(0, which, chance * self.rewards[values - 1])
        return torch.where(rows < 0, 0.0, paid), (following[:, 0, -1] & ENDED).double()

    def value(self, level: Level, z: Tensor) -> Tensor:
        goes_on = z[:, 0, -1] & ENDED == 0
        return torch.where(goes_on, self.values[level.space.number(z) // STATUSES], 0.0)

    def doubt(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> Tensor:
        """Counts are as they are."""
        return torch.zeros(len(z))
