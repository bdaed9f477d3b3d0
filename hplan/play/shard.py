"""One file of episodes: an uncompressed .npz, written atomically and read by memory map.

A shard holds its episodes one after the other in flat arrays of N rows, one row per observation: an episode of T steps
has T + 1 rows, and the actions, rewards and flags of its last row are zero, for nothing followed.

    observations (N, ...)   actions (N,) or (N, A)   rewards (N,)   success (N,)   violation (N,)
    lengths (E,) steps of each episode               terminated (E,)               seeds (E,)
    contexts (E, ...) of each episode, in worlds that have any
"""

from __future__ import annotations

import errno
import hashlib
import io
import mmap
import shutil
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hplan.files import write_atomically
from hplan.types import Episode, HplanError, ObservationSpec

ROWS = ("observations", "actions", "rewards", "success", "violation")  # one entry per observation
EPISODES = ("lengths", "terminated", "seeds")  # one entry per episode
CONTEXTS = "contexts"  # also one per episode, where the world has any
_LOCAL_HEADER = 30  # bytes of a zip member's header before its name


def observation_dtype(spec: ObservationSpec) -> type[np.float32 | np.uint8 | np.int64]:
    """How observations are stored: symbols as bytes wherever their values fit into one."""
    if spec.kind == "vector":
        return np.float32
    return np.uint8 if max(spec.cardinalities) <= 256 else np.int64


def write_atomic(path: Path, data: bytes) -> None:
    """Write `data` whole or not at all. Raises HplanError where the disk is full; nothing half-written remains."""
    try:
        write_atomically(path, data)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise HplanError(
            f"{path}: the disk is full ({len(data) / 1e6:.1f} MB to write, {free / 1e6:.1f} MB free): "
            "make room and run the same command again, what is finished is kept"
        ) from error


def write_shard(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[str, int]:
    """Write the arrays as `path`; returns the file's SHA-256 and its size. The same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # stored, never compressed: only then can it be mapped
    data = buffer.getvalue()
    write_atomic(path, data)
    return hashlib.sha256(data).hexdigest(), len(data)


def pack_contexts(contexts: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """The array of a shard that holds one context for each episode; none where there are none."""
    found = [context for context in contexts if context is not None]
    return {CONTEXTS: np.stack(found)} if found else {}


def pack(episodes: Sequence[Episode]) -> dict[str, np.ndarray]:
    """The arrays of one shard that holds these episodes."""

    def column(name: str) -> np.ndarray:
        parts = [getattr(episode, name) for episode in episodes]
        return np.concatenate([np.concatenate([part, np.zeros_like(part[:1])]) for part in parts])

    return {
        "observations": np.concatenate([episode.observations for episode in episodes]),
        **{name: column(name) for name in ROWS[1:]},
        "lengths": np.array([len(episode) for episode in episodes], np.int64),
        "terminated": np.array([episode.terminated for episode in episodes], bool),
        "seeds": np.array([episode.seed for episode in episodes], np.int64),
        **pack_contexts([episode.context for episode in episodes]),
    }


def map_shard(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard as read-only memory maps: nothing is read from the disk before it is used.

    Raises HplanError where the file is no complete shard.
    """
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # one map for all: each holds an open file
            arrays = {one.filename.removesuffix(".npy"): _member(file, memory, one) for one in archive.infolist()}
    except (OSError, ValueError, struct.error, zipfile.BadZipFile) as error:
        raise HplanError(f"{path}: not a readable shard ({error}): run the same `hplan data make` again") from error
    if missing := [name for name in ROWS + EPISODES if name not in arrays]:
        raise HplanError(f"{path}: not a shard of episodes, {', '.join(missing)} missing")
    return arrays


def _member(file: io.BufferedReader, memory: mmap.mmap, info: zipfile.ZipInfo) -> np.ndarray:
    """numpy maps .npy files but not the members of an .npz, so find where the member's own bytes begin."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed")
    file.seek(info.header_offset)
    name_length, extra_length = struct.unpack("<26x2H", file.read(_LOCAL_HEADER))
    file.seek(info.header_offset + _LOCAL_HEADER + name_length + extra_length)
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(file)
    return np.ndarray(shape, dtype, memory, file.tell(), order="F" if fortran else "C")


def damage(path: Path, size: int, sha256: str | None) -> str:
    """Why the file is not what was written, or "". Presence and size alone where `sha256` is None."""
    if not path.is_file():
        return "missing"
    if (found := path.stat().st_size) != size:
        return f"truncated or altered, {found} bytes instead of {size}"
    if sha256 is not None:
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return "altered, its SHA-256 does not match the manifest"
    return ""
