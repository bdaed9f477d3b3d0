from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hplan.files import LOCK, check_folder, check_writable, locked, plain, sweep, write_atomically
from hplan.types import UsageError


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


def test_a_link_stays_one_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/file")
    for content in ("new", "newer"):
        assert write_atomically(tmp_path / "link", content) == tmp_path / "link"
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "elsewhere" / "file").read_text() == content
    assert os.listdir(tmp_path / "elsewhere") == ["file"]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code = "import sys; from hplan.files import write_atomically; write_atomically(sys.argv[1], 'text')"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "pipe")]):
        assert (tmp_path / "pipe").read_text() == "text"
    assert (tmp_path / "pipe").is_fifo()


def test_a_device_is_written_to(capfd: pytest.CaptureFixture[str]) -> None:
    write_atomically("/dev/stdout", "text")
    assert capfd.readouterr().out == "text"


@pytest.mark.parametrize("name", ["folder", "new/"])
def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="is a folder; name a file, such as"):
        check_writable(f"{tmp_path}/{name}")


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    told = {"file": "is a file: name a folder", "link": "a link to nowhere", "file/new": "is no folder"}
    for name, said in told.items():
        with pytest.raises(UsageError, match=said):
            check_folder(tmp_path / name)
    check_folder(tmp_path / "new" / "below")
    assert sorted(os.listdir(tmp_path)) == ["file", "link"]


def test_only_what_killed_writers_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    for name in (".level0.ab.tmp", "stages/.level1.cd.tmp", "stages/level1", "notes.tmp"):
        (tmp_path / name).write_text("part")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["level1", "notes.tmp"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_who_may_read_a_file_is_for_the_user_to_say(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        assert write_atomically(tmp_path / "file", "x").stat().st_mode & 0o777 == mode
    finally:
        os.umask(before)


def test_two_processes_do_not_work_in_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "new" / "run"
    code = f"from hplan.files import locked\nwith locked({str(out)!r}): print('held', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(UsageError, match=f"another process works in {out}"), locked(out):
            pass
        other.kill()
    assert (out / LOCK).exists(), "a killed process cannot tidy up"
    with locked(out):
        pass
    assert list(out.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"), [("link", "is a link to nowhere"), ("file", "is a file"), ("file/x", "cannot")]
)
def test_what_can_be_no_folder_is_told(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=said), locked(tmp_path / name):
        pass


def test_where_no_file_can_be_written_is_told_before_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_writable(tmp_path / "new" / "folder" / "result.json")
    check_writable(tmp_path / "file")
    for name, said in (("", "is a folder; name a file"), ("file/result.json", "file is no folder that you may write")):
        with pytest.raises(UsageError, match=said):
            check_writable(tmp_path / name)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda part: st.lists(part) | st.tuples(part) | st.dictionaries(st.integers() | st.text(), part),
)


@given(VALUES)
def test_what_is_plain_is_what_json_gives_back(value: object) -> None:
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == plain(value)


def test_only_what_json_lacks_is_changed() -> None:
    assert plain({0: (1, 2.5), "a": [math.nan, math.inf, True, None]}) == {"0": [1, 2.5], "a": [None, None, True, None]}
