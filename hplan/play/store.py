"""Episodes on disk: a folder with a manifest and shards, each one .safetensors file that is read by memory map.

A shard holds its episodes one after the other in flat arrays of N rows, one row per observation: an episode of T steps
has T + 1 rows, and the actions, rewards and flags of its last row are zero, for nothing followed.

    observations (N, ...)   actions (N,) or (N, A)   rewards (N,)   success (N,)   violation (N,)
    lengths (E,) steps of each episode               terminated (E,)               seeds (E,)
    contexts (E, ...) of each episode, in worlds that have any
    missions (E, L) of each episode, in worlds that have any: uint8, UTF-8 with zeros behind; or float32 numbers, NaN
        where an episode has none
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from hplan.play.manifest import MANIFEST, Manifest, ShardInfo, write_atomic
from hplan.types import Episode, HplanError, Mission, ObservationSpec, UsageError

SHARD_STEPS = 20_000  # 1 s of DoorKey, 8 MB: what a kill can cost, and how long one archive of rare states lives
ROWS = ("observations", "actions", "rewards", "success", "violation")  # one entry per observation
EPISODES = ("lengths", "terminated", "seeds")  # one entry per episode
SHARD_BYTES = 64 * 2**20  # of observations, at the most: a shard is in memory while it is played
CONTEXTS, MISSIONS = "contexts", "missions"  # also one per episode, where the world has any
_RECORDED = ("hplan", "numpy", "gymnasium", "minigrid", "ogbench", "mujoco")  # what can change the bytes of play


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

    @property
    def shards(self) -> tuple[ShardInfo, ...]:
        """The shards that can be read."""
        return tuple(s for s in self.manifest.shards if s.file not in self.damaged)

    @property
    def steps(self) -> int:
        return sum(s.steps for s in self.shards)

    def __len__(self) -> int:
        return sum(s.episodes for s in self.shards)

    @property
    def ordinary_reward(self) -> float:
        """The best reward of all steps that do not end an episode; -inf where there are none."""
        shards = [map_shard(self.path / shard.file) for shard in self.shards]
        return max((float(one["rewards"][_lasting(one)].max(initial=-np.inf)) for one in shards), default=-np.inf)

    def arrays(self) -> Iterator[dict[str, np.ndarray]]:
        """The memory-mapped arrays of each readable shard (see the top of this file). Where rewards alone say what
        success is, it is an end with a reward above 0 and above that of every step that does not end: of all play, of
        which the environment had seen a part."""
        by_reward = not any(shard.told for shard in self.shards)
        ordinary = self.ordinary_reward if by_reward else 0.0
        for shard in self.shards:
            arrays = map_shard(self.path / shard.file)
            if by_reward:
                arrays["success"] = _ending(arrays) & (arrays["rewards"] > max(0.0, ordinary))
            yield arrays

    def __iter__(self) -> Iterator[Episode]:
        for arrays in self.arrays():
            first, contexts, missions = 0, arrays.get(CONTEXTS), unpack_missions(arrays)
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
                    mission=missions[i],
                )
                first = last + 1


def observation_dtype(spec: ObservationSpec) -> type[np.float32 | np.uint8 | np.int64]:
    """How observations are stored: images as bytes, and symbols wherever their values fit into one."""
    if spec.kind == "vector":
        return np.float32
    if spec.kind == "image":
        return np.uint8
    return np.uint8 if max(spec.cardinalities) <= 256 else np.int64


def write_shard(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[str, int]:
    """Write the arrays as `path`; returns the file's SHA-256 and its size. The same arrays give the same bytes."""
    # The library writes the memory of an array as it lies, whatever its strides say.
    data = safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    write_atomic(path, data)
    return hashlib.sha256(data).hexdigest(), len(data)


def pack_contexts(contexts: Sequence[np.ndarray | None]) -> dict[str, np.ndarray]:
    """The array of a shard that holds one context for each episode; none where there are none."""
    found = [context for context in contexts if context is not None]
    return {CONTEXTS: np.stack(found)} if found else {}


def pack_missions(missions: Sequence[Mission]) -> dict[str, np.ndarray]:
    """The array of a shard that holds one mission for each episode; none where all are empty. Raises HplanError where
    they are not all words, or numbers of one size."""
    sizes = {0 if isinstance(mission, str) else len(mission) for mission in missions if mission}
    if not sizes:
        return {}
    if len(sizes) > 1:
        raise HplanError(
            "missions are of several kinds: expected words or symbols in all episodes, or as many numbers in each"
        )
    if size := sizes.pop():
        return {MISSIONS: np.array([mission or (np.nan,) * size for mission in missions], np.float32)}
    texts = [str(mission).encode(errors="replace") for mission in missions]
    return {MISSIONS: np.stack([np.frombuffer(text.ljust(max(map(len, texts)), b"\0"), np.uint8) for text in texts])}


def unpack_missions(arrays: Mapping[str, np.ndarray]) -> list[Mission]:
    """The mission of each episode of a shard, empty where it has none."""
    if MISSIONS not in arrays:
        return [""] * len(arrays["lengths"])
    rows = arrays[MISSIONS]
    if rows.dtype == np.uint8:
        return [row.tobytes().rstrip(b"\0").decode(errors="replace") for row in rows]
    return ["" if np.isnan(row).any() else tuple(row.tolist()) for row in rows]


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
        **pack_missions([episode.mission for episode in episodes]),
    }


def map_shard(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard, mapped: nothing is read from the disk before it is used, and nothing that is written into
    them gets there. Raises HplanError where the file is no complete shard."""
    try:
        with safe_open(path, framework="pt") as file:  # its arrays for numpy would be copies
            arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118  # no mapping
    except (OSError, SafetensorError) as error:
        raise HplanError(f"{path}: not a readable shard ({error}): run the same `hplan data make` again") from error
    if missing := [name for name in ROWS + EPISODES if name not in arrays]:
        raise HplanError(f"{path}: not a shard of episodes, {', '.join(missing)} missing")
    return arrays


def _ending(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N,) bool: the rows whose step ended an episode in the environment's own way."""
    ending = np.zeros(len(arrays["rewards"]), bool)
    ending[(np.cumsum(arrays["lengths"] + 1) - 2)[arrays["terminated"]]] = True
    return ending


def _lasting(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """(N,) bool: the rows whose step did not; on the last row of an episode nothing follows."""
    lasting = ~_ending(arrays)
    lasting[np.cumsum(arrays["lengths"] + 1) - 1] = False
    return lasting


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


def shard_name(index: int) -> str:
    return f"shard-{index:05d}.safetensors"


def write_episodes(out: Path | str, manifest: Manifest, episodes: Iterable[Episode]) -> EpisodeStore:
    """Store episodes that were made elsewhere, as they come. The manifest is written last, with the steps counted.

    Raises UsageError where `out` holds a store already, or where an episode has no step; HplanError where it holds a
    number that is not finite in float32.
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
        _check(episode, sum(s.episodes for s in manifest.shards) + len(batch))
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


def _check(episode: Episode, number: int) -> None:
    if not len(episode):
        raise UsageError(f"episode {number} has no step: leave it out")
    for name in ("observations", "actions", "rewards"):
        column = getattr(episode, name)
        if len(bad := np.argwhere(~np.isfinite(column))):
            at = tuple(bad[0].tolist())
            raise HplanError(
                f"episode {number}: {name} hold {column[at]} at step {at[0]}; expected finite numbers that float32 can "
                "hold: mend the data, or leave the episode out"
            )
