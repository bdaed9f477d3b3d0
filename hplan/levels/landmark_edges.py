"""Which landmarks of a level follow one another: a memory of ways, from play and from acting, small enough to keep.

Source of the idea: planning on a graph of stored states (semi-parametric topological memory; Savinov et al., 2018,
arXiv 1803.00653; search on the replay buffer; Eysenbach et al., 2019, arXiv 1906.05253). Edges here are what was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from hplan.levels.landmarks import nearest_landmark

if TYPE_CHECKING:  # a grid agent never loads what a maze needs
    from hplan.levels.vector import VectorLevel

MOST = 255  # crossings and failures that an edge counts, and the largest number of a byte
CHUNK = 16_384  # latents that are looked at in one go


@dataclass(frozen=True, eq=False)
class LandmarkEdges:
    """Edges between the first `count` landmarks of a level, one entry in every array for each, sorted by their ends.

    start, end (E,) int16: numbers of landmarks. steps (E,) float16: steps of the level that it takes. macros (E,)
    int16: the code that did it. crossings, failures (E,) uint8: how often it was crossed, and how often an agent failed
    to. What nobody has crossed yet was concluded (`hplan.training.landmark_edges`).
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
def crossed(level: VectorLevel, count: int, z: Tensor, actions: Tensor, rows: Tensor) -> LandmarkEdges:
    """Edges that were crossed in steps of the level which begin at `rows` of a course of latents z (N, D) and
    environment's actions (N, ...).

    A step leads from the landmark that is nearest to its begin to the one nearest to its end. It is taken to need as
    much longer than one step as its ends are off: the steps of a way add up to at least what the way takes. Moments in
    a row that say the same are one crossing.
    """
    stride = round(level.stride)
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
    macros = level.codebook.nearest(level.describe(z[chosen], z[chosen + stride], window)).numpy()
    crossings = np.add.reduceat(begins.astype(np.int64)[order], first)
    return LandmarkEdges.of(count, start[best], end[best], steps[best], macros, crossings, np.zeros_like(crossings))
