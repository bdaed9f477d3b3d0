"""Every supported space: what it becomes, that nothing of a sample is lost, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from hplan.codec import actions, observations
from hplan.types import UsageError

SYMBOLS = [
    (spaces.Discrete(5, start=3), (1, 1, 1), (5,)),
    (spaces.Discrete(700), (1, 1, 1), (700,)),
    (spaces.MultiDiscrete([4, 7]), (1, 1, 2), (4, 7)),
    (spaces.MultiDiscrete([9] * 8), (1, 8, 2), (9, 8)),
    (spaces.MultiDiscrete([[3, 4], [5, 6]]), (2, 2, 1), (6,)),
    (spaces.MultiBinary(3), (1, 1, 3), (2, 2, 2)),
    (spaces.MultiBinary(30), (1, 30, 2), (2, 30)),
    (spaces.MultiBinary([4, 3]), (4, 3, 1), (2,)),
    (spaces.Box(-1, 6, (3, 4), np.int64), (3, 4, 1), (8,)),
    (spaces.Box(0, 9, (3, 4, 2), np.uint8), (3, 4, 2), (10, 10)),
    (spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2)]), (1, 1, 2), (3, 2)),
    (spaces.Dict(a=spaces.Discrete(3), b=spaces.MultiBinary(2)), (1, 1, 3), (3, 2, 2)),
]
VECTORS = [
    (spaces.Box(-1.0, 1.0, (4,)), 4),
    (spaces.Box(-np.inf, np.inf, (2, 3), np.float64), 6),
    (spaces.Box(0, 1000, (5,), np.int64), 5),
    (spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1.0, 1.0, (2,))), 5),
]


@pytest.mark.parametrize(("space", "shape", "cardinalities"), SYMBOLS, ids=lambda v: str(v)[:40])
def test_symbols(space, shape, cardinalities):
    view = observations(space, "here")
    assert (view.spec.kind, view.spec.shape, view.spec.cardinalities) == ("symbols", shape, cardinalities)
    space.seed(0)
    seen = {}
    for _ in range(200):
        sample = space.sample()
        array = view.encode(sample)
        assert array.shape == shape
        assert array.dtype in (np.uint8, np.int64)
        assert (array < np.array(cardinalities)).all()
        assert seen.setdefault(array.tobytes(), str(sample)) == str(sample)  # nothing is lost


@pytest.mark.parametrize(("space", "size"), VECTORS, ids=lambda v: str(v)[:40])
def test_vectors(space, size):
    view = observations(space, "here")
    space.seed(0)
    array = view.encode(space.sample())
    assert (view.spec.kind, view.spec.shape, array.shape, array.dtype) == ("vector", (size,), (size,), np.float32)


def test_vectors_are_copies():
    mutable = np.zeros(2, np.float32)
    array = observations(spaces.Box(-1.0, 1.0, (2,)), "here").encode(mutable)
    mutable += 1
    assert array.tolist() == [0, 0]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(5),
        spaces.Box(0, 255, (64, 64, 3), np.uint8),
        spaces.Box(0.0, 1.0, (96, 96, 3)),
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Dict(a=spaces.Text(3)),
    ],
    ids=str,
)
def test_refused_observations_name_the_space_and_what_is_supported(space):
    with pytest.raises(UsageError, match=r"here.* is not supported; supported: Discrete, MultiDiscrete"):
        observations(space, "here")


@given(st.integers(0, 30))
def test_values_outside_the_space_are_errors(value):
    view = observations(spaces.Discrete(10, start=5), "here")
    if 5 <= value < 15:
        assert view.encode(value).item() == value - 5
    else:
        with pytest.raises(ValueError, match="outside its space"):
            view.encode(value)


@pytest.mark.parametrize(
    "space", [spaces.Discrete(4, start=-1), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)], ids=str
)
def test_discrete_actions_cover_the_space(space):
    choices = actions(space, "here")
    decoded = [choices.decode(action) for action in range(choices.spec.size)]
    assert all(space.contains(action) for action in decoded)
    assert (
        len({str(action) for action in decoded})
        == choices.spec.size
        == {"D": 4, "MultiD": 6, "MultiB": 8}["D" if isinstance(space, spaces.Discrete) else str(space)[:6]]
    )


def test_continuous_actions_are_clipped_and_shaped():
    space = spaces.Box(np.array([[-1.0], [0.0]]), np.array([[1.0], [2.0]]), dtype=np.float64)
    choices = actions(space, "here")
    assert (choices.spec.low, choices.spec.high, choices.spec.size) == ((-1.0, 0.0), (1.0, 2.0), 2)
    assert choices.decode(np.array([-3.0, 1.5], np.float32)).tolist() == [[-1.0], [1.5]]
    assert space.contains(choices.decode(np.zeros(2, np.float32)))


@pytest.mark.parametrize(
    "space", [spaces.Box(-np.inf, np.inf, (2,)), spaces.MultiDiscrete([10, 10, 10]), spaces.Text(3)], ids=str
)
def test_refused_actions_name_the_space_and_what_is_supported(space):
    with pytest.raises(UsageError, match=r"here: action space .* is not supported; supported: Discrete"):
        actions(space, "here")
