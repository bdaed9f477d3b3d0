"""Transitions of play that nothing could have predicted: a level above must not learn them as if they were ways.

A level above says in hindsight which macro-action led from one latent to another, so it would call the way that luck
took a way, and plan to take it. It sees only windows in which chance decided nothing.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from hplan.levels.vector import VectorLevel
from hplan.objectives.welsch import LONG
from hplan.training.vector import Play

FAR = 1.5  # long steps: a wall that stops a step puts its prediction off by one
CHUNK, SAMPLE = 16_384, 100_000  # rows predicted at once, and looked at for how long a long step is


@torch.no_grad()
def unpredictable(level: VectorLevel, play: Play) -> Tensor:
    """(N,) bool: the transitions of play, from each row to the next, that end far from where level 0 predicts.

    Where one step in a hundred and more is a leap of chance, that is what a long step is, and nothing is cut out.
    """
    steps, errors = torch.zeros(len(play.below)), torch.zeros(len(play.below))
    rows = play.starts(1)
    for part in rows.split(CHUNK):
        z, following = level.encode(play.below[part]), level.encode(play.below[part + 1])
        predicted = play.at(part, level).predict(z, play.actions[part])
        steps[part], errors[part] = level.distance(z, following), level.distance(predicted, following)
    longest = steps[rows[:: max(len(rows) // SAMPLE, 1)]].quantile(LONG)
    return errors > FAR * longest


def cut(play: Play, chance: Tensor) -> Play:
    """The same play, in which an episode ends before each of these transitions (N,) bool, and another begins after it:
    no window has one inside."""
    rows = torch.arange(len(chance))
    following = torch.where(chance, rows, len(chance)).flip(0).cummin(0).values.flip(0)  # the next one, or none
    return replace(play, remaining=torch.minimum(play.remaining, following - rows))
