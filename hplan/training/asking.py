"""Numbers of a vector that say what an episode asks for: where to be, say, beside where one is.

They stay the same in every episode and differ between episodes, and what comes next does not depend on them:

    error of a prediction that sees one  >  (1 - PAYS) * error of one that does not             for each other number

Level 0 hardly keeps what never changes: nothing that it predicts is told by it. As a mission it is kept as it is, and
levels that do not see it know one way for all targets.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from hplan.levels.encoders import standardised
from hplan.play.play import Play
from hplan.training.history import LEAST, errors, judged_on

FEWEST = 12  # episodes that succeeded, or were paid: fewer tell nothing of what was asked
MOST = 16  # numbers: more are a picture of what is in the way
PAYS = 0.02  # of the error: what tells nothing adds to it, in other episodes
SMALL = 0.02  # of how much a number changes: what is off by less is noise


def unchanging(play: Play) -> Tensor:
    """(D,) bool: numbers of observations (N, D) that stay the same within every episode, and differ between them."""
    seen, of = play.observations, play.episode[:, None].expand_as(play.observations)
    bounds = [
        torch.zeros(play.episodes, seen.shape[1], dtype=seen.dtype).scatter_reduce(0, of, seen, how, include_self=False)
        for how in ("amin", "amax")
    ]
    return (bounds[0] == bounds[1]).all(0) & (bounds[0] != bounds[0][:1]).any(0)


def varies(play: Play) -> bool:
    """Whether levels see numbers that are others in each episode, as a wind is. Octaves of them name the episode:
    latents that say nothing else are as far apart as objectives want, and are foretold, since they never change."""
    if play.observation_spec.kind != "vector":
        return False
    still = unchanging(play)
    still[list(play.asking)] = False
    return bool(still.any())


@torch.no_grad()
def asking(play: Play, seed: int) -> tuple[int, ...]:
    """Which numbers of observations say what an episode asks for; none where nothing succeeds or pays, where episodes
    are asked in another way, or where they may say how the world works."""
    if play.observation_spec.kind != "vector" or play.contexts is not None:
        return ()
    still, told = unchanging(play), play.success if play.success.any() else play.rewards != 0
    if not 0 < int(still.sum()) <= MOST or len(play.episode[told].unique()) < FEWEST:
        return ()
    rows, odd = judged_on(play, seed)
    if min(int(odd.sum()), int((~odd).sum())) < LEAST:
        return ()
    without = replace(play, observations=play.observations[:, ~still])
    judge = partial(errors, without, rows, odd, 1, seed)
    numbers, blind = standardised(play.observations[:, still].double())[rows], judge()
    tell = [bool(((blind > SMALL) & (judge(one[:, None]) < (1 - PAYS) * blind)).any()) for one in numbers.unbind(1)]
    found = tuple(torch.nonzero(still)[~torch.tensor(tell), 0].tolist())
    return found if play.missions in ((), play.asked_by(found).missions) else ()
