"""Answers that are worked out once."""

from __future__ import annotations

import numpy as np

from hplan.levels.remembered import Remembered


def test_each_question_is_answered_once() -> None:
    known, asked = Remembered(100), []

    def ask(*rows: tuple[int, int]) -> list[int]:
        values = np.array(rows).reshape(-1, 2)

        def answers(new: list[int]) -> np.ndarray:
            asked.extend(values[new].tolist())
            return values[new].sum(1)

        return known(values, answers).tolist()

    assert ask((1, 2), (3, 4), (1, 2)) == [3, 7, 3]
    assert ask((3, 4), (5, 6)) == [7, 11]
    assert ask() == []
    assert sorted(asked) == [[1, 2], [3, 4], [5, 6]]


def test_it_keeps_no_more_than_so_many_answers() -> None:
    known, asked = Remembered(2), 0
    for value in (1, 2, 3, 3, 1):

        def answers(new: list[int], value: int = value) -> np.ndarray:
            nonlocal asked
            asked += len(new)
            return np.array([[10 * value]] * len(new))

        assert known(np.array([[value]]), answers).tolist() == [[10 * value]]
    assert asked == 4, "the third did not fit, so that it began anew; the last had gone by then"
