"""What an episode asks for has one form, whatever an environment says it in, and what play never met is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hplan.reading import Numbers, Words, mission_of, read_again, reading_of, text_of
from hplan.types import UsageError


@pytest.mark.parametrize(
    ("said", "canonical"),
    [
        ("go left", "go left"),
        (np.str_("go left"), "go left"),
        (None, ""),
        ({"a": 1}, ""),
        ([[1], [2, 3]], ""),
        (np.array([]), ""),
        (3, "3"),
        (np.int64(3), "3"),
        (-1, "minus1"),
        (True, "1"),
        (np.array([2]), "2"),
        ([2, 0], "0_2 1_0"),
        (0.5, (0.5,)),
        (np.array([[0.5], [2.0]]), (0.5, 2.0)),
        ((0.5, 2.0), (0.5, 2.0)),
        (np.arange(100), tuple(map(float, range(100)))),
    ],
)
def test_every_way_to_say_it_has_one_form(said: Any, canonical: Any) -> None:
    assert mission_of(said) == canonical == mission_of(canonical)


def test_an_image_is_its_mean_colours() -> None:
    image = np.zeros((32, 48, 3), np.uint8)
    image[:16, :, 0] = 255
    fields = np.reshape(mission_of(image), (8, 8, 3))
    assert (fields[:4, :, 0] == 1).all() and (fields[4:] == 0).all() and (fields[..., 1:] == 0).all()
    assert mission_of(np.moveaxis(image, 2, 0)) == mission_of(image)
    assert len(mission_of(np.zeros((4, 20), np.uint8))) == 32


def test_numbers_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UsageError, match=r"mission \(1, nan\) is not finite"):
        mission_of([1.0, np.nan])


def test_episodes_that_all_ask_for_the_same_are_not_read() -> None:
    assert reading_of(["3"] * 4, [True] * 4) is None
    assert reading_of([(0.5,), (0.5,), ""], [True, False, False]) is None


def test_symbols_are_read_exactly() -> None:
    reading = reading_of(["0", "1", "2", "1"], [True, True, False, False])
    assert isinstance(reading, Words) and reading.words == ("0", "1", "2") and reading.met == ("0", "1")
    assert reading.code("1").tolist() == [0, 1, 0] and reading.code("").tolist() == [0, 0, 0]
    assert [reading.number(one) for one in ("0", "1", "2")] == [0, 1, 2]
    assert reading.apart(np.eye(3, dtype=np.float32)).sum() == 6
    assert reading.understood("1", "toy") == ("1", "")
    assert reading.understood("2", "toy") == (
        "2",
        "mission '2': play of toy asked for it, and it never succeeded there",
    )
    with pytest.raises(UsageError, match="mission '7': play of toy never met '7'; known words are 0, 1, 2"):
        reading.understood("7", "toy")
    with pytest.raises(UsageError, match=r"mission \(0.5\): play of toy asked in words, such as '0'"):
        reading.understood((0.5,), "toy")


def test_vectors_are_known_by_how_near_play_s_were() -> None:
    generator = np.random.default_rng(0)
    missions = [mission_of(row) for row in generator.uniform((0, 100), (1, 300), (500, 2))]
    reading = reading_of(missions, [True] * 500)
    assert isinstance(reading, Numbers) and reading.size == 3
    code = reading.code((0.5, 200.0))
    assert code[0] == 1 and np.abs(code[1:]).max() < 0.2 and not reading.code("").any()
    assert reading.understood((0.51, 203.0), "toy") == ((0.51, 203.0), "")
    read, said = reading.understood((0.5, 500.0), "toy")
    assert read in missions and read[1] > 270
    assert "mission (0.5, 500): play of toy never met one as near as" in said and text_of(read) in said
    with pytest.raises(UsageError, match="asked for 2 numbers"):
        reading.understood((1.0,), "toy")


def test_a_few_vectors_that_come_again_and_again_are_read_exactly() -> None:
    corners = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)]
    reading = reading_of(corners * 20, [True] * 60)
    assert isinstance(reading, Numbers) and reading.near == 0 and len(reading.met) == 3
    assert reading.understood((0.0, 1.0), "toy") == ((0.0, 1.0), "")
    assert reading.understood((0.1, 0.9), "toy")[0] == (0.0, 1.0)
    assert [reading.number(corner) for corner in corners] == [0, 1, 2] and reading.number((1.0, 1.0)) == 3


@pytest.mark.parametrize("missions", [["0", "1"], [(0.25, 1.0), (0.5, 1.0)]])
def test_a_reading_is_saved_and_read_again(missions: list[Any], tmp_path: Path) -> None:
    reading = reading_of(missions, [True, True])
    assert reading is not None
    again = read_again(*reading.saved())
    assert [again.code(one).tolist() for one in missions] == [reading.code(one).tolist() for one in missions]
    assert again.number(missions[1]) == 1 and again.understood(missions[0], "") == (missions[0], "")
