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


def test_questions_of_any_length_and_many_of_them() -> None:
    known = Remembered(10_000)
    for width in (1, 3):
        asked = np.arange(600).reshape(-1, width)
        for rows in np.split(asked, [7, 50, 100]):
            assert (known(rows, lambda new, rows=rows: rows[new] * 2) == rows * 2).all()
        assert (known(asked, lambda new: np.zeros((len(new), 1))) == asked * 2).all(), "none is asked again"
