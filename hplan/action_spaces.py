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
_SAMPLES = 3.0, 5.0  # from the normal and the exponential that `Box.sample` draws from: 99.7 and 99.3 % lie within
SUPPORTED = (
    f"Discrete, MultiDiscrete, MultiBinary, integer Box, and Dict and Tuple of these, of at most {_MOST_ACTIONS} "
    "combinations; Box, and Dict and Tuple of Boxes"
)
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
    if leaves and all(isinstance(leaf, spaces.Box) and leaf.dtype.kind in "iuf" for leaf in leaves):
        return _numbers(space, leaves)
    raise unsupported(space, where, "action", SUPPORTED)


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
    ends = np.cumsum([math.prod(leaf.shape) for leaf in leaves])[:-1]

    def decode(action: Any) -> Any:
        parts = np.split(np.asarray(action).reshape(len(least)), ends)
        return _whole(space, iter([known[2](part) for known, part in zip(ranges, parts, strict=True)]))

    return ActionSpec("continuous", len(least), least, most), decode


def _range(space: spaces.Box) -> tuple[np.ndarray, np.ndarray, Decode]:
    """Least and greatest of each canonical number, float32 (n,), and the way back.

    Floats are as they are. Where a side has no bound, the range is where `Box.sample` draws from. From -1 to 1 in
    canonical form: whole numbers, which are rounded, and a Box whose width float32 cannot hold.
    """
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


def is_as_it_is(space: spaces.Box) -> bool:
    """Whether canonical actions of this Box are the environment's own numbers."""
    with np.errstate(over="ignore"):
        low, high = (bound.astype(np.float32) for bound in _finite(space))
        return space.dtype.kind == "f" and bool(np.isfinite(high - low).all())


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
