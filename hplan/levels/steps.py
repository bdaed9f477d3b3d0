"""Play as one level sees it: its latents, which of its steps were taken, by which macro-actions, what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hplan.levels.heads.conditioning import level_at

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

CHAINS = 256  # of steps that an error is measured on
JUDGED = 1024  # steps of one kind of change whose predictions are looked at
NOTHING = "nothing changes"
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

    def accuracies(self) -> dict[str, tuple[int, float]]:
        """By name of the environment's action that ended a step: how many steps changed the latent so, and the share of
        them that is predicted exactly. `NOTHING`: of steps that changed nothing. Empty but for symbols."""
        actions = self.play.action_spec
        if not self.level.capabilities.discrete or actions.kind != "discrete" or not len(self.begin):
            return {}
        known = torch.nonzero(self.follows >= 1)[:, 0]
        before, after = self.latents[self.begin[known]], self.latents[self.end[known]]
        group = self.play.actions[self.end[known] - 1] + 1
        group = torch.where((before != after).flatten(1).any(1), group, 0)
        found = {}
        for kind in group.unique().tolist():
            own = torch.nonzero(group == kind)[:, 0]
            some = own[:: max(len(own) // JUDGED, 1)]
            predicted = self.at(self.begin[known[some]]).predict(before[some], self.macros[known[some]])
            right = self.level.distance(predicted, after[some]) == 0
            name = NOTHING if kind == 0 else actions.names[kind - 1] if actions.names else f"action {kind - 1}"
            found[name] = (len(own), float(right.float().mean()))
        return found


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
