from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from toy_world import PLANE, POINT, PUSH, ROW

from hplan.codec import Codec
from hplan.play.explore import SymbolSignature, VectorSignature
from hplan.play.manifest import Manifest, check_same_spaces
from hplan.play.store import EPISODES, ROWS, EpisodeStore, map_shard, write_episodes, write_shard
from hplan.types import Episode, HplanError, UsageError

NOTHING = {name: np.empty(0) for name in ROWS + EPISODES}
dtypes = st.sampled_from([np.uint8, np.int64, np.float32, np.bool_])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_maps_give_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
    arrays = {name: data.draw(hnp.arrays(data.draw(dtypes), data.draw(shapes))) for name in ROWS + EPISODES}
    path = tmp_path_factory.mktemp("shard") / "a.safetensors"
    write_shard(path, arrays)
    mapped = map_shard(path)
    assert mapped.keys() == arrays.keys()
    for name, array in arrays.items():
        assert mapped[name].dtype == array.dtype
        assert np.array_equal(mapped[name], array, equal_nan=array.dtype == np.float32)


def test_same_arrays_same_bytes(tmp_path: Path) -> None:
    assert write_shard(tmp_path / "a.safetensors", NOTHING) == write_shard(tmp_path / "b.safetensors", NOTHING)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", None])
def test_what_is_no_shard_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HplanError, match=r"bad\.safetensors: not a readable shard"):
        map_shard(path)


def test_incomplete_files_are_refused(tmp_path: Path) -> None:
    write_shard(tmp_path / "part.safetensors", {"observations": np.zeros(3)})
    with pytest.raises(HplanError, match=r"actions, rewards, .* missing"):
        map_shard(tmp_path / "part.safetensors")


def test_the_order_in_memory_is_no_matter(tmp_path: Path) -> None:
    rows = np.arange(6.0).reshape(2, 3)
    ways = [NOTHING | {"observations": way} for way in (rows, np.asfortranarray(rows), np.repeat(rows, 2, 1)[:, ::2])]
    assert len({write_shard(tmp_path / f"{i}.safetensors", way) for i, way in enumerate(ways)}) == 1
    assert np.array_equal(map_shard(tmp_path / "1.safetensors")["observations"], rows)


def stored(folder: Path) -> EpisodeStore:
    return write_episodes(folder, MANIFEST, [episode(3), episode(2)])


def episode(steps: int, **odd: Any) -> Episode:
    nothing = np.zeros(steps, bool)
    columns = {
        "observations": np.zeros((steps + 1, 2), np.float32),
        "actions": np.zeros((steps, 2), np.float32),
        "rewards": np.zeros(steps, np.float32),
    } | odd
    return Episode(**columns, success=nothing, violation=nothing, terminated=False, seed=steps)


MANIFEST = Manifest("toy", "Toy-v0", "official", 0, 0, {}, PLANE, {})


def test_a_store_of_another_format_says_how_to_make_it_again(tmp_path: Path) -> None:
    stored(tmp_path)
    path = tmp_path / "manifest.json"
    content = json.loads(path.read_text())
    for source, remedy in (("official", "data import toy"), ("regenerated", "data make toy --steps 5 --seed 0")):
        path.write_text(json.dumps(content | {"format": 1, "source": source}))
        with pytest.raises(HplanError, match=rf"play of format 1, .* reads 2: .*`hplan {remedy} --out DIR`") as caught:
            EpisodeStore.open(tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"observations": np.full((3, 2), np.nan, np.float32)}, "episode 1: observations hold nan at step 0"),
        ({"rewards": np.array([0, np.inf], np.float32)}, "episode 1: rewards hold inf at step 1"),
        ({"actions": np.array([[0, 0], [0, -np.inf]], np.float32)}, "episode 1: actions hold -inf at step 1"),
    ],
)
def test_numbers_that_are_not_finite_are_not_stored(tmp_path: Path, odd: dict[str, Any], told: str) -> None:
    with pytest.raises(HplanError, match=told):
        write_episodes(tmp_path, MANIFEST, [episode(3), episode(2, **odd)])
    with pytest.raises(UsageError, match="no episodes here"):
        EpisodeStore.open(tmp_path)


def test_an_episode_without_a_step_is_not_stored(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="episode 1 has no step"):
        write_episodes(tmp_path, MANIFEST, [episode(3), episode(0)])


def test_play_serves_tasks_of_the_same_spaces() -> None:
    named = Codec.of(POINT, PUSH, "mine", action_names=("x", "y"))
    check_same_spaces(MANIFEST, named.observation_spec, named.action_spec, "mine")
    wide, low = spaces.Box(-1, 1, (3,)), spaces.Box(-1, 1, (2,))
    for other, told in (
        (ROW, r"play of toy with vectors of shape \(2,\); mine has symbols of shape \(1, 8, 2\) of 2, 3 values"),
        (Codec.of(wide, PUSH, "mine"), r"mine has vectors of shape \(3,\)"),
        (
            Codec.of(POINT, spaces.Discrete(3), "mine"),
            r"with 2 continuous actions .*; mine has 3 discrete actions",
        ),
        (Codec.of(POINT, low, "mine"), r"from -1, -2 to 1, 2; mine has 2 continuous actions from -1 to 1:"),
    ):
        with pytest.raises(UsageError, match=told):
            check_same_spaces(MANIFEST, other.observation_spec, other.action_spec, "mine")


cells = hnp.arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 3))


@given(cells, st.randoms())
def test_a_symbol_signature_ignores_where_things_are(observation: np.ndarray, random: object) -> None:
    signature = SymbolSignature(2)
    moved = observation.reshape(-1, 2).copy()
    random.shuffle(order := list(range(len(moved))))
    assert signature(moved[order].reshape(observation.shape)) == signature(observation)


@given(cells, cells)
def test_a_symbol_signature_tells_multisets_apart(one: np.ndarray, other: np.ndarray) -> None:
    signature = SymbolSignature(2)
    same = sorted(map(tuple, one.reshape(-1, 2).tolist())) == sorted(map(tuple, other.reshape(-1, 2).tolist()))
    assert (signature(one) == signature(other)) == same


def test_a_vector_signature_is_a_coarse_grid() -> None:
    signature = VectorSignature()
    for corner in ([0.0, 0.0], [1.0, 1.0]):
        signature(np.array(corner, np.float32))
    one, near, far = (signature(np.array(at, np.float32)) for at in ([0.51, 0.51], [0.52, 0.51], [0.9, 0.51]))
    assert one == near != far
