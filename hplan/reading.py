"""What an episode asks for, in canonical form, and as numbers that heads read beside a latent.

    an environment says           canonical                                code (K,)
    words                         text                                     a bag of words: their order tells nothing
    a symbol, or several          text: "3", or "0_3 1_0" by place         the same
    a vector of floats            a tuple of floats                        1, and the numbers by their deviation
    an image                      such a tuple: mean colours of up to      the same
                                      8 x 8 fields

Whole numbers are symbols, of which nothing is known that play never met; where nearness means something, give floats.
A code of zeros is no mission. Codes are made of what play asked for, and no vocabulary is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hplan.types import Mission, UsageError

READABLE = 0.75  # share of a mission's words that play has to have met, or it is read as one that is like it
SYMBOLS = 64  # whole numbers at the most that are words; more are a vector
FIELDS = 8  # across an image
FARTHEST, BEYOND = 0.99, 2.0  # so many of play's missions have another one as near; and times that are strange
REMEMBERED = 4096  # vectors of play at the most, that tell which are strange


def mission_of(value: Any) -> Mission:
    """What an environment or a caller says, in canonical form; "" for None, and for what is none of these.

    Raises UsageError for numbers that are not finite."""
    if isinstance(value, str):
        return str(value)
    try:
        array = np.asarray([] if value is None else value)
    except ValueError:  # rows of several lengths
        return ""
    if not array.size or array.dtype.kind not in "biuf":
        return ""
    image = array.dtype == np.uint8 and array.ndim in (2, 3) and array.size > SYMBOLS
    if array.dtype.kind != "f" and array.size <= SYMBOLS:
        numbers = [_word(number) for number in array.ravel().tolist()]
        return numbers[0] if len(numbers) == 1 else " ".join(f"{i}_{word}" for i, word in enumerate(numbers))
    numbers = _fields(array) if image else array.astype(np.float32).ravel()
    if not np.isfinite(numbers).all():
        raise UsageError(f"mission {text_of(tuple(numbers.tolist()))} is not finite")
    return tuple(numbers.tolist())


def text_of(mission: Mission) -> str:
    """For messages: numbers in brackets, of which there may be many."""
    if isinstance(mission, str):
        return mission
    shown = ", ".join(f"{number:.4g}" for number in mission[:6])
    return f"({shown}{', ...' * (len(mission) > 6)})"


def words_of(mission: str) -> list[str]:
    """In lower case, in order."""
    return re.findall(r"\w+", mission.lower())


def _word(number: int | bool) -> str:
    return str(int(number)) if number >= 0 else f"minus{-number}"


def _fields(image: np.ndarray) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) bytes -> mean colours, from 0 to 1, of fields of about the same size, one after
    the other."""
    if image.ndim == 3 and image.shape[0] < image.shape[2]:
        image = np.moveaxis(image, 0, 2)
    for axis in (0, 1):
        parts = np.array_split(image.astype(np.float32), min(FIELDS, image.shape[axis]), axis)
        image = np.concatenate([part.mean(axis, keepdims=True) for part in parts], axis)
    return (image / 255).ravel()


@dataclass(frozen=True)
class Words:
    """Missions of words. words: those of play, sorted; met: missions that succeeded in play, or all where none did."""

    words: tuple[str, ...]
    met: tuple[str, ...]

    @property
    def size(self) -> int:
        """Numbers of a code."""
        return len(self.words)

    def code(self, mission: Mission) -> np.ndarray:
        """(K,) float32: 1 for each word of the vocabulary that the mission has."""
        there = set(words_of(str(mission)))
        return np.array([word in there for word in self.words], np.float32)

    def understood(self, mission: Mission, task: str) -> tuple[Mission, str]:
        """The mission by which an agent goes, and what is to be said of it, "" for nothing.

        Words that play never met are left out. Where they are more than a quarter, it is the mission of play that is
        most like it. Raises UsageError where they are all, and for numbers."""
        if not isinstance(mission, str):
            raise UsageError(f"mission {text_of(mission)}: play of {task} asked in words, such as {self.met[0]!r}")
        asked = sorted(set(words_of(mission)))
        strange = [word for word in asked if word not in self.words]
        if not strange:
            tried = {word for other in self.met for word in words_of(other)}
            if asked and tried.isdisjoint(asked):
                return mission, f"mission {mission!r}: play of {task} asked for it, and it never succeeded there"
            return mission, ""
        what = (
            f"mission {mission!r}: play of {task} never met {', '.join(map(repr, strange))}; known words are "
            f"{', '.join(self.words)}"
        )
        if len(strange) == len(asked):
            raise UsageError(what)
        if len(strange) <= (1 - READABLE) * len(asked):
            return mission, f"{what}. The agent goes by the others"
        like = self.nearest(mission)
        return like, f"{what}. The agent goes by the mission of play that is most like it, {like!r}"

    def nearest(self, mission: str) -> str:
        """The mission that succeeded in play and has most words in common with this one, of those that either has
        (Jaccard, 1901); itself where there is none."""
        asked = set(words_of(mission))

        def alike(other: str) -> float:
            words = set(words_of(other))
            return len(asked & words) / len(asked | words)

        return max(self.met, key=alike, default=mission)

    def apart(self, codes: np.ndarray) -> np.ndarray:
        """(M, K) -> (M, M) bool: which missions share no word, but for those that all have. What is success of one is
        none of the other."""
        own = codes * (codes.mean(0) < 1)
        return own @ own.T == 0

    def saved(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As plain values and as arrays."""
        return {"kind": "words", "words": list(self.words), "met": list(self.met)}, {}

    @cached_property
    def _numbers(self) -> dict[Mission, int]:
        return {mission: i for i, mission in enumerate(self.met)}

    def number(self, mission: Mission) -> int:
        """Which of `met` it is; one after the last for any other."""
        return self._numbers.get(mission, len(self.met))


@dataclass(frozen=True, eq=False)
class Numbers:
    """Missions that are vectors (D,) float32. mean, scale (D,): of play's. met (M, D): play's, each once; near: how far
    one of them is from the next, at the most, in deviations."""

    mean: np.ndarray
    scale: np.ndarray
    met: np.ndarray
    near: float

    @classmethod
    def of(cls, missions: np.ndarray) -> Numbers:
        """missions (E, D): of play's episodes."""
        mean, deviation = missions.mean(0), missions.std(0)
        scale = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1), deviation, 1).astype(np.float32)
        some = missions[np.linspace(0, len(missions) - 1, min(len(missions), REMEMBERED)).astype(int)]
        gaps = _distances(some / scale, some / scale)
        np.fill_diagonal(gaps, np.inf)
        near = float(np.quantile(gaps.min(1), FARTHEST)) if len(some) > 1 else 0.0
        return cls(mean, scale, np.unique(some, axis=0), near)

    @property
    def size(self) -> int:
        """Numbers of a code."""
        return len(self.mean) + 1

    def code(self, mission: Mission) -> np.ndarray:
        """(K,) float32: 1, to tell it from none, and the numbers in units of their deviation; zeros for none."""
        if not mission:
            return np.zeros(self.size, np.float32)
        return np.concatenate([[1], (np.array(mission) - self.mean) / self.scale]).astype(np.float32)

    def understood(self, mission: Mission, task: str) -> tuple[Mission, str]:
        """The mission by which an agent goes, and what is to be said of it, "" for nothing.

        One that is farther from all of play's than these are from each other is read as the nearest of them. Raises
        UsageError for one of another size, and for words."""
        if isinstance(mission, str) or len(mission) != len(self.mean):
            raise UsageError(f"mission {text_of(mission)}: play of {task} asked for {len(self.mean)} numbers")
        away = _distances(np.array([mission], np.float32) / self.scale, self.met / self.scale)[0]
        if away.min() <= BEYOND * self.near + 1e-4:
            return mission, ""
        like = tuple(self.met[away.argmin()].tolist())
        met = f"one as near as {BEYOND * self.near:.2g} deviations" if self.near else "it"
        return like, (
            f"mission {text_of(mission)}: play of {task} never met {met}. The agent goes by the nearest of play, "
            f"{text_of(like)}, {away.min():.2g} deviations away"
        )

    def apart(self, codes: np.ndarray) -> np.ndarray:
        """(M, K) -> (M, M) bool: none. What is success of one may be that of another."""
        return np.zeros((len(codes), len(codes)), bool)

    def saved(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """As plain values and as arrays."""
        return {"kind": "numbers", "near": self.near}, {"mean": self.mean, "scale": self.scale, "met": self.met}

    @cached_property
    def _numbers(self) -> dict[Mission, int]:
        return {tuple(mission): i for i, mission in enumerate(self.met.tolist())}

    def number(self, mission: Mission) -> int:
        """Which of `met` it is; one after the last for any other."""
        return self._numbers.get(mission, len(self.met))


Reading = Words | Numbers


def reading_of(missions: Sequence[Mission], succeeded: Iterable[bool]) -> Reading | None:
    """How missions of play, one an episode, are read; None where all episodes ask for the same, which tells nothing.
    succeeded: which of the episodes did."""
    asked = {mission for mission in missions if mission}
    if len(asked) < 2:
        return None
    texts = {mission for mission in asked if isinstance(mission, str)}
    if not texts:
        return Numbers.of(np.array([mission for mission in missions if mission], np.float32))
    met = {text for text, success in zip(missions, succeeded, strict=True) if success and isinstance(text, str)} - {""}
    words = {word for text in texts for word in words_of(text)}
    return Words(tuple(sorted(words)), tuple(sorted(met or texts)))


def read_again(saved: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Reading:
    """The inverse of `saved`. Raises KeyError for another table."""
    if saved["kind"] == "words":
        return Words(tuple(saved["words"]), tuple(saved["met"]))
    return Numbers(arrays["mean"], arrays["scale"], arrays["met"], float(saved["near"]))


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, D), (M, D) -> (N, M)."""
    squares = (points**2).sum(1)[:, None] + (others**2).sum(1) - 2 * points @ others.T
    return np.sqrt(np.maximum(squares, 0))
