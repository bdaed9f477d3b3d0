"""Observation spaces in canonical form (the table is in hplan/codec.py): what each becomes, and how its values do."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

from hplan.gym_spaces import GOAL_KEYS, is_goal_space, line, parts_of
from hplan.types import ObservationSpec, UsageError, rows_beside

_MOST_VALUES = 64  # of one symbol of an integer Box: more are measurements or pixels
_MOST_COMBINATIONS = 4096  # of the features of a single cell
_MOST_NUMBERS = 4096  # of a vector: more are images, and need an encoder of their own
_MOST_CELLS = 4096  # of a grid, whatever features they have
_SMALLEST_IMAGE = 16  # pixels across: what is smaller is a grid of numbers
_SMALLEST_PICTURE = 32  # of zeros and ones: what is smaller is a board
_ROUNDING = 1e-3  # of floats of an image, beyond their bounds
_CHANNELS = 24  # of an image at the most: eight frames in colour
SUPPORTED = (
    "Discrete, MultiDiscrete, MultiBinary, integer Box of shape (H, W) or (H, W, F) with at most "
    f"{_MOST_VALUES} values and {_MOST_CELLS} cells, Box of at most {_MOST_NUMBERS} floats, images (Box of uint8 from "
    f"0 to 255, or of floats from 0 to 1, of shape (H, W, C) or (C, H, W), {_SMALLEST_IMAGE} pixels across or more; "
    f"zeros and ones, {_SMALLEST_PICTURE} or more), Dict and Tuple of these with one image at most, GoalEnv's Dict"
)

_BOUNDS = "it holds numbers that are out of bounds"
# An observation -> its canonical form, of vectors in float64; ValueError where it is outside its space
Encode = Callable[[Any], np.ndarray]


def observations(space: spaces.Space, where: str) -> tuple[ObservationSpec, Encode]:
    """What an observation space of `where` becomes. Raises UsageError that names a space that is not supported."""
    if is_goal_space(space):
        return _goal(space, where)
    if isinstance(space, spaces.Dict | spaces.Tuple):
        return _composite(space, where)
    counts = counts_of(space)
    if (channels := _image_channels(space, counts)) is not None:
        return _image(space, channels)
    if (frames := _stacked(space)) is not None:
        return frames
    if counts is not None and counts.ndim <= 1 and counts.size:
        return _cell_or_row(counts.ravel(), lambda value: _numbered(space, counts, value))
    if counts is not None and counts.ndim in (2, 3) and counts.size and math.prod(counts.shape[:2]) <= _MOST_CELLS:
        return _grid(space, counts)
    if isinstance(space, spaces.Box) and _are_measurements(space):
        return ObservationSpec("vector", (math.prod(space.shape),)), lambda value: _measured(space, value)
    raise unsupported(space, where, "observation", SUPPORTED)


def unsupported(space: Any, where: str, what: str, supported: str) -> UsageError:
    if type(space).__module__.split(".")[0] == "gym":
        return UsageError(
            f"{where}: {what} space {space} is one of the package gym, which Gymnasium replaced: hplan takes "
            "gymnasium.spaces (and `shimmy` turns environments of gym into ones of Gymnasium)"
        )
    return UsageError(f"{where}: {what} space {line(space)} is not supported; supported: {supported}")


def _are_measurements(space: spaces.Box) -> bool:
    floats = space.dtype.kind == "f" or len(space.shape) <= 1  # integers in rows and columns would be an image
    return floats and 0 < math.prod(space.shape) <= _MOST_NUMBERS


def counts_of(space: spaces.Space) -> np.ndarray | None:
    """How many values each number of a discrete space has, in its shape; None where the space is no such one."""
    if isinstance(space, spaces.Discrete):
        return np.array(int(space.n))
    if isinstance(space, spaces.MultiDiscrete):
        return np.asarray(space.nvec, np.int64)
    if isinstance(space, spaces.MultiBinary):
        return np.full(space.shape, 2)
    if isinstance(space, spaces.Box) and space.dtype.kind in "iub":
        counts = space.high.astype(float) - space.low.astype(float) + 1  # floats: the range of int64 is none of int64
        return counts.astype(np.int64) if counts.max(initial=0) <= _MOST_VALUES else None
    return None


def least_of(space: spaces.Space) -> np.ndarray:
    """The least value of each number of a discrete space."""
    if isinstance(space, spaces.Box):
        return space.low.astype(np.int64)
    return np.asarray(getattr(space, "start", 0), np.int64)


def _array(value: Any, shape: tuple[int, ...] | None) -> np.ndarray:
    """A value as numbers of that shape; one number is one number, whatever its shape."""
    array = np.asarray(value)
    array = np.array(array.tolist()) if array.dtype.kind == "O" else array
    if array.dtype.kind not in "buif":
        raise ValueError("it is no numbers")
    if shape is None or array.shape == shape:
        return array
    if array.size == 1 == math.prod(shape):
        return array.reshape(shape)
    raise ValueError(f"it has shape {array.shape}")


def _whole(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        raise ValueError("it holds numbers that are not whole")
    return array.astype(np.int64)


def _within(array: np.ndarray, least: Any, counts: Any) -> np.ndarray:
    """Whole numbers, counted from the least of each."""
    numbers = _whole(array) - least
    if (numbers < 0).any() or (numbers >= counts).any():
        raise ValueError(_BOUNDS)
    return numbers


def _numbered(space: spaces.Space, counts: np.ndarray, value: Any) -> np.ndarray:
    return _within(_array(value, counts.shape), least_of(space), counts).ravel()


def _measured(space: spaces.Box, value: Any) -> np.ndarray:
    array = _array(value, space.shape)
    if space.dtype.kind != "f":
        _within(array, space.low, space.high.astype(float) - space.low + 1)
    return array.astype(float).ravel()  # a copy: some environments write into what they returned


def _cell_or_row(counts: np.ndarray, numbers: Callable[[Any], np.ndarray]) -> tuple[ObservationSpec, Encode]:
    n = len(counts)
    as_cell = n <= 16 and (n == 1 or math.prod(counts.tolist()) <= _MOST_COMBINATIONS)
    cardinalities = tuple(counts.tolist()) if as_cell else (int(counts.max()), n)
    dtype, place = _dtype(cardinalities), np.arange(n)

    def encode(value: Any) -> np.ndarray:
        if as_cell:
            return numbers(value).astype(dtype).reshape(1, 1, n)
        return np.stack([numbers(value), place], axis=-1).astype(dtype)[None]

    return ObservationSpec("symbols", (1, 1, n) if as_cell else (1, n, 2), cardinalities), encode


def _grid(space: spaces.Space, counts: np.ndarray) -> tuple[ObservationSpec, Encode]:
    shape = counts.shape if counts.ndim == 3 else (*counts.shape, 1)
    counts, least = counts.reshape(shape), np.broadcast_to(least_of(space), counts.shape).reshape(shape)
    cardinalities = tuple(counts.max(axis=(0, 1)).tolist())
    dtype, deep = _dtype(cardinalities), space.shape is not None and len(space.shape) == 3
    alike = bool((least == least[0, 0]).all())  # then what a number means does not depend on its place
    bytes_from_0 = (counts - 1).astype(np.uint8) if dtype is np.uint8 and not least.any() else None

    def encode(value: Any) -> np.ndarray:
        array = _array(value, None)
        if bytes_from_0 is not None and array.dtype == np.uint8 and array.shape == shape:  # MiniGrid: as fast as can be
            if (array > bytes_from_0).any():
                raise ValueError(_BOUNDS)
            return array.copy()
        grid = array if deep or array.ndim != 2 else array[..., None]
        if grid.ndim != 3 or grid.shape[2] != shape[2] or not (alike or grid.shape == shape) or not grid.size:
            raise ValueError(f"it has shape {array.shape}")
        if grid.shape == shape:
            return _within(grid, least, counts).astype(dtype)
        return _within(grid, least[0, 0], cardinalities).astype(dtype)

    return ObservationSpec("symbols", shape, cardinalities), encode


def _image_channels(space: Any, counts: np.ndarray | None) -> int | None:
    """Which axis of an image's space holds its channels, 2 where there is none of greyscale; None where it is no
    image. counts: of `counts_of`."""
    if not isinstance(space, spaces.Box | spaces.MultiBinary) or len(space.shape) not in (2, 3):
        return None
    smallest = _SMALLEST_PICTURE if _is_black_and_white(space, counts) else _SMALLEST_IMAGE
    if smallest == _SMALLEST_IMAGE and not _is_of_pixels(space):
        return None
    sizes = space.shape if len(space.shape) == 3 else (*space.shape, 1)
    for axis in (2, 0):
        across = sizes[:axis] + sizes[axis + 1 :]
        if sizes[axis] <= _CHANNELS and min(across) >= smallest:
            return axis
    return None


def _is_of_pixels(space: Any) -> bool:
    """Bytes, or floats of a colour: rows of floats are measurements."""
    floats = space.dtype.kind == "f"
    if space.dtype != np.uint8 and not (floats and len(space.shape) == 3):
        return False
    whole = space.low.min() == 0 and space.high.max() == (1 if floats else 255)
    return whole and not (space.low == space.high).any()


def _is_black_and_white(space: Any, counts: np.ndarray | None) -> bool:
    return counts is not None and bool((counts == 2).all() and (least_of(space) == 0).all())


def _image(space: Any, channels: int) -> tuple[ObservationSpec, Encode]:
    shape = space.shape if len(space.shape) == 3 else (*space.shape, 1)
    height, width = (size for axis, size in enumerate(shape) if axis != channels)
    black_and_white = _is_black_and_white(space, counts_of(space))

    def encode(value: Any) -> np.ndarray:
        array = _array(value, space.shape)
        if black_and_white:
            array = 255 * _within(array, 0, 2)
        elif space.dtype.kind == "f":
            if not np.isfinite(array).all():
                raise ValueError("it is not finite")
            if array.min() < -_ROUNDING or array.max() > 1 + _ROUNDING:
                raise ValueError(_BOUNDS)
            array = np.round(255 * array).clip(0, 255)
        elif array.dtype != np.uint8:
            array = _within(array, 0, 256)
        return np.moveaxis(array.reshape(shape), channels, 2).astype(np.uint8)  # a copy, last the channels

    return ObservationSpec("image", (height, width, shape[channels])), encode


def _stacked(space: Any) -> tuple[ObservationSpec, Encode] | None:
    """Of images one after the other, the oldest first (`FrameStackObservation`): one with the channels of them all, the
    newest first. None where it is nothing of the kind."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 4 or not space.shape[0]:
        return None
    one = spaces.Box(space.low[0], space.high[0], dtype=space.dtype.type)
    channels = _image_channels(one, counts_of(one))
    if channels is None or space.shape[0] * one.shape[channels] > _CHANNELS:
        return None
    single, encode = _image(one, channels)

    def together(value: Any) -> np.ndarray:
        return np.concatenate([encode(frame) for frame in _array(value, space.shape)[::-1]], -1)

    return ObservationSpec("image", (*single.shape[:2], space.shape[0] * single.shape[2])), together


def _composite(space: spaces.Dict | spaces.Tuple, where: str) -> tuple[ObservationSpec, Encode]:
    """Where all parts are discrete they become features of one cell, else everything one vector; an image goes with the
    numbers of the others beside it."""
    leaves, image = leaves_of(space), -1
    for number, (path, leaf) in enumerate(leaves):
        part = f"{where}, part {'/'.join(map(str, path))!r}"
        if observations(leaf, part)[0].kind == "image":  # says which part is not supported, as this does
            if image >= 0:
                raise unsupported(leaf, part, "observation", SUPPORTED)
            image = number
    if image >= 0:
        return _image_and_numbers(space, image)
    discrete = [counts for _, leaf in leaves if (counts := counts_of(leaf)) is not None]
    if leaves and len(discrete) == len(leaves):

        def numbers(value: Any) -> np.ndarray:
            parts = zip(values_of(space, value), discrete, strict=True)
            return np.concatenate([_numbered(leaf, count, part) for (leaf, part), count in parts])

        return _cell_or_row(np.concatenate([counts.ravel() for counts in discrete]), numbers)
    size = sum(len(_flat(leaf, leaf.sample())) for _, leaf in leaves)
    if not 0 < size <= _MOST_NUMBERS:
        raise unsupported(space, where, "observation", SUPPORTED)

    def encode(value: Any) -> np.ndarray:
        return np.concatenate([_flat(leaf, part) for leaf, part in values_of(space, value)])

    return ObservationSpec("vector", (size,)), encode


def _image_and_numbers(space: spaces.Dict | spaces.Tuple, image: int) -> tuple[ObservationSpec, Encode]:
    """`image`: which of its leaves is one."""
    leaves = [leaf for _, leaf in leaves_of(space)]
    spec, encode_image = observations(leaves[image], "")
    numbers = sum(len(_flat(leaf, leaf.sample())) for i, leaf in enumerate(leaves) if i != image)

    def encode(value: Any) -> np.ndarray:
        parts = values_of(space, value)
        others = [_flat(leaf, part) for i, (leaf, part) in enumerate(parts) if i != image]
        return beside(encode_image(parts[image][1]), np.concatenate([*others, np.zeros(0)]))

    height, *pixels = spec.shape
    return ObservationSpec("image", (height + rows_beside(numbers), *pixels), numbers=numbers), encode


def beside(image: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(H, W, C) uint8, (N,) -> (H + rows, W, C): below the image, in rows of four, the numbers' bytes as float32."""
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    if not np.isfinite(single).all():
        raise ValueError("it is not finite")
    rows = rows_beside(len(single))
    below = np.zeros((rows, image.shape[1] * image.shape[2]), np.uint8)
    below[:, :16] = np.pad(single, (0, 4 * rows - len(single))).view(np.uint8).reshape(rows, 16)
    return np.concatenate([image, below.reshape(rows, *image.shape[1:])])


def _flat(space: spaces.Space, value: Any) -> np.ndarray:
    """As gymnasium.spaces.flatten: one-hot for Discrete and MultiDiscrete, numbers as they are for the others."""
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        counts = counts_of(space)
        assert counts is not None
        ends = np.cumsum(counts.ravel())
        hot = np.zeros(ends[-1])
        hot[_numbered(space, counts, value) + ends - counts.ravel()] = 1
        return hot
    if isinstance(space, spaces.MultiBinary):
        return _numbered(space, np.full(space.shape, 2), value).astype(float)
    assert isinstance(space, spaces.Box), space  # nothing else is supported as a part
    return _measured(space, value)


def _goal(space: spaces.Dict, where: str) -> tuple[ObservationSpec, Encode]:
    own, encode_own = observations(space["observation"], f"{where}, part 'observation'")
    wanted, encode_wanted = observations(space["desired_goal"], f"{where}, part 'desired_goal'")

    def part(value: Any, key: str) -> Any:
        if not hasattr(value, "keys") or set(value.keys()) != GOAL_KEYS:
            raise ValueError(f"expected the keys {', '.join(sorted(GOAL_KEYS))}")
        return value[key]

    if is_its_own_goal(space):
        return own, lambda value: encode_own(part(value, "observation"))
    if (own.kind, wanted.kind) != ("vector", "vector"):
        raise UsageError(
            f"{where}: observation {line(space['observation'])} and goal {line(space['desired_goal'])} of different "
            "spaces are supported only where both are Boxes of floats"
        )
    return ObservationSpec("vector", (wanted.shape[0] + own.shape[0],)), lambda value: np.concatenate(
        [encode_wanted(part(value, "achieved_goal")), encode_own(part(value, "observation"))]
    )


def is_its_own_goal(space: spaces.Dict) -> bool:
    """Whether goals are whole observations."""
    specs = [observations(space[key], "")[0] for key in ("observation", "desired_goal")]
    return specs[0] == specs[1]


def leaves_of(space: spaces.Space, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], spaces.Space]]:
    """The parts that are no Dict or Tuple themselves, with the way to each."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return [(path, space)]
    return [leaf for key, part in parts_of(space).items() for leaf in leaves_of(part, (*path, key))]


def values_of(space: spaces.Space, value: Any) -> list[tuple[spaces.Space, Any]]:
    """What an observation holds at each leaf."""
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return [(space, value)]
    parts = parts_of(space)
    keys = list(value.keys()) if hasattr(value, "keys") else list(range(len(value)))
    if set(keys) != set(parts):
        raise ValueError(f"it has the parts {keys}, expected {list(parts)}")
    return [pair for key, part in parts.items() for pair in values_of(part, value[key])]


def first_leaf(space: spaces.Space, value: Any) -> tuple[tuple[int, ...], Any]:
    """Shape and value of the first leaf. A value that lacks it is a single observation, which `encode` refuses."""
    path, leaf = leaves_of(space)[0]
    try:
        for key in path:
            value = value[key]
    except (KeyError, IndexError, TypeError):
        return leaf.shape or (), None
    return leaf.shape or (), value


def rows_of(space: spaces.Space, value: Any) -> list[Any]:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = {key: rows_of(part, value[key]) for key, part in parts_of(space).items()}
        rows = [dict(zip(parts, row, strict=True)) for row in zip(*parts.values(), strict=True)]
        return rows if isinstance(space, spaces.Dict) else [tuple(row.values()) for row in rows]
    return list(value)


def _dtype(cardinalities: tuple[int, ...]) -> type[np.generic]:
    return np.uint8 if max(cardinalities) <= 256 else np.int64
