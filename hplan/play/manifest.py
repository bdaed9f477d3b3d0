"""What a folder of episodes says of itself: `manifest.json`."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from hplan.codec import Codec
from hplan.files import write_atomically
from hplan.types import ActionSpec, HplanError, ObservationSpec, UsageError

FORMAT = 2  # 1 had shards of .npz
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class ShardInfo:
    """What the manifest says of one file. `complete`: False where the world failed and earlier episodes were kept.
    `told`: False where success was read off rewards alone."""

    index: int
    file: str
    sha256: str
    size: int  # bytes
    episodes: int
    steps: int
    seeds: tuple[int, ...]  # of the episodes, in order
    complete: bool = True
    told: bool = True


@dataclass(frozen=True)
class Manifest:
    """`settings`: everything that decides the content of shard i, beside i. Shards are sorted by index."""

    task: str
    environment: str
    source: Literal["regenerated", "official"]
    seed: int
    steps: int  # asked for, in all shards together
    settings: dict[str, Any]
    codec: Codec
    versions: dict[str, str]
    shards: tuple[ShardInfo, ...] = ()
    format: int = FORMAT

    @property
    def observation_spec(self) -> ObservationSpec:
        return self.codec.observation_spec

    @property
    def action_spec(self) -> ActionSpec:
        return self.codec.action_spec

    def with_shard(self, shard: ShardInfo) -> Manifest:
        """This manifest with `shard` in the place of the one of the same index."""
        others = [s for s in self.shards if s.index != shard.index]
        return replace(self, shards=tuple(sorted([*others, shard], key=lambda s: s.index)))

    def save(self, folder: Path) -> None:
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content |= {"codec": self.codec.to_dict(), "shards": [asdict(shard) for shard in self.shards]}
        write_atomic(folder / MANIFEST, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())

    @staticmethod
    def load(folder: Path) -> Manifest:
        """Raises UsageError where `folder` holds no store, HplanError where its manifest is not readable."""
        path = folder / MANIFEST
        if not path.is_file():
            raise UsageError(f"{folder}: no episodes here (no {MANIFEST}): make some with `hplan data make`")
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"))
            if content["format"] != FORMAT:
                raise HplanError(
                    f"{path}: play of format {content['format']}, written by another hplan; this one reads {FORMAT}: "
                    f"make it again in another folder, {_remedy(content)}"
                )
            content["codec"] = Codec.from_dict(content["codec"], content["task"])
            content["shards"] = tuple(ShardInfo(**_tuples(shard)) for shard in content["shards"])
            return Manifest(**content)
        except (ValueError, KeyError, TypeError) as error:
            raise HplanError(f"{path}: damaged manifest ({error}): make the data again in an empty folder") from error


def check_same_spaces(play: Manifest, observation: ObservationSpec, action: ActionSpec, task: str) -> None:
    """UsageError where `play` has other spaces than `task` has: what is learned from it could not act there."""
    theirs = play.observation_spec, replace(play.action_spec, names=())
    ours = observation, replace(action, names=())
    for there, here in zip(theirs, ours, strict=True):
        if there != here:
            raise UsageError(
                f"that is play of {play.task} with {there.text}; {task} has {here.text}: choose other play"
            )


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


def _remedy(content: dict[str, Any]) -> str:
    """The command that makes the same play as this manifest's."""
    task = quote(content["task"])
    if content["source"] == "official":
        return f"`hplan data import {task} --out DIR`"
    return f"`hplan data make {task} --steps {content['steps']} --seed {content['seed']} --out DIR`"


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the frozen types have tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
