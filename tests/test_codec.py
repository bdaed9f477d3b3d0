"""Every supported space: what it becomes, that nothing of a sample is lost, and what is refused."""

from __future__ import annotations

import json
import pickle
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import tomli_w
import torch
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import Flatten

from hplan.codec import Codec
from hplan.levels.pixels import EyeBeside
from hplan.types import UsageError

LEVER = spaces.Discrete(2)
LARGE = np.finfo(np.float32).max
LONG = np.iinfo(np.int64)
FEW = spaces.Box(-1, 1, (1,), np.int64)
MIXED = spaces.Dict(a=LEVER, b=spaces.Box(-1.0, 1.0, (2,)))
PARTS = spaces.Dict(
    a=spaces.Discrete(3, start=2), b=spaces.Tuple([spaces.MultiBinary(2), spaces.Box(-1, 1, (1,), int)])
)


def codec(space: spaces.Space) -> Codec:
    return Codec.of(space, LEVER, "here")


def acting(space: spaces.Space) -> Codec:
    return Codec.of(LEVER, space, "here")


SYMBOLS = [
    (spaces.Discrete(5, start=3), (1, 1, 1), (5,)),
    (spaces.Discrete(700), (1, 1, 1), (700,)),
    (spaces.MultiDiscrete([4, 7]), (1, 1, 2), (4, 7)),
    (spaces.MultiDiscrete([9] * 8), (1, 8, 2), (9, 8)),
    (spaces.MultiDiscrete([[3, 4], [5, 6]]), (2, 2, 1), (6,)),
    (spaces.MultiBinary(3), (1, 1, 3), (2, 2, 2)),
    (spaces.MultiBinary(30), (1, 30, 2), (2, 30)),
    (spaces.MultiBinary([4, 3]), (4, 3, 1), (2,)),
    (spaces.Box(0, 1, (31, 40), np.uint8), (31, 40, 1), (2,)),
    (spaces.Box(-1, 6, (3, 4), np.int64), (3, 4, 1), (8,)),
    (spaces.Box(0, 9, (3, 4, 2), np.uint8), (3, 4, 2), (10, 10)),
    (spaces.Tuple([spaces.Discrete(3), spaces.Discrete(2)]), (1, 1, 2), (3, 2)),
    (spaces.Dict(a=spaces.Discrete(3), b=spaces.MultiBinary(2)), (1, 1, 3), (3, 2, 2)),
    (spaces.Dict(a=spaces.Dict(x=spaces.Discrete(3, start=2)), b=spaces.Tuple([LEVER])), (1, 1, 2), (3, 2)),
    (spaces.Box(0, 10, (41, 41, 6), np.uint8), (41, 41, 6), (11,) * 6),  # larger than a vector may be
]
VECTORS = [
    (spaces.Box(-1.0, 1.0, (4,)), 4),
    (spaces.Box(-np.inf, np.inf, (2, 3), np.float64), 6),
    (spaces.Box(0, 1000, (5,), np.int64), 5),
    (spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1.0, 1.0, (2,))), 5),
    (spaces.Tuple([spaces.Dict(x=spaces.MultiDiscrete([2, 3])), spaces.Box(-1.0, 1.0, (2, 3))]), 11),
    (spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64), 2),
]
IMAGES = [  # (H, W, C), and the axis of the space that holds the channels
    (spaces.Box(0, 255, (64, 48, 3), np.uint8), (64, 48, 3), 2),
    (spaces.Box(0, 255, (3, 64, 48), np.uint8), (64, 48, 3), 0),
    (spaces.Box(0, 255, (84, 84), np.uint8), (84, 84, 1), 2),
    (spaces.Box(0, 255, (84, 84, 4), np.uint8), (84, 84, 4), 2),
    (spaces.Box(0.0, 1.0, (3, 32, 32), np.float32), (32, 32, 3), 0),
    (spaces.Box(0, 1, (84, 84), np.uint8), (84, 84, 1), 2),
    (spaces.Box(0, 1, (2, 40, 32), np.int64), (40, 32, 2), 0),
    (spaces.Box(0, 1, (48, 40, 1), bool), (48, 40, 1), 2),
    (spaces.MultiBinary([64, 64]), (64, 64, 1), 2),
]
EVERY = [space for space, *_ in SYMBOLS + VECTORS + IMAGES]


@pytest.mark.parametrize(("space", "shape", "cardinalities"), SYMBOLS, ids=lambda v: str(v)[:40])
def test_symbols(space, shape, cardinalities):
    view = codec(space)
    assert (view.observation_spec.kind, view.observation_spec.shape, view.observation_spec.cardinalities) == (
        "symbols",
        shape,
        cardinalities,
    )
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
    view = codec(space)
    space.seed(0)
    array = view.encode(space.sample())
    assert (view.observation_spec.kind, view.observation_spec.shape, array.shape, array.dtype) == (
        "vector",
        (size,),
        (size,),
        np.float32,
    )


def test_an_offset_is_taken_in_float64_and_travels():
    space = spaces.Dict(clock=spaces.Box(0, np.inf, (1,), np.float64), mode=spaces.Discrete(2))
    view = replace(codec(space), offset=(1.7e9, 0.0, 0.0))
    seen = {"clock": np.array([1.7e9 + 0.25]), "mode": 1}
    assert view.encode(seen).tolist() == [0.25, 0, 1] and view.encode(seen).dtype == np.float32
    assert view.doubles(seen).tolist() == [1.7e9 + 0.25, 0, 1]
    assert codec(space).encode(seen)[0] == np.float32(1.7e9)
    for again in (pickle.loads(pickle.dumps(view)), Codec.from_dict(tomllib.loads(tomli_w.dumps(view.to_dict())))):
        assert again == view != codec(space)
        assert np.array_equal(again.encode(seen), view.encode(seen))


def test_vectors_are_copies():
    mutable = np.zeros(2, np.float32)
    array = codec(spaces.Box(-1.0, 1.0, (2,))).encode(mutable)
    mutable += 1
    assert array.tolist() == [0, 0]


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(5),
        spaces.Box(0, 255, (8, 8, 3), np.uint8),  # too small for an image
        spaces.Box(0, 9, (84, 84), np.uint8),
        spaces.Box(-1.0, 1.0, (0,)),
        spaces.Box(-1.0, 1.0, (96, 96, 3)),
        spaces.Dict({name: spaces.Box(0, 255, (64, 64, 3), np.uint8) for name in "ab"}),  # two images
        spaces.Sequence(spaces.Discrete(2)),
        spaces.Dict(a=spaces.Text(3)),
    ],
    ids=str,
)
def test_refused_observations_name_the_space_and_what_is_supported(space):
    with pytest.raises(UsageError, match=r"here.* is not supported; supported: Discrete, MultiDiscrete"):
        codec(space)


@given(st.integers(0, 30))
def test_values_outside_the_space_are_errors(value):
    view = codec(spaces.Discrete(10, start=5))
    if 5 <= value < 15:
        assert view.encode(value).item() == value - 5
    else:
        with pytest.raises(UsageError, match="outside its space"):
            view.encode(value)


@pytest.mark.parametrize(
    "space", [spaces.Discrete(4, start=-1), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3)], ids=str
)
def test_discrete_actions_cover_the_space(space):
    choices = acting(space)
    decoded = [choices.decode(action) for action in range(choices.action_spec.size)]
    assert all(space.contains(action) for action in decoded)
    assert (
        len({str(action) for action in decoded})
        == choices.action_spec.size
        == {"D": 4, "MultiD": 6, "MultiB": 8}["D" if isinstance(space, spaces.Discrete) else str(space)[:6]]
    )


def test_continuous_actions_are_clipped_and_shaped():
    space = spaces.Box(np.array([[-1.0], [0.0]]), np.array([[1.0], [2.0]]), dtype=np.float64)
    choices = acting(space)
    assert (choices.action_spec.low, choices.action_spec.high, choices.action_spec.size) == ((-1.0, 0.0), (1.0, 2.0), 2)
    assert choices.decode(np.array([-3.0, 1.5], np.float32)).tolist() == [[-1.0], [1.5]]
    assert space.contains(choices.decode(np.zeros(2, np.float32)))


@pytest.mark.parametrize(
    "space",
    [spaces.Text(3), spaces.Dict(a=LEVER, b=spaces.Text(3)), spaces.Dict({}), spaces.Tuple([]), spaces.Sequence(LEVER)],
    ids=str,
)
def test_refused_actions_name_the_space_and_what_is_supported(space):
    with pytest.raises(UsageError, match=r"here: action space .* is not supported; supported: Discrete"):
        acting(space)


@pytest.mark.parametrize(
    ("space", "low", "high"),
    [
        (spaces.Box(-np.inf, np.inf, (2,)), (-3, -3), (3, 3)),
        (spaces.Box(np.array([2.0, -np.inf]), np.array([np.inf, 2.0]), dtype=np.float64), (2, -3), (7, 2)),
        (spaces.Box(-LARGE, LARGE, (1,)), (-1,), (1,)),
        (spaces.Box(-1000.0, 1000.0, (1,)), (-1000,), (1000,)),
        (spaces.Box(-1e6, 1e6, (1,)), (-1,), (1,)),
        (spaces.Box(0.0, 1e-6, (1,)), (-1,), (1,)),
        (spaces.Box(1e9, 1e9 + 1e-3, (2,), np.float64), (-1, -1), (1, 1)),
        (spaces.Box(np.array([-1.0, 0.5]), np.array([1.0, 0.5]), dtype=np.float64), (-1, -1), (1, 1)),  # one is fixed
        (spaces.Box(-1e300, 1e300, (1,), np.float64), (-1,), (1,)),
        (spaces.Box(0, 1000, (2,), np.int32), (-1, -1), (1, 1)),
        (spaces.Box(LONG.min, LONG.max, (1,), np.int64), (-1,), (1,)),
        (spaces.Box(0, np.iinfo(np.uint64).max, (1,), np.uint64), (-1,), (1,)),
        (
            spaces.Dict(b=spaces.Box(-2.0, 2.0, (1, 2)), a=spaces.Tuple([spaces.Box(0.0, 1.0, ())])),
            (-2, -2, 0),
            (2, 2, 1),
        ),
        (MIXED, (-1, -1, -1), (1, 1, 1)),
        (
            spaces.Tuple([spaces.Box(-5, 5, (1,), np.int64), PARTS, spaces.Box(0.0, 2.0, ())]),
            [-1] * 5 + [0],
            [1] * 5 + [2],
        ),
        (spaces.MultiDiscrete([10, 10, 10], start=[0, -5, 3]), (-1, -1, -1), (1, 1, 1)),
        (spaces.MultiBinary([3, 4]), (-1,) * 12, (1,) * 12),
    ],
    ids=lambda v: str(v)[:40],
)
def test_boxes_of_any_bounds_are_vectors_whose_values_are_of_the_space(space, low, high):
    box = acting(space)
    assert (box.action_spec.kind, box.action_spec.low, box.action_spec.high) == ("continuous", tuple(low), tuple(high))
    corners = [np.array(bound, np.float32) for bound in (low, high)]
    drawn = [box.random_action(np.random.default_rng(seed)) for seed in range(50)]
    for action in [*corners, *drawn]:
        assert space.contains(box.decode(action)), box.decode(action)
        assert box.name(box.decode(action))
    if isinstance(space, spaces.Box) and space.is_bounded() and low[0] == -1:
        assert [box.decode(corner).tolist() for corner in corners] == [space.low.tolist(), space.high.tolist()]


def test_where_a_box_has_no_bound_nearly_all_of_its_samples_are_within_the_range():
    space = spaces.Box(np.array([-np.inf, 2.0, -np.inf]), np.array([np.inf, np.inf, 2.0]), dtype=np.float64)
    space.seed(0)
    spec = acting(space).action_spec
    samples = np.stack([space.sample() for _ in range(2000)])
    assert ((samples >= spec.low) & (samples <= spec.high)).mean() > 0.99


def test_choices_beside_numbers_have_equal_parts_of_a_range():
    mixed = acting(spaces.Dict(mode=spaces.Discrete(3, start=4), push=spaces.Box(-2.0, 2.0, (2,))))
    modes = [mixed.decode([share, 0.5, -0.5])["mode"] for share in (-1, -0.34, -0.33, 0, 0.33, 0.34, 1)]
    assert modes == [4, 4, 5, 5, 5, 6, 6]
    assert mixed.decode([0, 0.5, -0.5])["push"].tolist() == [0.5, -0.5]
    drawn = [mixed.decode(mixed.random_action(np.random.default_rng(seed)))["mode"] for seed in range(300)]
    assert all(70 < drawn.count(mode) < 130 for mode in (4, 5, 6))


def test_whole_numbers_are_rounded_to_the_nearest():
    box = acting(spaces.Box(0, 100, (1,), np.int32))
    assert [int(box.decode([share])[0]) for share in (-1, -0.991, -0.98, 0, 0.5, 1)] == [0, 0, 1, 50, 75, 100]


@pytest.mark.parametrize("space", [PARTS, spaces.Box(-3, 3, (2,), np.int64), spaces.Tuple([LEVER])], ids=str)
def test_products_of_discrete_parts_cover_the_space(space):
    choices = acting(space)
    decoded = [choices.decode(action) for action in range(choices.action_spec.size)]
    assert all(space.contains(action) for action in decoded)
    names = {choices.name(action) for action in decoded}
    assert (
        len(names) == choices.action_spec.size == (36 if space is PARTS else 49 if isinstance(space, spaces.Box) else 2)
    )


@pytest.mark.parametrize("space", EVERY, ids=lambda v: str(v)[:40])
def test_a_codec_is_the_same_after_files_and_processes(space):
    before = Codec.of(space, spaces.Box(-1.0, 1.0, (2, 3)), "here", action_names=("a", "b"), achieved=(0, -1))
    sample = space.sample()
    kept = [
        Codec.from_dict(tomllib.loads(tomli_w.dumps(before.to_dict()))),
        Codec.from_dict(json.loads(json.dumps(before.to_dict()))),
        pickle.loads(pickle.dumps(before)),
    ]
    for after in kept:
        assert after == before
        assert (after.observation_spec, after.action_spec) == (before.observation_spec, before.action_spec)
        assert np.array_equal(after.encode(sample), before.encode(sample))
    assert Codec.of(space, LEVER, "here") != before


@pytest.mark.parametrize("space", EVERY, ids=lambda v: str(v)[:40])
def test_a_batch_is_told_from_a_single_observation(space):
    view = codec(space)
    samples = [space.sample() for _ in range(3)]
    assert view.rows(samples[0]) is None
    batch = create_empty_array(space, n=3)
    batch = concatenate(space, samples, batch)
    rows = view.rows(batch)
    assert rows is not None and len(rows) == 3
    for row, sample in zip(rows, samples, strict=True):
        assert np.array_equal(view.encode(row), view.encode(sample))


@pytest.mark.parametrize(("space", "shape", "channels"), IMAGES, ids=lambda v: str(v)[:40])
def test_images(space, shape, channels):
    view = codec(space)
    assert (view.observation_spec.kind, view.observation_spec.shape) == ("image", shape)
    seen = space.sample()
    image = view.encode(seen)
    assert image.shape == shape and image.dtype == np.uint8 and not np.shares_memory(image, seen)
    moved = np.moveaxis(seen.reshape(seen.shape if seen.ndim == 3 else (*seen.shape, 1)), channels, 2)
    bytes_already = isinstance(space, spaces.Box) and space.high.max() == 255
    assert np.array_equal(image, moved if bytes_already else np.round(255.0 * moved))


def test_images_of_floats_may_overstep_their_bounds_by_rounding():
    space = IMAGES[4][0]
    view, seen = codec(space), np.ones(space.shape, np.float32)
    seen[0, :2, 0] = [1.0001, -0.0001]
    assert view.encode(seen)[0, 0, 0] == 255 and view.encode(seen)[1, 0, 0] == 0


@pytest.mark.parametrize("one", [(40, 32, 3), (3, 40, 32), (40, 32, 1)])
def test_stacked_images_are_one_with_the_newest_first(one):
    space = spaces.Box(0, 255, (4, *one), np.uint8)
    view, alone = codec(space), codec(spaces.Box(0, 255, one, np.uint8))
    seen = space.sample()
    assert view.observation_spec.kind == "image"
    assert np.array_equal(view.encode(seen), np.concatenate([alone.encode(each) for each in seen[::-1]], -1))
    with pytest.raises(UsageError, match="shape"):
        view.encode(seen[0])


def test_too_many_stacked_images_are_refused():
    with pytest.raises(UsageError, match="not supported"):
        codec(spaces.Box(0, 255, (9, 40, 32, 3), np.uint8))


ROBOT = spaces.Dict(
    arm=spaces.Box(-np.inf, np.inf, (5,), np.float64),
    eye=spaces.Box(0, 255, (3, 32, 48), np.uint8),
    grip=spaces.Discrete(3, start=1),
)


def test_numbers_beside_an_image_are_rows_below_it():
    """Five numbers and a choice of three, one-hot: eight, in two rows. An eye and what it makes of them are inverse."""
    view = codec(ROBOT)
    spec = view.observation_spec
    assert (spec.kind, spec.shape, spec.numbers, spec.picture) == ("image", (34, 48, 3), 8, (32, 48, 3))
    seen = ROBOT.sample()
    made = view.encode(seen)
    assert np.array_equal(made[:32], np.moveaxis(seen["eye"], 0, 2))
    eye = EyeBeside(Flatten(), numbers=8, channels=3)
    frames = torch.from_numpy(np.stack([made, view.encode(ROBOT.sample())]))
    hot = (np.arange(3) == seen["grip"] - 1).astype(np.float32)
    assert np.array_equal(eye.beside(frames)[0].numpy(), np.concatenate([seen["arm"].astype(np.float32), hot]))
    assert torch.equal(eye.image(frames), frames[:, :32])
    both = torch.cat([frames, frames.flip(0)], -1)  # with the first frame of the episode beside it, as channels
    assert torch.equal(eye.beside(both), eye.beside(frames))
    eye.measure(frames)
    assert eye(frames).shape == (2, 32 * 48 * 3 + 8) and torch.allclose(
        eye(frames)[:, -8:].mean(0), torch.zeros(8), atol=1e-5
    )
    with pytest.raises(UsageError, match="not finite"):
        view.encode({**seen, "arm": np.full(5, np.nan)})
    with pytest.raises(UsageError, match="not finite"):
        view.encode({**seen, "arm": np.full(5, 1e300)})


def test_an_image_alone_in_a_dict_is_that_image():
    view = codec(spaces.Dict(eye=ROBOT["eye"]))
    seen = view.observation_space.sample()
    assert view.observation_spec.shape == (32, 48, 3) and not view.observation_spec.numbers
    assert np.array_equal(view.encode(seen), np.moveaxis(seen["eye"], 0, 2))


REFUSED = [
    (IMAGES[4][0], np.full((3, 32, 32), np.nan), "not finite"),
    (IMAGES[4][0], np.full((3, 32, 32), 1.5), "out of bounds"),
    (IMAGES[0][0], np.zeros((48, 64, 3), np.uint8), "shape"),
    (spaces.MultiBinary([64, 64]), np.full((64, 64), 255), "out of bounds"),
    (spaces.Box(-np.inf, np.inf, (1,), np.float64), [1e300], "not finite"),
    (IMAGES[0][0], np.full((64, 48, 3), 256), "out of bounds"),
    (spaces.Box(0, 10, (2,), np.int64), np.array([2.75, 1.0]), "not whole"),
    (spaces.Box(0, 1000, (2,), np.int64), np.array([2.75, 1.0]), "not whole"),
    (spaces.Box(0, 1000, (2,), np.int64), np.array([1001, 1]), "out of bounds"),
    (spaces.Discrete(5), 3.9, "not whole"),
    (spaces.Discrete(5), float("nan"), "not whole"),
    (spaces.Discrete(5), np.array([1, 2]), "shape"),
    (spaces.MultiBinary(3), [0, 1, 2], "out of bounds"),
    (spaces.MultiDiscrete([2, 3]), np.uint64([2**64 - 1, 0]), "out of bounds"),
    (spaces.Box(0, 9, (2, 2), np.uint8), np.full((2, 2), 4.5), "not whole"),
    (spaces.Box(-1.0, 1.0, (2,)), [0.0, float("nan")], "not finite"),
    (spaces.Box(-1.0, 1.0, (2,)), [0.0, float("inf")], "not finite"),
    (spaces.Box(-1.0, 1.0, (2, 3)), np.zeros((3, 2)), "shape"),
    (spaces.Box(-1.0, 1.0, (2,)), ["a", "b"], "no numbers"),
    (spaces.Box(-1.0, 1.0, (2,)), None, "no numbers"),
    (spaces.Dict(a=LEVER, b=LEVER), {"a": 1}, "parts"),
    (spaces.Dict(a=LEVER, b=LEVER), {"a": 1, "c": 0}, "parts"),
    (spaces.Dict(a=LEVER, b=spaces.Box(-1.0, 1.0, (2,))), {"a": 0.5, "b": [0, 0]}, "not whole"),
    (spaces.Tuple([LEVER, LEVER]), (1,), "parts"),
]


@pytest.mark.parametrize(("space", "value", "why"), REFUSED, ids=lambda v: str(v)[:30])
def test_what_is_outside_its_space_is_refused_by_name(space, value, why):
    with pytest.raises(
        UsageError, match=rf"here: observation .* is outside its space {type(space).__name__}.*{why}"
    ) as caught:
        codec(space).encode(value)
    assert "\n" not in str(caught.value)


def test_whole_numbers_in_floats_and_one_number_in_an_array_lose_nothing():
    assert codec(spaces.Discrete(5, start=2)).encode(np.array([4.0])).tolist() == [[[2]]]
    assert codec(spaces.Box(-1.0, 1.0, (1,))).encode(0.5).tolist() == [0.5]
    assert codec(spaces.MultiBinary(2)).encode([True, False]).tolist() == [[[1, 0]]]


def test_grids_may_be_of_another_height_and_width():
    view = codec(spaces.Box(0, 9, (3, 4, 2), np.uint8))
    assert view.encode(np.full((7, 5, 2), 9)).shape == (7, 5, 2)
    with pytest.raises(UsageError, match="out of bounds"):
        view.encode(np.full((7, 5, 2), 10))
    for shape in ((7, 5), (7, 5, 3), (0, 5, 2)):
        with pytest.raises(UsageError, match="shape"):
            view.encode(np.zeros(shape, int))


@given(st.integers(-5, 5), st.integers(1, 6))
def test_discrete_actions_come_back_with_their_start_and_dtype(start, count):
    space = spaces.Discrete(count, start=start)
    decoded = [acting(space).decode(action) for action in range(count)]
    assert decoded == list(range(start, start + count))
    assert all(type(action) is type(space.sample()) for action in decoded)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=6, max_size=6))
def test_continuous_actions_are_always_of_their_space(numbers):
    for dtype in (np.float32, np.float64):
        space = spaces.Box(np.full((2, 3), -0.1, dtype), np.full((2, 3), 0.3, dtype), dtype=dtype)
        assert space.contains(acting(space).decode(np.array(numbers, np.float32)))


def goal_env(observation: int, achieved: tuple[int, ...]) -> Codec:
    box = {key: spaces.Box(-9.0, 9.0, (n,)) for key, n in (("observation", observation), ("achieved_goal", 2))}
    return Codec.of(spaces.Dict(desired_goal=box["achieved_goal"], **box), LEVER, "here", achieved=achieved)


@pytest.mark.parametrize(
    ("achieved", "there"), [((0, 1), [4, 3, 2, 1]), ((2, 3), [2, 1, 4, 3]), ((-1, 1), [2, 3, 2, 1]), ((), [2, 1, 2, 1])]
)
def test_a_goal_changes_the_place_and_nothing_that_equals_it(achieved, there):
    raw = {
        "observation": np.array([2.0, 1, 2, 1]),
        "achieved_goal": np.array([2.0, 1]),
        "desired_goal": np.array([4.0, 3]),
    }
    view = goal_env(4, achieved)
    goal = view.goal(raw)
    assert goal is not None
    assert view.encode(goal).tolist() == [4, 3, *there]
    assert view.encode(raw).tolist() == [2, 1, 2, 1, 2, 1]
    assert codec(LEVER).goal(1) is None


def test_spaces_of_the_package_gym_are_told():
    class Discrete:
        n = 2

    Discrete.__module__ = "gym.spaces.discrete"
    with pytest.raises(UsageError, match="package gym, which Gymnasium replaced"):
        Codec.of(LEVER, Discrete(), "here")
