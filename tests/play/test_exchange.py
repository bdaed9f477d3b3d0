"""Episodes that come from elsewhere or go there: OGBench's files and Minari."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from hplan.play.minari import _action_spec, _observation_spec, export_minari, import_minari
from hplan.play.official import import_ogbench
from toy_world import Corridor, Plane

from hplan.config import PlayConfig, TaskConfig
from hplan.play.play import load_play
from hplan.play.record import play
from hplan.types import HplanError, ObservationSpec, UsageError

LENGTHS = (4, 1, 6)  # steps


@pytest.fixture
def ogbench_file(tmp_path: Path) -> Path:
    """Two .npz files as OGBench publishes them: a row per observation, terminals 1 on the last of each episode."""
    pytest.importorskip("ogbench")
    terminals = np.concatenate([[0.0] * length + [1.0] for length in LENGTHS])
    rows = np.arange(len(terminals), dtype=np.float32)
    columns = {"observations": np.stack([rows, -rows], 1), "actions": np.stack([rows / 99] * 3, 1)}
    for name in ("pointmaze-medium-navigate-v0.npz", "pointmaze-medium-navigate-v0-val.npz"):
        np.savez(tmp_path / name, **columns, terminals=terminals)
    return tmp_path / "pointmaze-medium-navigate-v0.npz"


def test_ogbench_files_become_episodes(ogbench_file: Path, tmp_path: Path) -> None:
    store = import_ogbench("ogbench/pointmaze-medium-navigate", tmp_path / "store", file=ogbench_file)
    assert (store.manifest.source, store.manifest.task) == ("official", "ogbench/pointmaze-medium-navigate")
    assert tuple(len(e) for e in store) == LENGTHS
    row = 0
    for episode in store:
        assert np.array_equal(episode.observations[:, 0], np.arange(row, row + len(episode) + 1))
        assert np.allclose(episode.actions[:, 0] * 99, episode.observations[:-1, 0])
        row += len(episode) + 1
    data = load_play(tmp_path / "store")
    assert (data.steps, len(data.starts(4))) == (sum(LENGTHS), 1 + 3)
    with pytest.raises(UsageError, match="already holds"):
        import_ogbench("pointmaze-medium-navigate-v0", tmp_path / "store", file=ogbench_file)


def test_ogbench_file_that_is_missing_or_visual(ogbench_file: Path, tmp_path: Path) -> None:
    with pytest.raises(HplanError, match=r"nothing\.npz: not loaded .* use `hplan data make`"):
        import_ogbench("pointmaze-medium-navigate", tmp_path / "store", file=tmp_path / "nothing.npz")
    for path in (ogbench_file, ogbench_file.with_stem(ogbench_file.stem + "-val")):
        columns = dict(np.load(path))
        np.savez(path, **columns | {"observations": np.zeros((len(columns["terminals"]), 2, 2, 3), np.uint8)})
    with pytest.raises(UsageError, match=r"\(2, 2, 3\)"):
        import_ogbench("visual-antmaze-medium-navigate", tmp_path / "store", file=ogbench_file)


@pytest.mark.parametrize("make", [Corridor, Plane])
def test_minari_there_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: type) -> None:
    pytest.importorskip("minari")
    pytest.importorskip("h5py")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    task = TaskConfig(name="toy", environment="toy", play=PlayConfig(episode_steps=20))
    store = play(task, tmp_path / "store", steps=100, seed=0, make=make)
    assert export_minari(tmp_path / "store", "hplan/toy-v0") == len(store)
    back = import_minari("hplan/toy-v0", tmp_path / "back")
    assert len(back) == len(store)
    for one, other in zip(store, back, strict=True):
        for name in ("observations", "actions", "rewards", "success", "violation"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
            assert getattr(one, name).dtype == getattr(other, name).dtype, name
        assert one.terminated == other.terminated
    assert back.manifest.observation_spec == store.manifest.observation_spec
    with pytest.raises(UsageError, match="toy-v0"):
        export_minari(tmp_path / "store", "hplan/toy-v0")
    with pytest.raises(UsageError, match=r"minari download hplan/absent-v0.* here are hplan/toy-v0"):
        import_minari("hplan/absent-v0", tmp_path / "absent")


@pytest.mark.parametrize("job", [export_minari, import_minari])
def test_without_minari_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: object) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UsageError, match=r"pip install 'hplan\[data\]'"):
        job(str(tmp_path), str(tmp_path))


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (spaces.Discrete(500), ("symbols", (1, 1, 1), (500,))),
        (spaces.Box(0, 3, (2, 2, 1), np.int64), ("symbols", (2, 2, 1), (4,))),
        (spaces.Box(-np.inf, np.inf, (3,)), ("vector", (3,), ())),
    ],
)
def test_spaces_of_other_datasets(space: spaces.Space, kind: tuple) -> None:
    assert _observation_spec(space) == ObservationSpec(*kind)


def test_spaces_that_are_not_supported_are_told() -> None:
    with pytest.raises(UsageError, match=r"Box.*hplan reads vectors") as caught:
        _observation_spec(spaces.Box(-1, 1, (9, 9, 9)))
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"MultiBinary.*hplan reads Discrete"):
        _action_spec(spaces.MultiBinary(3))
