"""How long a step of the next level is, and whether it needs to be there: measured on play, decided by one rule.

Where time scales have gaps the gaps are the levels (`hplan.levels.timescales`). Numbers that drift have none. There the
level below says how far it can be trusted, and search says what a level saves:

- N, steps of level k on a long trip: `travel_time` over the stride of level k.
- R, the most steps after which level k's open-loop prediction is still where the controller would call it arrived.
- The next stride is r = min(R, sqrt(N)) steps of level k: as coarse as the level below can fill in, and no coarser than
  makes the plan above as long as the plans below.
- Where latents merge, a search of n steps looks at about n * n of them. Without the next level a trip costs N * N, with
  it (N / r)^2 above and N / r searches of r * r below. It is worth a level if that is `WORTH` times less.
- One that is trained and shrank to a point to be slow is left out after all, and none is above it: its steps lead
  nearly anywhere (`hplan.training.vector_stack`).
"""

from __future__ import annotations

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from hplan.control.course import ControlConfig
from hplan.levels.landmarks import farthest_points, nearest_landmark
from hplan.levels.vector import VectorLevel
from hplan.training.vector import Play, moving

FARTHEST = 16  # steps of a level that prediction is checked over
SURE = 0.9  # of the windows have to be predicted that well
LONG_TRIP = 0.9  # quantile over pairs of places of the time between them
PLACES = 200  # that travel times are measured between
SEEN = 30_000  # latents that places are chosen from
CHECKED = 2048  # windows
WORTH = 4.0  # as for gaps between time scales: less is not worth a level


@torch.no_grad()
def reliable_horizon(level: VectorLevel, play: Play) -> int:
    """Steps of the level after which open-loop prediction is still right: the error of nine windows in ten is below
    the distance at which the controller counts a subgoal as reached. `play`: held out, as the level sees it."""
    stride = round(level.stride)
    ahead = min(FARTHEST, int(play.remaining.max()) // stride)
    if not ahead:
        return 1
    rows = play.starts(ahead * stride)
    rows = rows[moving(play, stride)[rows]]
    rows = rows[:: max(len(rows) // CHECKED, 1)]
    z, here = level.encode(play.below[rows]), play.at(rows, level)
    for step in range(ahead if len(rows) else 0):
        at = rows + step * stride
        end = level.encode(play.below[at + stride])
        z = here.predict(z, hindsight(level, play, at, end))
        if float(level.distance(z, end).quantile(SURE)) > ControlConfig.subgoal_tolerance:
            return max(step, 1)
    return max(ahead, 1)


def hindsight(level: VectorLevel, play: Play, rows: Tensor, end: Tensor) -> Tensor:
    """The macro-actions (K, ...) that led from `rows` to the latents `end` one step of the level later."""
    if level.index == 0:
        return play.actions[rows]
    actions = play.actions[rows[:, None] + torch.arange(round(level.stride))]
    return level.codebook.nearest(level.describe(level.encode(play.below[rows]), end, actions))


@torch.no_grad()
def travel_time(play: Play, seed: int) -> float:
    """Environment steps of a long trip between two places, by the quickest ways that play showed, stitched together.

    `play.below`: latents of level 0. Places are landmarks, in every layout others; an edge between two takes the median
    time that play took from entering one to entering the other.
    """
    generator = torch.Generator().manual_seed(seed)
    some = play.below[torch.randint(len(play.below), (min(SEEN, len(play.below)),), generator=generator)]
    places = some[farthest_points(some, PLACES)]
    at = torch.cat([nearest_landmark(part, places) for part in play.below.split(65536)]).numpy()
    if play.layouts is not None:
        at = at + PLACES * play.layouts.of.numpy()
    goes_on = play.remaining.numpy()[:-1] > 0
    entered = np.flatnonzero((at[1:] != at[:-1]) & goes_on) + 1
    episode = np.concatenate([[0], np.cumsum(~goes_on)])
    same = episode[entered[:-1]] == episode[entered[1:]]
    first, second = entered[:-1][same], entered[1:][same]
    graph = nx.DiGraph()
    graph.add_weighted_edges_from(_median_by_pair(at[first], at[second], second - first))
    times = [t for _, found in nx.all_pairs_dijkstra_path_length(graph) for t in found.values() if t > 0]
    return float(np.quantile(times, LONG_TRIP)) if times else 1.0


def _median_by_pair(first: np.ndarray, second: np.ndarray, time: np.ndarray) -> list[tuple[int, int, float]]:
    order = np.lexsort((time, second, first))
    count = int(max(first.max(initial=0), second.max(initial=0))) + 1
    pair = first[order] * count + second[order]
    pairs, begin, times = np.unique(pair, return_index=True, return_counts=True)
    median = time[order][begin + times // 2]
    return [(int(p) // count, int(p) % count, float(t)) for p, t in zip(pairs, median, strict=True)]


def next_ratio(trip: float, reliable: int) -> int:
    """r: steps of a level in one step of the next; `trip`: N, of a long trip; `reliable`: R. At least 2."""
    return max(min(reliable, round(trip**0.5)), 2)


def worth_a_level(trip: float, ratio: int) -> bool:
    """Whether the next level makes search over a trip of that many steps cheap enough to be worth learning."""
    return trip**2 >= WORTH * ((trip / ratio) ** 2 + trip * ratio)
