"""Levels from time scales: which symbols turn into one another quickly, and are therefore one symbol further up.

Count, from play, how often one cell code turns into another; link codes by their rate; the links of the maximum
spanning tree, sorted, are a spectrum of time scales. Its gaps are the levels: above a gap, codes that are linked faster
than it are one symbol, and a step of that level lasts until a symbol changes (an *event*). Single linkage on rates is
the count form of the metastable sets that VAMP-2 (Wu and Noe, 2020) finds as slow singular functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import numpy as np

SMALLEST_GAP = 4.0  # a ratio of neighbouring rates below this is noise of counting, not a separation of time scales


@dataclass(frozen=True)
class Cut:
    """Codes joined above a rate. `merge[c]` is the symbol of code c; `rate` is per step; `gap` the ratio it spans."""

    merge: np.ndarray
    rate: float
    gap: float

    @property
    def symbols(self) -> int:
        return int(self.merge.max()) + 1


def transition_rates(codes: np.ndarray, starts: np.ndarray, size: int) -> np.ndarray:
    """(size, size): the chance per step that a cell of code i has code j one step later, from index maps (N, H, W).

    `starts`: indices t for which t + 1 is the next observation of the same episode.
    """
    counts = np.zeros(size * size, np.int64)
    for part in np.array_split(starts, max(len(starts) // 8192, 1)):
        pairs = codes[part].astype(np.int64) * size + codes[part + 1]
        counts += np.bincount(pairs.ravel(), minlength=size * size)
    counts = counts.reshape(size, size)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def spectrum(rates: np.ndarray) -> list[tuple[float, int, int]]:
    """Links (rate, i, j) of the maximum spanning forest of the symmetric rates, fastest first."""
    both = np.maximum(rates, rates.T)
    graph = nx.Graph()
    graph.add_nodes_from(range(len(rates)))
    graph.add_weighted_edges_from((i, j, float(both[i, j])) for i, j in zip(*np.nonzero(np.triu(both, 1)), strict=True))
    return sorted(((d["weight"], i, j) for i, j, d in nx.maximum_spanning_edges(graph)), reverse=True)


def cuts(rates: np.ndarray, smallest_gap: float = SMALLEST_GAP) -> list[Cut]:
    """Every separation of time scales, the fastest first: each is a candidate for a level of its own.

    A cut keeps at least one link below it (something must still happen) and one above it (something must be dropped).
    """
    links = spectrum(rates)
    found = []
    for above in range(1, len(links)):
        upper, lower = links[above - 1][0], links[above][0]
        if upper / lower < smallest_gap:
            continue
        graph = nx.Graph()
        graph.add_nodes_from(range(len(rates)))
        graph.add_edges_from((i, j) for _, i, j in links[:above])
        _join_dead_ends(graph, rates)
        merge = np.zeros(len(rates), np.int64)
        for symbol, members in enumerate(nx.connected_components(graph)):
            merge[list(members)] = symbol
        found.append(Cut(merge, float(np.sqrt(upper * lower)), float(upper / lower)))
    return found


def _join_dead_ends(graph: nx.Graph, rates: np.ndarray) -> None:
    """Codes that nothing follows are one symbol if they came from one: they have the same past and the same future."""
    symbol = {code: i for i, members in enumerate(nx.connected_components(graph)) for code in members}
    first: dict[int, int] = {}
    for code in np.flatnonzero((rates.sum(1) == 0) & (rates.sum(0) > 0)).tolist():
        graph.add_edge(code, first.setdefault(symbol[int(rates[:, code].argmax())], code))
