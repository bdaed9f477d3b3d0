"""Gymnasium spaces in hplan's canonical form: what each becomes, and which are not supported.

Observations
    Discrete                              symbols (1, 1, 1)
    MultiDiscrete, MultiBinary, small     symbols (1, 1, n): one cell with n features, where at most 4,096 combinations
        integer Box, of n numbers             exist; else (1, n, 2): a row of n cells, each its value and its place
    MultiBinary, small integer Box        symbols (H, W, 1) from shape (H, W), (H, W, F) from shape (H, W, F)
    Box of floats, or integers in 1-D     vector, flattened
    Dict or Tuple of the above            symbols (1, 1, n) where all are discrete, else a vector (discrete: one-hot)
    Dict of a GoalEnv                     see hplan/worlds/gymnasium.py
Actions
    Discrete; MultiDiscrete and MultiBinary as the product of their choices, at most 256; Box with finite bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from gymnasium import spaces

from hplan.types import ActionSpec, ObservationSpec, UsageError

_MOST_VALUES = 64  # of one symbol of an integer Box: more are measurements or pixels
_MOST_COMBINATIONS = 4096  # of the features of a single cell
_MOST_NUMBERS = 4096  # of a vector: more are images, and need an encoder of their own
_MOST_ACTIONS = 256
SUPPORTED = (
    "Discrete, MultiDiscrete, MultiBinary, integer Box of shape (H, W) or (H, W, F) with at most "
    f"{_MOST_VALUES} values, Box of at most {_MOST_NUMBERS} floats, Dict and Tuple of these, GoalEnv's Dict"
)
SUPPORTED_ACTIONS = (
    f"Discrete, MultiDiscrete and MultiBinary of at most {_MOST_ACTIONS} combinations, Box with finite bounds"
)


@dataclass(frozen=True)
class Observations:
    """`encode` turns an observation of the space into the canonical form of `spec`; ValueError where it is outside."""

    spec: ObservationSpec
    encode: Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class Actions:
    """`decode` turns a canonical action of `spec` into one of the space."""

    spec: ActionSpec
    decode: Callable[[Any], Any]


def observations(space: spaces.Space, where: str) -> Observations:
    """The canonical form of an observation space of `where`. Raises UsageError that names the space."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return _composite(space, where)
    choices = _choices(space)
    if choices is not None and choices.ndim <= 1:
        return _cell_or_row(choices.ravel(), _offset(space).ravel())
    if choices is not None and choices.ndim in (2, 3):
        return _grid(choices, _offset(space))
    if isinstance(space, spaces.Box) and _are_measurements(space):
        return _vector(space)
    raise UsageError(f"{where}: observation space {space} is not supported; supported: {SUPPORTED}")


def actions(space: spaces.Space, where: str) -> Actions:
    """The canonical form of an action space of `where`. Raises UsageError that names the space."""
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return Actions(ActionSpec("discrete", int(space.n)), lambda action: int(action) + start)
    choices = _choices(space) if isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary) else None
    if choices is not None:
        counts = choices.ravel().tolist()
        if math.prod(counts) <= _MOST_ACTIONS:
            combinations = np.array(list(product(*map(range, counts)))).reshape(-1, *choices.shape)
            table = (combinations + _offset(space)).astype(space.dtype)
            return Actions(ActionSpec("discrete", len(table)), lambda action: table[int(action)])
    if isinstance(space, spaces.Box) and space.dtype.kind == "f" and np.isfinite([space.low, space.high]).all():
        low, high, shape = space.low.astype(np.float32), space.high.astype(np.float32), space.shape
        bounds = tuple(low.ravel().tolist()), tuple(high.ravel().tolist())
        spec = ActionSpec("continuous", low.size, *bounds)
        return Actions(spec, lambda a: np.clip(np.reshape(a, shape), low, high).astype(space.dtype))
    raise UsageError(f"{where}: action space {space} is not supported; supported: {SUPPORTED_ACTIONS}")


def _are_measurements(space: spaces.Box) -> bool:
    floats = space.dtype.kind == "f" or len(space.shape) <= 1  # integers in rows and columns would be an image
    return floats and math.prod(space.shape) <= _MOST_NUMBERS


def _choices(space: spaces.Space) -> np.ndarray | None:
    """How many values each number of a discrete space has, in its shape; None where the space is no such one."""
    if isinstance(space, spaces.Discrete):
        return np.array(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return np.asarray(space.nvec, np.int64)
    if isinstance(space, spaces.MultiBinary):
        return np.full(space.shape, 2)
    if isinstance(space, spaces.Box) and space.dtype.kind in "iub":
        choices = space.high.astype(np.int64) - space.low.astype(np.int64) + 1
        return choices if choices.max(initial=0) <= _MOST_VALUES else None
    return None


def _offset(space: spaces.Space) -> np.ndarray:
    """The least value of each number of a discrete space."""
    if isinstance(space, spaces.Box):
        return space.low.astype(np.int64)
    return np.asarray(getattr(space, "start", 0), np.int64)


def _cell_or_row(choices: np.ndarray, offset: np.ndarray) -> Observations:
    n = len(choices)
    as_cell = n <= 16 and (n == 1 or math.prod(choices.tolist()) <= _MOST_COMBINATIONS)
    cardinalities = tuple(choices.tolist()) if as_cell else (int(choices.max()), n)
    dtype, place = _dtype(cardinalities), np.arange(n)

    def encode(value: Any) -> np.ndarray:
        numbers = _within(np.ravel(np.asarray(value)) - offset, choices, value)
        if as_cell:
            return numbers.astype(dtype).reshape(1, 1, n)
        return np.stack([numbers, place], axis=-1).astype(dtype)[None]

    return Observations(ObservationSpec("symbols", (1, 1, n) if as_cell else (1, n, 2), cardinalities), encode)


def _grid(choices: np.ndarray, offset: np.ndarray) -> Observations:
    shape = choices.shape if choices.ndim == 3 else (*choices.shape, 1)
    cardinalities = tuple(choices.reshape(shape).max(axis=(0, 1)).tolist())
    dtype = _dtype(cardinalities)

    def encode(value: Any) -> np.ndarray:
        return _within(np.asarray(value) - offset, choices, value).astype(dtype).reshape(shape)

    return Observations(ObservationSpec("symbols", shape, cardinalities), encode)


def _vector(space: spaces.Box) -> Observations:
    size = math.prod(space.shape)

    def encode(value: Any) -> np.ndarray:
        vector = np.array(value, np.float32).ravel()  # a copy: some environments write into what they returned
        if vector.size != size:
            raise ValueError(f"observation of {vector.size} numbers, the space {space} has {size}")
        return vector

    return Observations(ObservationSpec("vector", (size,)), encode)


def _composite(space: spaces.Dict | spaces.Tuple, where: str) -> Observations:
    """Where all parts are discrete they become features of one cell, else everything one vector."""
    entries: dict[Any, spaces.Space] = dict(space.items() if isinstance(space, spaces.Dict) else enumerate(space))
    for key, part in entries.items():
        observations(part, f"{where}, part {key!r}")  # says which part is not supported
    choices = [c for part in entries.values() if (c := _choices(part)) is not None]
    if entries and len(choices) == len(entries):
        offsets = [np.broadcast_to(_offset(e), c.shape).ravel() for e, c in zip(entries.values(), choices, strict=True)]
        joined = _cell_or_row(np.concatenate([c.ravel() for c in choices]), np.concatenate(offsets))
        return Observations(joined.spec, lambda v: joined.encode(np.concatenate([np.ravel(v[key]) for key in entries])))
    if not space.is_np_flattenable:
        raise UsageError(f"{where}: observation space {space} is not supported; supported: {SUPPORTED}")
    flat = spaces.flatten_space(space)
    assert isinstance(flat, spaces.Box), flat  # what is_np_flattenable says
    vector = _vector(flat)
    return Observations(vector.spec, lambda value: vector.encode(spaces.flatten(space, value)))


def _within(numbers: np.ndarray, choices: np.ndarray, value: Any) -> np.ndarray:
    if numbers.shape != choices.shape or (numbers < 0).any() or (numbers >= choices).any():
        raise ValueError(f"observation {value!r} is outside its space")
    return numbers


def _dtype(cardinalities: tuple[int, ...]) -> type[np.generic]:
    return np.uint8 if max(cardinalities) <= 256 else np.int64
