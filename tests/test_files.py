from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hplan.files import sweep, write_atomically


@given(content=st.one_of(st.text(), st.binary()))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, content: str | bytes) -> None:
    path = write_atomically(tmp_path_factory.mktemp("files") / "new" / "file", content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(path.parent) == ["file"]


def test_a_full_disk_keeps_the_old_file_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_atomically(tmp_path / "file", "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_only_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    for name in (".level0.ab.tmp", "stages/.level1.cd.tmp", "stages/level1", "notes.tmp"):
        (tmp_path / name).write_text("part")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["level1", "notes.tmp"]
