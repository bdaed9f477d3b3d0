"""Reward-free play of a task into an episode store: resumable, deterministic, in parallel processes where asked."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, cast

import numpy as np

from hplan.config import TaskConfig
from hplan.files import is_unused, sweep
from hplan.play.collect import Driver, RandomPlay, collect, rare_states
from hplan.play.curious import CuriousPlay, check_curious
from hplan.play.disagreement import CuriousVectors
from hplan.play.explore import CountBasedPlay, Start
from hplan.play.manifest import MANIFEST, Manifest, ShardInfo
from hplan.play.precision import offset_of
from hplan.play.store import (
    SHARD_BYTES,
    SHARD_STEPS,
    EpisodeStore,
    observation_dtype,
    shard_name,
    versions,
    write_shard,
)
from hplan.registry import make_world
from hplan.types import HplanError, ObservationSpec, UsageError
from hplan.worlds.experts import OraclePlay
from hplan.worlds.powder import PowderPlay
from hplan.worlds.rooms import Rooms, RoomsPlay

_DECISIVE = ("kwargs", "view", "layouts", "success")  # fields of a task, beside its recipe, that decide what play is
# Chances that a random action is held: noise that is new every step leads nowhere. How long it takes to get somewhere
# by one of a few actions, nobody knows; all of them at once, as continuous actions are between, is seldom needed.
_HOLD: dict[str, tuple[float, ...]] = {"continuous": (0.75,), "discrete": (0.0, 0.7, 0.95)}
Progress = Callable[[int, int], None]  # steps done, steps asked for
MakeEnv = Callable[[], Any]  # as `hplan.registry.make_world`
Tick = Callable[[int], None]  # steps played since the last tick
Finished = tuple[ShardInfo, HplanError | None]
MakeDriver = Callable[[Any, np.random.Generator, int], Driver]  # environment, randomness, steps
Job = Callable[[int, int, Tick], Finished]  # index of the shard, its steps


def play(
    task: TaskConfig,
    out: Path | str,
    *,
    steps: int,
    seed: int,
    resume: bool = True,
    progress: Progress | None = None,
    workers: int = 1,
    shard_steps: int | None = None,
    make: MakeEnv | None = None,
    driver: MakeDriver | None = None,
) -> EpisodeStore:
    """Play `steps` environment steps of `task` into the folder `out`, in shards of `shard_steps`
    (default: 20,000, and of images as many as 64 MB hold).

    Shard i depends on the settings, `seed` and i alone, never on `workers` or on interruptions: a run that was killed
    and is called again makes what is missing or damaged, and ends with the same bytes. More `steps` extend a store.
    `make` builds the environment (default: the task's own, of training), and `driver` who plays in it (default: as the
    task's recipe says); with `workers` > 1 both have to be picklable.

    Raises UsageError where `out` holds something else or the disk has no room for so many frames, HplanError where the
    environment fails (naming it, seed and step; the episodes before that are kept) or where the disk is full.
    """
    if steps < 1 or workers < 1 or (shard_steps is not None and shard_steps < 1):
        raise UsageError(f"steps, workers and shard_steps are 1 or more, not {steps}, {workers} and {shard_steps}")
    out, report = Path(out), progress or (lambda done, total: None)
    make = make or partial(make_world, task, split="train")
    manifest = _manifest(task, make, steps=steps, seed=seed, shard_steps=shard_steps)
    each: int = manifest.settings["shard_steps"]
    manifest = _begin(out, manifest, resume)
    sizes = {i: min(each, steps - i * each) for i in range(-(-steps // each))}
    for shard in manifest.shards:
        if shard.complete and sizes.get(shard.index) == shard.steps:
            del sizes[shard.index]
    if sizes and manifest.versions != versions():
        raise UsageError(f"{out}: made with {manifest.versions}, here are {versions()}: start anew in another folder")
    done = steps - sum(sizes.values())

    def add(played: int) -> None:
        nonlocal done
        done += played
        report(done, steps)

    add(0)
    job = partial(_shard, task, make, driver or partial(_driver, task), out, seed, manifest.codec.offset)
    with closing(_parallel(job, sizes, workers, add) if workers > 1 else _serial(job, sizes, add)) as shards:
        for shard, error in shards:
            if shard.episodes:
                manifest = manifest.with_shard(shard)
                manifest.save(out)
            if error:
                raise type(error)(f"{error} (the episodes before it are kept in {out})") from error
    return EpisodeStore.open(out)


def _manifest(task: TaskConfig, make: MakeEnv, *, steps: int, seed: int, shard_steps: int | None) -> Manifest:
    """What this call is going to write, without shards."""
    env = make()
    if task.play.recipe == "curious":
        check_curious(env.codec)
    if shard_steps is None:
        fit = SHARD_BYTES // _row_bytes(env.codec.observation_spec)
        shard_steps = min(SHARD_STEPS, max(fit, task.play.episode_steps))  # or large images would cut episodes short
    settings = {name: getattr(task, name) for name in _DECISIVE} | {"shard_steps": shard_steps}
    settings |= {name: getattr(task.play, name) for name in ("recipe", "episode_steps", "restart_rare")}
    if task.changes.kind != "none":
        settings["changes"] = asdict(task.changes)
    manifest = Manifest(
        task=task.name,
        environment=task.where,
        source="regenerated",
        seed=seed,
        steps=steps,
        settings=json.loads(json.dumps(settings)),  # as it will be read back
        codec=replace(env.codec, offset=offset_of(env) if task.offset is None else task.offset),
        versions=versions(),
    )
    env.close()
    return manifest


def _begin(out: Path, manifest: Manifest, resume: bool) -> Manifest:
    """The manifest to go on from: with the sound shards that `out` already holds, if they are of the same play."""
    if not (out / MANIFEST).exists():
        if not is_unused(out):
            raise UsageError(f"{out}: not empty and no episode store: choose another folder")
        _check_room(out, manifest, manifest.steps)
        manifest.save(out)
        return manifest
    if not resume:
        raise UsageError(f"{out}: already holds play: resume it, or choose another folder")
    store = EpisodeStore.open(out, skip_damaged=True, hashes=True)
    found = store.manifest
    if replace(found.codec, offset=manifest.codec.offset) == manifest.codec:
        manifest = replace(manifest, codec=found.codec)  # a clock, say, has gone on since
    for name in ("task", "environment", "source", "seed", "settings", "codec"):
        if (there := getattr(found, name)) != (here := getattr(manifest, name)):
            raise UsageError(f"{out}: holds play with {name} {there}, not {here}: choose another folder")
    if found.steps > manifest.steps:
        raise UsageError(f"{out}: holds {found.steps} steps, more than the {manifest.steps} asked for: use it as it is")
    sweep(out)
    _check_room(out, manifest, manifest.steps - store.steps)
    return replace(manifest, versions=found.versions, shards=store.shards)


def _row_bytes(spec: ObservationSpec) -> int:
    return math.prod(spec.shape) * np.dtype(observation_dtype(spec)).itemsize


def _check_room(out: Path, manifest: Manifest, steps: int) -> None:
    """Raises UsageError where the disk cannot hold so many more steps of images: said before they are played."""
    spec = manifest.codec.observation_spec
    there = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    needed, free = steps * _row_bytes(spec), shutil.disk_usage(there).free
    if spec.kind == "image" and needed > free:
        raise UsageError(
            f"{steps:,} frames of {spec.shape} take {needed / 2**30:.1f} GiB, and the disk of {out} has "
            f"{free / 2**30:.1f} GiB left: play fewer steps, or choose another folder"
        )


def _shard(
    task: TaskConfig,
    make: MakeEnv,
    plays: MakeDriver,
    out: Path,
    seed: int,
    offset: tuple[float, ...],
    index: int,
    steps: int,
    tick: Tick,
) -> Finished:
    """Play and write shard `index`."""
    env = make()
    env.codec = replace(env.codec, offset=offset)
    rng = np.random.default_rng([seed, index])
    try:
        got = collect(env, plays(env, rng, steps), steps=steps, episode_steps=task.play.episode_steps, tick=tick)
    finally:
        env.close()
    lengths, seeds = got.arrays["lengths"], got.arrays["seeds"]
    file = shard_name(index)
    sha256, size = write_shard(out / file, got.arrays) if len(lengths) else ("", 0)
    played = int(lengths.sum())
    told = getattr(env, "told", True)
    info = ShardInfo(index, file, sha256, size, len(lengths), played, tuple(seeds.tolist()), played == steps, told)
    return info, got.error


def _driver(task: TaskConfig, env: Any, rng: np.random.Generator, steps: int) -> Driver:
    observations, actions = env.codec.observation_spec.kind, env.codec.action_spec.kind
    if task.play.recipe == "explore" and observations != "vector" and actions == "discrete":
        rare = task.play.restart_rare
        return CountBasedPlay(env, rng, archive=rare_states(env) if rare > 0 else None, restart_rare=rare)
    if task.play.recipe == "curious":
        if observations == "vector":
            return CuriousVectors(env, rng, steps=steps)
        rare = task.play.restart_rare
        return CuriousPlay(env, rng, archive=rare_states(env) if rare > 0 else None, restart_rare=rare)
    if task.play.recipe in ("explore", "random"):
        plain = task.play.recipe == "random" and actions == "discrete"
        repeat = (0.0,) if plain else _HOLD[actions]
        return RandomPlay(env, rng, steps=steps, restart_rare=task.play.restart_rare, repeat=repeat)
    if isinstance(env.unwrapped, Rooms):
        return ScriptedPlay(RoomsPlay(env, rng))
    if task.play.recipe == "paint":
        return ScriptedPlay(PowderPlay(env, rng))
    return ScriptedPlay(OraclePlay(env, rng, recipe=task.play.recipe))


@dataclass(frozen=True)
class ScriptedPlay:
    """Who knows the map as a driver: what mazes and rooms show is canonical as it is, and so are their actions."""

    oracle: OraclePlay | RoomsPlay | PowderPlay

    def start(self) -> Start:
        return Start(*self.oracle.start())

    def act(self, observation: np.ndarray, step: int) -> Any:
        return self.oracle.act(observation, step)


def _serial(job: Job, sizes: dict[int, int], add: Tick) -> Generator[Finished]:
    """Shard by shard in this process."""
    for index, steps in sizes.items():
        yield job(index, steps, add)


def _parallel(job: Job, sizes: dict[int, int], workers: int, add: Tick) -> Generator[Finished]:
    """As _serial, in processes, in the order in which shards are finished. Closing it ends them all."""
    context = get_context("spawn")  # fork would copy threads' locks
    shards = list(sizes.items())
    processes: dict[Connection, SpawnProcess] = {}
    try:
        for w in range(min(workers, len(shards))):
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(job, shards[w::workers], sender), daemon=True)
            process.start()
            processes[receiver] = process
            sender.close()  # this end, so that the end of the process is the end of its pipe
        pipes = set(processes)
        while pipes:
            for pipe in cast(list[Connection], wait(pipes)):
                try:
                    message = pipe.recv()
                except EOFError:
                    pipes.remove(pipe)
                    processes[pipe].join()
                    if status := processes[pipe].exitcode:
                        raise HplanError(f"a process of play died (status {status}): call it again to go on") from None
                    continue
                if isinstance(message, HplanError):
                    raise message
                if isinstance(message, int):
                    add(message)
                else:
                    yield message
    finally:
        for pipe, process in processes.items():
            process.terminate()
            process.join()
            pipe.close()


def _work(job: Job, shards: list[tuple[int, int]], sender: Connection) -> None:
    """Every n-th shard, in a process of its own."""
    with suppress(KeyboardInterrupt, BrokenPipeError):  # the parent reports; or it was killed, and nobody listens
        try:
            for index, steps in shards:
                sender.send(job(index, steps, sender.send))
        except HplanError as error:
            sender.send(error)
