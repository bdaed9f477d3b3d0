"""The landmark graph of a level, from encoded play: the edges that play crossed, and those that may be concluded."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from hplan.control.course import ControlConfig
from hplan.levels.landmark_edges import LandmarkEdges, crossed
from hplan.levels.landmarks import nearest_landmark
from hplan.levels.vector import VectorLevel
from hplan.training.vector import Play

LANDMARKS = 1000  # that serve, the first ones: of farthest points, the first ones lie about evenly too
OFTEN = 20  # crossings from which a way back should have been seen, if there is one
DETOUR = 3.0  # times as long as an edge that its way back may be
REVERSIBLE = 0.9  # share of the edges crossed often that have such a way back, from which all are taken back
POSSIBLE = 0.02  # least chance of a macro-action that is tried at a landmark
VOUCHED = 8  # crossings that play may vouch for at the most: an agent's own failures must not drown in it


@torch.no_grad()
def landmark_edges(level: VectorLevel, play: Play) -> LandmarkEdges:
    """Edges between landmarks of a level above 0; `play` is as it encodes it (`encode_play`).

    Beyond what play showed, by this rule: where steps can be undone, every edge leads back too. Whether they can is
    measured (`reversibility`): a share of `REVERSIBLE` has to have a way back. Else the level's own model has to vouch
    for an edge: a macro-action that play showed to be possible at a landmark leads to within half a step of another one
    (what the controller counts as arrived), and the compatibility energy takes the two for a real step. Either kind
    counts as never crossed, so it costs two tries.
    """
    count = min(LANDMARKS, len(level.landmarks.unique(dim=0)))  # what was left over repeats the last of them
    edges = crossed(level, count, play.below, play.actions, play.starts(round(level.stride)))
    more = _reversed(level, edges) if reversibility(edges) >= REVERSIBLE else _imagined(level, edges)
    return replace(edges, crossings=edges.crossings.clip(max=VOUCHED)).joined(more)


def reversibility(edges: LandmarkEdges) -> float:
    """Share of the edges crossed often from whose end other edges that were crossed lead back to its begin, by a way at
    most `DETOUR` times as long; 0 where there are none. Where landmarks are fine, hardly any way leads back over the
    very same two."""
    graph = nx.DiGraph()
    crossed_ones = edges.crossings > 0
    steps = edges.steps.astype(float)
    ends = (array[crossed_ones].tolist() for array in (edges.start, edges.end, steps))
    graph.add_weighted_edges_from(zip(*ends, strict=True))
    often = np.flatnonzero(edges.crossings >= OFTEN)
    longest = DETOUR * float(steps[often].max(initial=0.0))
    found = 0
    for end in np.unique(edges.end[often]).tolist():
        back = nx.single_source_dijkstra_path_length(graph, end, cutoff=longest)
        own = often[edges.end[often] == end]
        found += sum(back.get(int(edges.start[edge]), np.inf) <= DETOUR * steps[edge] for edge in own)
    return float(found / len(often)) if len(often) else 0.0


def _reversed(level: VectorLevel, edges: LandmarkEdges) -> LandmarkEdges:
    """The ways back that are missing, by the macro-actions that are predicted to come nearest."""
    missing = ~np.isin(_pairs(edges.end, edges.start), _pairs(edges.start, edges.end))
    start, end = edges.end[missing], edges.start[missing]
    z, following = level.landmarks[start.astype(int)].float(), level.landmarks[end.astype(int)].float()
    off = torch.stack([level.distance(_led(level, z, macro), following) for macro in range(level.macro.size)])
    return _concluded(edges.count, start, end, edges.steps[missing], off.argmin(0).numpy())


def _imagined(level: VectorLevel, edges: LandmarkEdges) -> LandmarkEdges:
    """Edges that the level's own model concludes."""
    landmarks = level.landmarks[: edges.count].float()
    every, possible = torch.arange(edges.count), level.prior(landmarks).exp() >= POSSIBLE
    rows = []
    for macro in range(level.macro.size):
        following = _led(level, landmarks, macro)
        at = nearest_landmark(following, landmarks)
        off = level.distance(following, landmarks[at])
        real = level.compatibility(landmarks, landmarks[at]) <= 0
        kept = possible[:, macro] & (off <= ControlConfig.subgoal_tolerance) & real & (at != every)
        rows.append((every[kept], at[kept], 1 + off[kept], torch.full((int(kept.sum()),), macro)))
    start, end, steps, macros = (torch.cat(parts).numpy() for parts in zip(*rows, strict=True))
    new = ~np.isin(_pairs(start, end), _pairs(edges.start, edges.end))
    return _concluded(edges.count, start[new], end[new], steps[new], macros[new])


def _led(level: VectorLevel, z: Tensor, macro: int) -> Tensor:
    return level.predict(z, torch.full((len(z),), macro))


def _pairs(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return start.astype(np.int64) * LANDMARKS + end


def _concluded(count: int, start: np.ndarray, end: np.ndarray, steps: np.ndarray, macros: np.ndarray) -> LandmarkEdges:
    """Edges that nobody crossed."""
    none = np.zeros(len(start), np.int64)
    return LandmarkEdges.of(count, start, end, steps, macros, none, none)
