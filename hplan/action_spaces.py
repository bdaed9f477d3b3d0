"""Action spaces in canonical form (the table is in hplan/codec.py): what each becomes, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from gymnasium import spaces

from hplan.encodings import counts_of, least_of, leaves_of, unsupported
from hplan.gym_spaces import parts_of
from hplan.types import ActionSpec

_MOST_ACTIONS = 256
_FAR = 1e3  # the largest bound, and one over the least range, with which actions of a Box are as they are
_SAMPLES = 3.0, 5.0  # from the normal and the exponential that `Box.sample` draws from: 99.7 and 99.3 % lie within
SUPPORTED = "Discrete, MultiDiscrete, MultiBinary, Box, and Dict and Tuple of these"
Decode = Callable[[Any], Any]  # a canonical action -> one of the space, as `sample()` gives it


def actions(space: spaces.Space, where: str) -> tuple[ActionSpec, Decode]:
    """What an action space of `where` becomes. Raises UsageError that names a space that is not supported."""
    if isinstance(space, spaces.Discrete):
        start, number = int(space.start), space.dtype.type
        return ActionSpec("discrete", int(space.n)), lambda action: number(int(action) + start)
    leaves = [leaf for _, leaf in leaves_of(space)]
    counts = [count for leaf in leaves if (count := counts_of(leaf)) is not None]
    if leaves and len(counts) == len(leaves):
        choices = [count for part in counts for count in part.ravel().tolist()]
        if math.prod(choices) <= _MOST_ACTIONS:
            return _combinations(space, leaves, counts, choices)
    if all(_is_box(leaf) or counts_of(leaf) is not None for leaf in leaves) and sum(map(_size, leaves)):
        return _numbers(space, leaves)
    raise unsupported(space, where, "action", SUPPORTED)


def _is_box(space: Any) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind in "iuf"


def _size(space: Any) -> int:
    return math.prod(space.shape)


def _combinations(
    space: spaces.Space, leaves: list[Any], counts: list[np.ndarray], choices: list[int]
) -> tuple[ActionSpec, Decode]:
    table = np.array(list(product(*map(range, choices))))
    ends = np.cumsum([count.size for count in counts])[:-1]

    def decode(action: Any) -> Any:
        chosen = np.split(table[int(action)], ends)
        parts = zip(leaves, counts, chosen, strict=True)
        return _whole(space, iter([_choice(leaf, part.reshape(count.shape)) for leaf, count, part in parts]))

    return ActionSpec("discrete", len(table)), decode


def _choice(space: Any, value: np.ndarray) -> Any:
    chosen = (value + least_of(space)).astype(space.dtype)
    return chosen[()] if isinstance(space, spaces.Discrete) else chosen


def _numbers(space: spaces.Space, leaves: list[Any]) -> tuple[ActionSpec, Decode]:
    ranges = [_range(leaf) for leaf in leaves]
    least, most = (tuple(np.concatenate(bounds).tolist()) for bounds in list(zip(*ranges, strict=True))[:2])
    ends = np.cumsum([_size(leaf) for leaf in leaves])[:-1]

    def decode(action: Any) -> Any:
        parts = np.split(np.asarray(action).reshape(len(least)), ends)
        return _whole(space, iter([known[2](part) for known, part in zip(ranges, parts, strict=True)]))

    counts = [counts_of(leaf) for leaf in leaves]
    parts = [np.zeros(_size(leaf), int) if n is None else n.ravel() for leaf, n in zip(leaves, counts, strict=True)]
    choices = tuple(np.concatenate(parts).tolist())
    return ActionSpec("continuous", len(least), least, most, choices=choices if any(choices) else ()), decode


def _range(space: Any) -> tuple[np.ndarray, np.ndarray, Decode]:
    """Least and greatest of each canonical number, float32 (n,), and the way back.

    Floats are as they are, up to a thousand. Where a side has no bound, the range is where `Box.sample` draws from.
    From -1 to 1 in canonical form: choices, which have equal parts of it; whole numbers, which are rounded; and a Box
    with larger bounds, or with a range of less than a thousandth.
    """
    if (counts := counts_of(space)) is not None:
        ones = np.ones(counts.size, np.float32)
        return -ones, ones, lambda action: _choice(space, _part(action, counts))
    low, high = _finite(space)
    if is_as_it_is(space):
        least, most = (bound.astype(np.float32).ravel() for bound in (low, high))
        return (
            least,
            most,
            lambda action: np.asarray(np.clip(np.reshape(np.asarray(action, space.dtype), space.shape), low, high)),
        )
    ones = np.ones(low.size, np.float32)
    first, last = low.astype(float), high.astype(float)

    def decode(action: Any) -> np.ndarray:
        share = (np.clip(np.asarray(action, float).reshape(space.shape), -1, 1) + 1) / 2
        value = first * (1 - share) + last * share  # never their difference, which may overflow
        if space.dtype.kind == "f":
            return np.asarray(np.clip(value, first, last), space.dtype)
        inside = np.rint(value) < last  # the largest int64 is no float
        return np.where(inside, np.where(inside, np.rint(value), 0).astype(space.dtype), high).astype(space.dtype)

    return -ones, ones, decode


def _part(action: Any, counts: np.ndarray) -> np.ndarray:
    """Which of so many equal parts of the range from -1 to 1 each number lies in."""
    share = (np.clip(np.asarray(action, float).reshape(counts.shape), -1, 1) + 1) / 2
    return np.minimum((share * counts).astype(np.int64), counts - 1)


def is_as_it_is(space: spaces.Box) -> bool:
    """Whether canonical actions of this Box are the environment's own numbers."""
    low, high = (bound.astype(float) for bound in _finite(space))
    near = (np.maximum(np.abs(low), np.abs(high)) <= _FAR).all() and (high - low >= 1 / _FAR).all()
    return space.dtype.kind == "f" and bool(near)


def canonical(space: spaces.Box, actions: np.ndarray) -> np.ndarray:
    """The inverse of the codec's `decode` for actions (T, ...) of a Box of floats: (T, A), in float64."""
    rows = np.asarray(actions, float).reshape(len(actions), -1)
    if is_as_it_is(space):
        return rows
    low, high = (bound.astype(float).ravel() / 2 for bound in _finite(space))  # halves, whose difference is finite
    middle, reach = low + high, high - low
    return np.where(reach > 0, (rows - middle) / np.where(reach > 0, reach, 1), 0.0)


def _finite(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    if space.dtype.kind != "f":
        return space.low, space.high
    both, one = _SAMPLES
    below, above = np.isfinite(space.low), np.isfinite(space.high)
    with np.errstate(invalid="ignore"):  # of the sides that are not taken
        low = np.where(below, space.low, np.where(above, space.high - one, -both))
        high = np.where(above, space.high, np.where(below, space.low + one, both))
    return low.astype(space.dtype), high.astype(space.dtype)


def stacked(space: spaces.Space, chosen: list[Any]) -> np.ndarray:
    """Actions of several environments as one array, (n, ...); of a Dict or a Tuple, n objects."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return np.stack(chosen)
    rows = np.empty(len(chosen), object)
    rows[:] = chosen
    return rows


def _whole(space: spaces.Space, parts: Any) -> Any:
    """The values of the leaves, in turn, as one of the space."""
    if isinstance(space, spaces.Dict):
        return {key: _whole(part, parts) for key, part in parts_of(space).items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_whole(part, parts) for part in parts_of(space).values())
    return next(parts)
