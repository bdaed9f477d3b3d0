"""Play as one level sees it: its latents, which of its steps were taken, by which macro-actions, what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hplan.levels.cells import event_of
from hplan.play.play import Layouts, Play

CHAINS = 256  # of steps that an error is measured on
CHUNK = 512  # rows that are encoded at once

Rows = Callable[[Tensor], Tensor]  # rows (K,) -> latents (K, *z), or observations


@dataclass(frozen=True)
class Steps:
    """Step i of E begins at row `begin[i]`, ends at row `end[i]`, took `macros[i]` and `durations[i]` environment
    steps; `successor[i]` comes next, and `follows[i]` known steps follow one another from there, itself included.
    kinds (K,): of the discrete macro-actions that were taken, without their place; None for continuous ones."""

    level: Any
    latents: Rows
    begin: Tensor
    end: Tensor
    macros: Tensor
    durations: Tensor
    successor: Tensor
    follows: Tensor
    kinds: Tensor | None
    layouts: Layouts | None = None

    def at(self, rows: Tensor) -> Any:
        """The level as it is at these rows (K,): given the layouts that they are in, if it sees any."""
        return self.level if self.layouts is None else self.layouts.given(self.level, rows)

    def errors(self, horizon: int) -> tuple[int, float, float]:
        """(horizon, open-loop error, error of predicting no change) after so many steps, in steps of the level."""
        at = torch.nonzero(self.follows >= horizon)[:, 0]
        at = at[:: max(len(at) // CHAINS, 1)]
        start = z = self.latents(self.begin[at])
        here = self.at(self.begin[at])
        for _ in range(horizon - 1):
            z, at = here.predict(z, self.macros[at]), self.successor[at]
        z, true = here.predict(z, self.macros[at]), self.latents(self.end[at])
        return horizon, float(self.level.distance(z, true).mean()), float(self.level.distance(start, true).mean())


def encode_rows(level: Any, below: Rows, count: int) -> Rows:
    """Latents of all `count` rows of play. Symbols are kept as such, which takes far less memory than their codes."""
    parts = [level.encode(below(rows)) for rows in torch.arange(count).split(CHUNK)]
    if not level.exact:
        return torch.cat(parts).__getitem__
    symbols = torch.cat([level.symbols(part).short() for part in parts])
    return lambda rows: level.decode(symbols[rows].long())


def steps_of(level: Any, latents: Rows, data: Play) -> Steps:
    """The steps of a level of symbols above 0 are its events; of every other level, `stride` environment steps each."""
    if level.exact and level.index:
        return _events(level, latents, data)
    remaining, actions = data.remaining, data.actions
    stride = round(level.stride)
    begin = torch.nonzero(remaining >= stride)[:, 0]
    if level.index == 0:
        macros = actions[begin]
    else:
        macros = torch.cat(
            [
                level.codebook.nearest(
                    level.describe(latents(rows), latents(rows + stride), actions[rows[:, None] + torch.arange(stride)])
                )
                for rows in begin.split(CHUNK)
            ]
        )
    number = torch.zeros(len(data), dtype=torch.long)
    number[begin] = torch.arange(len(begin))
    return Steps(
        level,
        latents,
        begin,
        end=begin + stride,
        macros=macros,
        durations=torch.full((len(begin),), float(stride)),
        successor=number[(begin + stride).clamp(max=len(data) - 1)],
        follows=remaining[begin] // stride,
        kinds=macros if level.macro.kind == "discrete" else None,
        layouts=data.layouts,
    )


def _events(level: Any, latents: Rows, data: Play) -> Steps:
    """Where symbols change. A change whose kind the level does not know ends a chain of known steps."""
    starts = data.starts(1)
    pairs = [(rows, level.symbols(latents(rows)), level.symbols(latents(rows + 1))) for rows in starts.split(CHUNK)]
    changes = [(before != after).flatten(1).any(1) for _, before, after in pairs]
    at = torch.cat([rows[change] for (rows, _, _), change in zip(pairs, changes, strict=True)])
    found = [
        event_of(before[change], after[change], level.edits)
        for (_, before, after), change in zip(pairs, changes, strict=True)
    ]
    macros, known = torch.cat([macro for macro, _ in found]), torch.cat([sure for _, sure in found])
    same = data.episode[at[1:]] == data.episode[at[:-1]]
    follows = known.long()
    for i in reversed(range(len(at) - 1)):
        if known[i] and same[i]:
            follows[i] += follows[i + 1]
    first = torch.searchsorted(data.episode, data.episode[at])  # row at which the episode of each event begins
    previous = torch.cat([torch.tensor([-1]), at[:-1]])[: len(at)] + 1
    return Steps(
        level,
        latents,
        begin=at,
        end=at + 1,
        macros=macros,
        durations=(at + 1 - torch.maximum(previous, first)).float(),
        successor=(torch.arange(len(at)) + 1).clamp(max=max(len(at) - 1, 0)),
        follows=follows,
        kinds=(macros // pairs[0][1][0].numel())[known],
    )
