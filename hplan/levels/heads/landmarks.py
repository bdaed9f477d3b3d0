"""Landmarks: a few real latents that lie about evenly over everything that play visited, and which follow one another.

They give search its notion of "near enough to be the same" (`WorldModel.keys`), and the landmark graph its nodes: a
memory of ways, from play and from acting, small enough to keep.

Source of the idea: planning on a graph of stored states (semi-parametric topological memory; Savinov et al., 2018,
arXiv 1803.00653; search on the replay buffer; Eysenbach et al., 2019, arXiv 1906.05253). Edges here are what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from hplan.levels.heads.conditioning import level_mostly
from hplan.types import ARRIVED

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

MOST = 255  # crossings and failures that an edge counts, and the largest number of a byte
CHUNK = 16_384  # latents that are looked at in one go
LANDMARKS = 1000  # of a graph, the first ones: of farthest points, the first ones lie about evenly too
OFTEN = 20  # crossings from which a way back should have been seen, if there is one
DETOUR = 3.0  # times as long as an edge that its way back may be
REVERSIBLE = 0.9  # share of the edges crossed often that have such a way back, from which all are taken back
POSSIBLE = 0.02  # least chance of a macro-action that is tried at a landmark
VOUCHED = 8  # crossings that play may vouch for at the most: an agent's own failures must not drown in it


def farthest_points(z: Tensor, count: int, radius: float = 0.0) -> Tensor:
    """(N, D) -> (K,) rows, K <= count, each the one farthest from those before; stops when all are within `radius`.

    Source: Gonzalez, 1985, "Clustering to minimize the maximum intercluster distance": at most twice the best radius.
    """
    chosen = [0]
    distance = (z - z[0]).square().sum(-1)
    while len(chosen) < min(count, len(z)):
        farthest = int(distance.argmax())
        if float(distance[farthest]) <= radius**2:
            break
        chosen.append(farthest)
        distance = torch.minimum(distance, (z - z[farthest]).square().sum(-1))
    return torch.tensor(chosen, device=z.device)


def nearest_landmark(z: Tensor, landmarks: Tensor) -> Tensor:
    """(B, D), (K, D) -> (B,) int64: the landmark that each latent is closest to."""
    landmarks = landmarks.to(z.dtype)
    scores = z @ landmarks.T - landmarks.square().sum(-1) / 2  # the largest score has the least distance
    return torch.from_numpy(scores.numpy(force=True).argmax(-1)).to(z.device)  # on one core in a tenth of torch's time


@dataclass(frozen=True, eq=False)
class LandmarkEdges:
    """Edges between the first `count` landmarks of a level, one entry in every array for each, sorted by their ends.

    start, end (E,) int16: numbers of landmarks. steps (E,) float16: steps of the level that it takes. macros (E,)
    int16: the code that did it. crossings, failures (E,) uint8: how often it was crossed, and how often an agent failed
    to. What nobody has crossed yet was concluded (`landmark_edges`).
    """

    count: int
    start: np.ndarray
    end: np.ndarray
    steps: np.ndarray
    macros: np.ndarray
    crossings: np.ndarray
    failures: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @classmethod
    def of(
        cls,
        count: int,
        start: np.ndarray,
        end: np.ndarray,
        steps: np.ndarray,
        macros: np.ndarray,
        crossings: np.ndarray,
        failures: np.ndarray,
    ) -> LandmarkEdges:
        """Of edges in any order. What is known of the same two landmarks is added up, and the quickest way counts."""
        best, first, order = quickest(start.astype(np.int64) * count + end, steps)
        seen, failed = (
            np.minimum(np.add.reduceat(times.astype(np.int64)[order], first), MOST).astype(np.uint8)
            for times in (crossings, failures)
        )
        ends, codes = (start[best].astype(np.int16), end[best].astype(np.int16)), macros[best].astype(np.int16)
        return cls(count, *ends, steps[best].astype(np.float16), codes, seen, failed)

    def joined(self, other: LandmarkEdges) -> LandmarkEdges:
        """What both know together."""
        names = [field.name for field in fields(self) if field.name != "count"]
        return self.of(self.count, *(np.concatenate([getattr(self, n), getattr(other, n)]) for n in names))

    def failed(self, start: int, end: int, times: int = 1) -> LandmarkEdges:
        """After the way from one landmark to another failed that many times; nothing changes where no edge is known."""
        failures = self.failures.copy()
        edge = (self.start == start) & (self.end == end)
        failures[edge] = np.minimum(failures[edge].astype(int) + times, MOST)
        return replace(self, failures=failures)

    def costs(self) -> np.ndarray:
        """(E,) float64: steps of the level, times the tries that an edge is expected to take.

        By Laplace's rule of succession, what was crossed c times and failed f times works with a chance of
        (c + 1) / (c + f + 2). So what nobody has crossed yet takes two tries and what is crossed often hardly more than
        one; what fails becomes dearer each time, and is never forbidden.
        """
        crossed, failed = self.crossings.astype(float), self.failures.astype(float)
        return self.steps.astype(float) * (crossed + failed + 2) / (crossed + 1)

    def tensors(self) -> dict[str, Tensor]:
        """As they are kept on disk: codes in one byte where that is enough."""
        kept = {field.name: torch.as_tensor(getattr(self, field.name)) for field in fields(self)}
        return kept | {"macros": kept["macros"].to(torch.uint8)} if self.macros.max(initial=0) <= MOST else kept

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> LandmarkEdges:
        arrays = {field.name: tensors[field.name].numpy() for field in fields(cls) if field.name != "count"}
        return cls(int(tensors["count"]), **arrays | {"macros": arrays["macros"].astype(np.int16)})


def quickest(pairs: np.ndarray, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,), (N,) -> the row of the least steps of every pair (P,), where each begins (P,) in the order (N,) by pair."""
    order = np.lexsort((steps, pairs))
    first = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    return order[first], first, order


@torch.no_grad()
def crossed(level: Level, count: int, z: Tensor, actions: Tensor, rows: Tensor) -> LandmarkEdges:
    """Edges that were crossed in steps of the level which begin at `rows` of a trajectory of latents z (N, D) and
    environment's actions (N, ...).

    A step leads from the landmark that is nearest to its begin to the one nearest to its end. It is taken to need as
    much longer than one step as its ends are off: the steps of a way add up to at least what the way takes. Moments in
    a row that say the same are one crossing.
    """
    stride = round(level.stride)
    assert level.landmarks is not None
    landmarks = level.landmarks[:count].to(z.dtype)
    at = torch.cat([nearest_landmark(part, landmarks) for part in z.split(CHUNK)])
    off = torch.cat([level.distance(*parts) for parts in zip(z.split(CHUNK), landmarks[at].split(CHUNK), strict=True)])
    moved = rows[at[rows] != at[rows + stride]]
    start, end, row = at[moved].numpy(), at[moved + stride].numpy(), moved.numpy()
    pairs, steps = start * count + end, (1 + off[moved] + off[moved + stride]).numpy()
    begins = (np.diff(row, prepend=-2) != 1) | (np.diff(pairs, prepend=-1) != 0)
    best, first, order = quickest(pairs, steps)
    chosen = moved[torch.from_numpy(best)]
    window = actions[chosen[:, None] + torch.arange(stride)]
    macros = level.macros.hindsight(level, z[chosen], z[chosen + stride], window)[0].numpy()
    crossings = np.add.reduceat(begins.astype(np.int64)[order], first)
    return LandmarkEdges.of(count, start[best], end[best], steps[best], macros, crossings, np.zeros_like(crossings))


@torch.no_grad()
def landmark_edges(level: Level, play: Play) -> LandmarkEdges:
    """Edges between landmarks of a level above 0; `play` is as it encodes it.

    Beyond what play showed, by this rule: where steps can be undone, every edge leads back too. Whether they can is
    measured (`reversibility`): a share of `REVERSIBLE` has to have a way back. Else the level's own model has to vouch
    for an edge: a macro-action that play showed to be possible at a landmark leads to within half a step of another one
    (what the controller counts as arrived), and the compatibility energy takes the two for a real step. Either kind
    counts as never crossed, so it costs two tries. Where layouts differ and places are shared, it is concluded for the
    most usual layout.
    """
    level = level_mostly(level, play)
    assert level.landmarks is not None
    count = min(LANDMARKS, len(level.landmarks.unique(dim=0)))  # what was left over repeats the last of them
    edges = crossed(level, count, play.below, play.actions, play.starts(round(level.stride)))
    more = _reversed(level, edges) if reversibility(edges) >= REVERSIBLE else _imagined(level, edges)
    return replace(edges, crossings=edges.crossings.clip(max=VOUCHED)).joined(more)


def reversibility(edges: LandmarkEdges) -> float:
    """Share of the edges crossed often from whose end other edges that were crossed lead back to its begin, by a way at
    most `DETOUR` times as long; 0 where there are none. Where landmarks are fine, hardly any way leads back over the
    very same two."""
    often = np.flatnonzero(edges.crossings >= OFTEN)
    if not len(often):
        return 0.0
    known = edges.crossings > 0
    steps = edges.steps.astype(float)
    size = int(max(edges.start.max(), edges.end.max())) + 1
    graph = csr_array((steps[known], (edges.start[known], edges.end[known])), shape=(size, size))
    ends, row = np.unique(edges.end[often], return_inverse=True)
    back = dijkstra(graph, indices=ends, limit=DETOUR * float(steps[often].max()))
    return float((back[row, edges.start[often]] <= DETOUR * steps[often]).mean())


def _reversed(level: Level, edges: LandmarkEdges) -> LandmarkEdges:
    """The ways back that are missing, by the macro-actions that are predicted to come nearest."""
    missing = ~np.isin(_pairs(edges.end, edges.start), _pairs(edges.start, edges.end))
    start, end = edges.end[missing], edges.start[missing]
    assert level.landmarks is not None
    z, following = (level.landmarks[torch.from_numpy(nodes.astype(int))].float() for nodes in (start, end))
    off = torch.stack([level.distance(_led(level, z, macro), following) for macro in range(level.macro.size)])
    return _concluded(edges.count, start, end, edges.steps[missing], off.argmin(0).numpy())


def _imagined(level: Level, edges: LandmarkEdges) -> LandmarkEdges:
    """Edges that the level's own model concludes."""
    assert level.landmarks is not None and level.compatibility is not None
    landmarks = level.landmarks[: edges.count].float()
    every, possible = torch.arange(edges.count), level.prior(landmarks).exp() >= POSSIBLE
    rows = []
    for macro in range(level.macro.size):
        following = _led(level, landmarks, macro)
        at = nearest_landmark(following, landmarks)
        off = level.distance(following, landmarks[at])
        real = level.compatibility(landmarks, landmarks[at]) <= 0
        kept = possible[:, macro] & (off <= ARRIVED) & real & (at != every)
        rows.append((every[kept], at[kept], 1 + off[kept], torch.full((int(kept.sum()),), macro)))
    start, end, steps, macros = (torch.cat(parts).numpy() for parts in zip(*rows, strict=True))
    new = ~np.isin(_pairs(start, end), _pairs(edges.start, edges.end))
    return _concluded(edges.count, start[new], end[new], steps[new], macros[new])


def _led(level: Level, z: Tensor, macro: int) -> Tensor:
    return level.predict(z, torch.full((len(z),), macro))


def _pairs(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return start.astype(np.int64) * LANDMARKS + end


def _concluded(count: int, start: np.ndarray, end: np.ndarray, steps: np.ndarray, macros: np.ndarray) -> LandmarkEdges:
    """Edges that nobody crossed."""
    none = np.zeros(len(start), np.int64)
    return LandmarkEdges.of(count, start, end, steps, macros, none, none)
