"""Answers that do not change, to questions in integers: what a level is asked again and again is worked out once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FIRST = 64  # answers that there is room for at first; then twice as many, and so on
Answers = Callable[[list[int]], np.ndarray]


class Remembered:
    """Asked (B, N) integers, and how to answer some of these rows, it answers all, (B, *), in a shape that is a matter
    of N. `most`: answers that are kept, for each N; then it begins anew."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._tables: dict[int, _Table] = {}

    def __call__(self, asked: np.ndarray, answers: Answers) -> np.ndarray:
        """answers(rows): of K rows that were never asked before, (K, *)."""
        if not len(asked):
            return answers([])
        asked = np.ascontiguousarray(asked)
        keys = asked.view(f"V{asked[0].nbytes}")[:, 0].tolist()
        return self._tables.setdefault(asked[0].nbytes, _Table(self.most)).look_up(keys, answers)


class _Table:
    """`number` of each question, in the order in which they came: the row of its answer. There is room for more."""

    def __init__(self, most: int) -> None:
        self.most, self.number = most, dict[bytes, int]()
        self.answers = np.empty(0)

    def look_up(self, keys: list[bytes], answers: Answers) -> np.ndarray:
        if new := {key: row for row, key in enumerate(keys) if key not in self.number}:
            if len(self.number) + len(new) > self.most:
                self.number.clear()
                new = {key: row for row, key in enumerate(keys)}
            self._keep(list(new), answers(list(new.values())))
        return self.answers[[self.number[key] for key in keys]]

    def _keep(self, keys: list[bytes], answers: np.ndarray) -> None:
        begin, end = len(self.number), len(self.number) + len(keys)
        if end > len(self.answers):
            known = self.answers[:begin]
            self.answers = np.empty((max(2 * begin, end, FIRST), *answers.shape[1:]), answers.dtype)
            if begin:
                self.answers[:begin] = known
        self.answers[begin:end] = answers
        self.number |= dict(zip(keys, range(begin, end), strict=True))
