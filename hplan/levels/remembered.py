"""Answers that do not change, to questions in integers: what a level is asked again and again is worked out once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class Remembered:
    """Asked (B, N) integers, and how to answer some of these rows, it answers all, (B, *). `most`: answers that are
    kept; then it begins anew."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: dict[bytes, np.ndarray] = {}

    def __call__(self, asked: np.ndarray, answers: Callable[[list[int]], np.ndarray]) -> np.ndarray:
        """answers(rows): of K rows that were never asked before, (K, *)."""
        keys = [row.tobytes() for row in np.ascontiguousarray(asked)]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        if new:
            if len(self._known) + len(new) > self.most:
                self._known.clear()
                new = {key: row for row, key in enumerate(keys)}
            self._known |= dict(zip(new, answers(list(new.values())), strict=True))
        return np.stack([self._known[key] for key in keys]) if keys else answers([])
