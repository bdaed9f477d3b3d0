"""Play as one level sees it: its latents, which of its steps were taken, by which macro-actions, what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hplan.levels.heads.conditioning import level_at

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

CHAINS = 256  # of steps that an error is measured on
JUDGED = 1024  # steps of one kind of change whose predictions are looked at
NOTHING, ELSEWHERE = "nothing changes", "elsewhere, by itself"
Named = Callable[[np.ndarray, np.ndarray], list[str]]  # features of cells (K, F) before and after: what became of each
CHUNK = 512  # rows that are encoded at once


@dataclass(frozen=True)
class Steps:
    """Step i of E begins at row `begin[i]` of `latents` (N, *z), ends at row `end[i]`, took `macros[i]` and
    `durations[i]` environment steps; `successor[i]` comes next, and `follows[i]` known steps follow one another from
    there, itself included. kinds (K,): of the discrete macro-actions that were taken, without their place; None for
    continuous ones."""

    level: Level
    play: Play
    latents: Tensor
    begin: Tensor
    end: Tensor
    macros: Tensor
    durations: Tensor
    successor: Tensor
    follows: Tensor
    kinds: Tensor | None

    def at(self, rows: Tensor) -> Level:
        """The level as it is at these rows (K,): conditioned on the layouts that they are in, if it sees any."""
        return level_at(self.level, self.play, rows)

    def errors(self, horizon: int) -> tuple[int, float, float]:
        """(horizon, open-loop error, error of predicting no change) after so many steps, in steps of the level."""
        at = torch.nonzero(self.follows >= horizon)[:, 0]
        at = at[:: max(len(at) // CHAINS, 1)]
        start = z = self.latents[self.begin[at]]
        here = self.at(self.begin[at])
        for _ in range(horizon - 1):
            z, at = here.predict(z, self.macros[at]), self.successor[at]
        z, true = here.predict(z, self.macros[at]), self.latents[self.end[at]]
        return horizon, float(self.level.distance(z, true).mean()), float(self.level.distance(start, true).mean())

    def accuracies(self, shown: Tensor | None = None, named: Named | None = None) -> dict[str, tuple[int, float]]:
        """By what a step did: how many did so, and the share of them that is predicted exactly. Empty but for symbols.

        What it did is named by the environment's action that ended it, or as `named` says of the cell that changed, in
        observations `shown` (N, H, W, F). `NOTHING`: steps that changed nothing. `ELSEWHERE`: changes that no step of
        the agent makes, as of things that move by themselves; they count nowhere else."""
        actions = self.play.action_spec
        if not self.level.capabilities.discrete or actions.kind != "discrete" or not len(self.begin):
            return {}
        known = torch.nonzero(self.follows >= 1)[:, 0]
        before, after = self.latents[self.begin[known]], self.latents[self.end[known]]
        changed, own = before != after, self._own(before, after, self.macros[known])
        did, aside = ((changed & cells).flatten(1).any(1) for cells in (own, ~own))
        group = torch.where(did, self.play.actions[self.end[known] - 1] + 1, 0)
        names = [NOTHING, *(actions.names or (f"action {kind}" for kind in range(actions.size)))]
        if named is not None and shown is not None:
            tokens = getattr(self.level.space, "tokens", 1)
            ground = (before // tokens != after // tokens) & own
            rows = torch.nonzero(ground.flatten(1).any(1))[:, 0]
            cell = ground[rows].flatten(1).long().argmax(1)
            ends = [
                shown[at[known[rows]]].flatten(1, 2)[torch.arange(len(rows)), cell] for at in (self.begin, self.end)
            ]
            for row, name in zip(rows.tolist(), named(*(each.numpy() for each in ends)), strict=True):
                if name:
                    names += [name] if name not in names else []
                    group[row] = names.index(name)
        found = {}
        for kind in group.unique().tolist():
            found[names[kind]] = self._exact(known, torch.nonzero(group == kind)[:, 0], own)
        if bool(aside.any()):
            found[ELSEWHERE] = self._exact(known, torch.nonzero(aside)[:, 0], ~own)
        return found

    def _exact(self, known: Tensor, rows: Tensor, judged: Tensor) -> tuple[int, float]:
        """Of steps `rows` of those `known`: how many, and the share predicted exactly in the cells judged (K, H, W)."""
        some = rows[:: max(len(rows) // JUDGED, 1)]
        begin, end = self.begin[known[some]], self.end[known[some]]
        before, after = self.latents[begin], self.latents[end]
        predicted = self.at(begin).predict(before, self.macros[known[some]])
        right = self.level.distance(torch.where(judged[some], predicted, after), after) == 0
        return len(rows), float(right.float().mean())

    def _own(self, before: Tensor, after: Tensor, macros: Tensor) -> Tensor:
        """(K, H, W) bool: cells that these steps themselves may have changed, as far as the level knows."""
        level, tokens = self.level, getattr(self.level.space, "tokens", 1)
        if level.macro.pointed:
            cells = torch.zeros_like(before, dtype=torch.bool).flatten(1)
            cells.scatter_(1, (macros % cells.shape[1])[:, None], True)
            there = torch.zeros_like(before, dtype=torch.bool)
            if tokens > 1:
                there = (before % tokens > 0) | (after % tokens > 0)
            return cells.view_as(before) | there
        touched = getattr(level.dynamics, "touched_cells", None)
        return torch.ones_like(before, dtype=torch.bool) if touched is None else touched(level, before, macros)


def latents_of(level: Level, play: Play) -> Tensor:
    """(N, *z): latents of all rows of play, which the level sees as that of the level below."""
    return torch.cat([level.encode(rows) for rows in play.below.split(CHUNK)])


def steps_of(level: Level, play: Play, latents: Tensor) -> Steps:
    """The steps of a level in play, which it encodes as `latents` (N, *z): its events, or else windows of `stride`
    environment steps. A change whose kind the level does not know ends a chain of known steps."""
    stride, eventful, cut = round(level.stride), level.capabilities.events, getattr(level.macros, "cut", None)
    if cut is not None:
        return _cut(level, play, latents, *cut(play))
    begin = torch.nonzero(play.remaining >= (1 if eventful else stride))[:, 0]
    if eventful:
        stride = 1
        changed = [level.space.changed(latents[rows], latents[rows + 1]) for rows in begin.split(CHUNK)]
        begin = begin[torch.cat(changed)] if changed else begin
    parts = [
        level.macros.hindsight(
            level, latents[rows], latents[rows + stride], play.actions[rows[:, None] + torch.arange(stride)]
        )
        for rows in begin.split(CHUNK)
    ]
    macros, known = (torch.cat(each) for each in zip(*parts, strict=True))
    number = torch.arange(len(begin))
    if eventful:
        rows = torch.bincount(play.episode)
        first = (rows.cumsum(0) - rows)[play.episode[begin]]  # row at which the episode of each event begins
        previous = torch.cat([torch.tensor([-1]), begin[:-1]])[: len(begin)] + 1
        durations = (begin + 1 - torch.maximum(previous, first)).float()
        successor = (number + 1).clamp(max=max(len(begin) - 1, 0))
        goes_on = play.episode[begin[1:]] == play.episode[begin[:-1]]
        follows = _chains(known, torch.cat([goes_on, torch.tensor([False])])[: len(begin)])
    else:
        table = torch.zeros(len(play), dtype=torch.long)
        table[begin] = number
        durations = torch.full((len(begin),), float(stride))
        successor = table[(begin + stride).clamp(max=len(play) - 1)]
        follows = play.remaining[begin] // stride
    kinds = None
    if level.macro.kind == "discrete":
        kinds = macros[known] // latents[0].numel() if level.macro.pointed else macros
    return Steps(level, play, latents, begin, begin + stride, macros, durations, successor, follows, kinds)


def _cut(level: Level, play: Play, latents: Tensor, begin: Tensor, end: Tensor, macros: Tensor) -> Steps:
    """Of a level whose macro-actions say where its steps are."""
    number = torch.arange(len(begin))
    goes_on = torch.cat([begin[1:] == end[:-1], torch.tensor([False])])[: len(begin)]
    follows = _chains(torch.ones(len(begin), dtype=torch.bool), goes_on)
    successor = (number + 1).clamp(max=max(len(begin) - 1, 0))
    return Steps(level, play, latents, begin, end, macros, (end - begin).float(), successor, follows, macros)


def _chains(known: Tensor, goes_on: Tensor) -> Tensor:
    """(E,) bool twice -> (E,) int64: how many known steps in a row begin at each, where each may go on to the next."""
    number = torch.arange(len(known))
    # the first step at or after each that is not known, and the last that can be reached without a break
    stops = torch.where(known, len(known), number).flip(0).cummin(0).values.flip(0)
    breaks = torch.where(goes_on, len(known), number).flip(0).cummin(0).values.flip(0) + 1
    return torch.minimum(stops, breaks) - number
