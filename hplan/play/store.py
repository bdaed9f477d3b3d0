"""The episode store: a folder with `manifest.json` and shards of episodes (shard.py)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hplan.codec import Codec
from hplan.play.shard import CONTEXTS, EPISODES, damage, map_shard, pack, write_atomic, write_shard
from hplan.types import ActionSpec, Episode, HplanError, ObservationSpec, UsageError

FORMAT = 2
MANIFEST = "manifest.json"
SHARD_STEPS = 20_000  # 1 s of DoorKey, 8 MB: what a kill can cost, and how long one archive of rare states lives
_RECORDED = ("hplan", "numpy", "gymnasium", "minigrid", "ogbench", "mujoco")  # what can change the bytes of play


@dataclass(frozen=True)
class ShardInfo:
    """What the manifest says of one file. `complete`: False where the world failed and earlier episodes were kept."""

    index: int
    file: str
    sha256: str
    size: int  # bytes
    episodes: int
    steps: int
    seeds: tuple[int, ...]  # of the episodes, in order
    complete: bool = True


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
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise HplanError(f"{path}: format {content['format']}, this hplan reads {FORMAT}: make the data again")
            content["codec"] = Codec.from_dict(content["codec"], content["task"])
            content["shards"] = tuple(ShardInfo(**_tuples(shard)) for shard in content["shards"])
            return Manifest(**content)
        except (ValueError, KeyError, TypeError) as error:
            raise HplanError(f"{path}: damaged manifest ({error}): make the data again in an empty folder") from error


@dataclass(frozen=True)
class EpisodeStore:
    """Episodes on disk. `damaged`: by file name, why a shard is left out: it is not what was written."""

    path: Path
    manifest: Manifest
    damaged: dict[str, str]

    @staticmethod
    def open(path: Path | str, *, skip_damaged: bool = False, hashes: bool = False) -> EpisodeStore:
        """Open a store. Presence and size of every shard are checked, and with `hashes` every byte.

        Raises HplanError naming the first damaged shard, unless `skip_damaged`: then the sound ones are served.
        """
        folder = Path(path)
        manifest = Manifest.load(folder)
        reasons = {s.file: damage(folder / s.file, s.size, s.sha256 if hashes else None) for s in manifest.shards}
        damaged = {file: reason for file, reason in reasons.items() if reason}
        if damaged and not skip_damaged:
            file, reason = next(iter(damaged.items()))
            raise HplanError(f"{folder / file}: {reason}: the same `hplan data make` again replaces this shard only")
        return EpisodeStore(folder, manifest, damaged)

    def verify(self) -> dict[str, str]:
        """Reason by file name of every shard whose bytes are not what was written; empty where all is well."""
        return EpisodeStore.open(self.path, skip_damaged=True, hashes=True).damaged

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """The shards that can be read."""
        return tuple(s for s in self.manifest.shards if s.file not in self.damaged)

    @property
    def steps(self) -> int:
        return sum(s.steps for s in self.shards)

    def __len__(self) -> int:
        return sum(s.episodes for s in self.shards)

    def arrays(self) -> Iterator[dict[str, np.ndarray]]:
        """The memory-mapped arrays of each readable shard (shard.py says which)."""
        for shard in self.shards:
            yield map_shard(self.path / shard.file)

    def __iter__(self) -> Iterator[Episode]:
        for arrays in self.arrays():
            first, contexts = 0, arrays.get(CONTEXTS)
            for i, (length, terminated, seed) in enumerate(zip(*(arrays[name] for name in EPISODES), strict=True)):
                last = first + int(length)
                yield Episode(
                    observations=arrays["observations"][first : last + 1],
                    actions=arrays["actions"][first:last],
                    rewards=arrays["rewards"][first:last],
                    success=arrays["success"][first:last],
                    violation=arrays["violation"][first:last],
                    terminated=bool(terminated),
                    seed=int(seed),
                    context=None if contexts is None else contexts[i],
                )
                first = last + 1


def shard_name(index: int) -> str:
    return f"shard-{index:05d}.npz"


def write_episodes(out: Path | str, manifest: Manifest, episodes: Iterable[Episode]) -> EpisodeStore:
    """Store episodes that were made elsewhere, as they come. The manifest is written last, with the steps counted.

    Raises UsageError where `out` holds a store already, or where an episode has no step.
    """
    out = Path(out)
    if (out / MANIFEST).exists():
        raise UsageError(f"{out}: already holds episodes: choose another folder")
    batch: list[Episode] = []

    def flush() -> Manifest:
        index, seeds = len(manifest.shards), tuple(episode.seed for episode in batch)
        sha256, size = write_shard(out / shard_name(index), pack(batch))
        steps = sum(map(len, batch))
        batch.clear()
        shard = ShardInfo(index, shard_name(index), sha256, size, len(seeds), steps, seeds)
        return replace(manifest.with_shard(shard), steps=manifest.steps + steps)

    for episode in episodes:
        if not len(episode):
            raise UsageError(
                f"episode {sum(s.episodes for s in manifest.shards) + len(batch)} has no step: leave it out"
            )
        batch.append(episode)
        if sum(map(len, batch)) >= SHARD_STEPS:
            manifest = flush()
    manifest = flush() if batch else manifest
    manifest.save(out)
    return EpisodeStore.open(out)


def versions() -> dict[str, str]:
    """Versions of the installed packages that decide what play looks like."""
    found: dict[str, str] = {}
    for name in _RECORDED:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists where the frozen types have tuples."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
