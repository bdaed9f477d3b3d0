from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hplan.play.shard import EPISODES, ROWS, map_shard, write_shard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hplan.play.explore import SymbolSignature, VectorSignature
from hplan.types import HplanError

NOTHING = {name: np.empty(0) for name in ROWS + EPISODES}
dtypes = st.sampled_from([np.uint8, np.int64, np.float32, np.bool_])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_maps_give_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
    arrays = {name: data.draw(hnp.arrays(data.draw(dtypes), data.draw(shapes))) for name in ROWS + EPISODES}
    path = tmp_path_factory.mktemp("shard") / "a.npz"
    write_shard(path, arrays)
    mapped = map_shard(path)
    assert mapped.keys() == arrays.keys()
    for name, array in arrays.items():
        assert mapped[name].dtype == array.dtype
        assert np.array_equal(mapped[name], array, equal_nan=array.dtype == np.float32)
        assert not mapped[name].flags.writeable


def test_same_arrays_same_bytes(tmp_path: Path) -> None:
    assert write_shard(tmp_path / "a.npz", NOTHING) == write_shard(tmp_path / "b.npz", NOTHING)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a.npz", "b.npz"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", None])
def test_what_is_no_shard_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HplanError, match=r"bad\.npz: not a readable shard"):
        map_shard(path)


def test_compressed_and_incomplete_files_are_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "small.npz", **NOTHING)
    with pytest.raises(HplanError, match="compressed"):
        map_shard(tmp_path / "small.npz")
    write_shard(tmp_path / "part.npz", {"observations": np.zeros(3)})
    with pytest.raises(HplanError, match=r"actions, rewards, .* missing"):
        map_shard(tmp_path / "part.npz")


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
