"""Files that are whole or not there: written beside their place, synced, then renamed over it. And folders of one."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hplan.types import UsageError

LOCK = ".lock"  # in a folder that a process works in


def write_atomically(path: str | os.PathLike[str], content: str | bytes) -> Path:
    """Write `content` (text as UTF-8) to `path`, and make its folder. A reader sees the old file or the new one, never
    a part, whenever the process is killed. Links are followed; devices and pipes are written to as they are.
    Raises OSError (a full disk, no permission) and then leaves nothing behind.
    """
    content = content.encode() if isinstance(content, str) else content
    given, path = Path(path), Path(os.path.realpath(path))
    if is_device(given):  # renaming would take their place
        with open(given, "wb") as stream:
            stream.write(content)
        return given
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:  # with the rights that the user's umask gives
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return given


def is_device(path: str | os.PathLike[str]) -> bool:
    """Whether it is a device or a pipe, or a place for them."""
    given = Path(path)
    return given.parts[:2] == ("/", "dev") or (given.exists() and not given.is_file())


def sweep(folder: str | os.PathLike[str]) -> None:
    """Delete what writers that were killed have left in `folder` and below. Only while nobody writes there."""
    for leftover in Path(folder).rglob(".*.tmp"):
        leftover.unlink(missing_ok=True)


def is_unused(folder: Path) -> bool:
    """Whether there is nothing in a folder but what killed processes leave, or no folder."""
    return not folder.is_dir() or all(path.name == LOCK or path.name.endswith(".tmp") for path in folder.iterdir())


def check_writable(*paths: str | os.PathLike[str] | None) -> None:
    """Raises UsageError where no file can be written at one of `paths`: told before hours of work, not after them."""
    for name in (os.fspath(path) for path in paths if path is not None):
        path = Path(name)
        if path.is_dir() or name.endswith(os.sep):
            raise UsageError(f"{path} is a folder; name a file, such as {path / 'result.json'}")
        _check_parent(path, "file")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Raises UsageError where there can be no folder of that name, or none to write in."""
    folder = Path(path)
    if folder.is_symlink() and not folder.exists():
        raise UsageError(f"{folder} is a link to {os.readlink(folder)}, which is not there: name another folder")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder")
    _check_parent(folder / "file", "folder")


def _check_parent(path: Path, what: str) -> None:
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise UsageError(f"{path} cannot be written: {folder} is no folder that you may write to; name another {what}")


def plain(value: Any) -> Any:
    """As JSON can have it: keys are text, tuples are lists, and a number that is not finite is None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Make `folder` and work in it alone. A process that was killed holds nothing.

    Raises UsageError where another process works in it, and where there can be no folder of that name.
    """
    from filelock import FileLock, Timeout

    folder = Path(folder)
    if folder.is_symlink() and not folder.exists():
        raise UsageError(f"{folder} is a link to {os.readlink(folder)}, which is not there: choose another --out")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: --out names a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(f"another process works in {folder}: wait until it ends, or choose another --out") from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be used ({error.strerror or error}): choose another --out") from error
    try:
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # who waits for it sees that it is gone, and makes another
        lock.release()
