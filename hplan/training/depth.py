"""How many levels of strides there are, and how long their steps: measured on play (`hplan.training.strides` has the
rule)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from hplan.levels.heads.conditioning import level_at
from hplan.levels.heads.landmarks import farthest_points, nearest_landmark
from hplan.levels.level import Level
from hplan.levels.sampling import moving
from hplan.play.play import Play
from hplan.types import ARRIVED

FARTHEST = 16  # steps of a level that prediction is checked over
SURE = 0.9  # of the windows have to be predicted that well
LONG_TRIP = 0.9  # quantile over pairs of places of the time between them
PLACES, SEEN = 200, 30_000  # that travel times are measured between, and latents that they are chosen from
LAYOUTS = 25  # at the most: times are between all places of a layout
CHECKED = 2048  # windows
WORTH = 4.0  # as for gaps between time scales: less is not worth a level


@torch.no_grad()
def reliable_horizon(level: Level, play: Play) -> int:
    """Steps n of the level after which open-loop prediction is still right. `play`: held out, as the level sees it. 1
    where it has no window to tell.

        e_n^2 - e_1^2  <=  max(arrived, e_1)^2     e_n: what nine windows in ten are off by at most, after n steps

    arrived: the distance at which the controller counts a subgoal as reached. Only what the error grows by counts: what
    a single step is off by is mostly what observations are, and no prediction mends that. Where it is more than the
    distance itself, it takes its place. The error has to stay small beside the way. Windows that hover say nothing.
    """
    stride = round(level.stride)
    ahead = min(FARTHEST, int(play.remaining.max()) // stride)
    if not ahead:
        return 1
    rows = play.starts(ahead * stride)
    rows = rows[(moving(play, stride) & moving(play, ahead * stride))[rows]]
    rows = rows[:: max(len(rows) // CHECKED, 1)]
    if not len(rows):
        return 1
    begin, here = level.encode(play.below[rows]), level_at(level, play, rows)
    z, noise, small, found = begin, 0.0, True, 0
    for step in range(ahead):
        _, end, macro = level.step_of_play(play, rows + step * stride)
        z = here.predict(z, macro)
        error = float(level.distance(z, end).quantile(SURE))
        noise = noise if step else error
        if error**2 - noise**2 > max(ARRIVED, noise) ** 2:
            break
        small = error <= ARRIVED * float(level.distance(begin, end).median())
        found = step + 1
    return max(found, 1) if small else 1


@torch.no_grad()
def travel_time(play: Play, seed: int) -> float:
    """Environment steps of a long trip between two places, by the quickest ways that play showed, stitched together.

    `play.below`: latents of level 0. Places are landmarks, in every layout others unless they are shared; an edge
    between two takes the median time that play took from entering one to entering the other.
    """
    generator = torch.Generator().manual_seed(seed)
    seen = play.below[torch.randint(len(play), (min(SEEN, len(play)),), generator=generator)]
    places = seen[farthest_points(seen, PLACES)]
    at = torch.cat([nearest_landmark(part, places) for part in play.below.split(65_536)]).numpy()
    goes_on = play.remaining.numpy()[:-1] > 0
    if play.layouts is not None and not play.places_are_shared:
        layout = play.layouts.of.numpy()
        some = torch.randperm(len(play.layouts.images), generator=generator)[:LAYOUTS].numpy()
        at, goes_on = at + PLACES * layout, goes_on & np.isin(layout[:-1], some)
    entered = np.flatnonzero((at[1:] != at[:-1]) & goes_on) + 1
    episode = np.concatenate([[0], np.cumsum(~goes_on)])
    same = episode[entered[:-1]] == episode[entered[1:]]
    first, second = entered[:-1][same], entered[1:][same]
    if not len(first):
        return 1.0
    start, end, time = _median_by_pair(at[first], at[second], second - first)
    known, number = np.unique([start, end], return_inverse=True)
    start, end = number.reshape(2, -1)
    count = len(known)
    times = dijkstra(csr_array((time.astype(float), (start, end)), shape=(count, count)))
    return float(np.quantile(times[np.isfinite(times) & (times > 0)], LONG_TRIP))


def _median_by_pair(first: np.ndarray, second: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, ...]:
    """(N,) each -> (P,) each: every pair once, with the median of its times."""
    order = np.lexsort((time, second, first))
    count = int(max(first.max(initial=0), second.max(initial=0))) + 1
    pair = first[order] * count + second[order]
    pairs, begin, times = np.unique(pair, return_index=True, return_counts=True)
    return pairs // count, pairs % count, time[order][begin + times // 2]


def worth_a_level(trip: float, ratio: int) -> bool:
    """Whether the next level makes search over a trip of that many steps cheap enough to be worth learning."""
    return trip**2 >= WORTH * ((trip / ratio) ** 2 + trip * ratio)
