"""Episodes that come from elsewhere or go there: Minari's data sets (extra `data`), and OGBench's files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import batch_space, iterate

from hplan.action_spaces import actions, canonical
from hplan.codec import Codec
from hplan.gym_spaces import line
from hplan.play.manifest import Manifest
from hplan.play.next_goals import Asked
from hplan.play.precision import PROBES, offset_from
from hplan.play.store import EpisodeStore, versions, write_episodes
from hplan.types import Episode, HplanError, UsageError
from hplan.worlds.outcome import SUCCESS, VIOLATION

_PREFIX, _SUFFIX = "ogbench/", "-v0"


def export_minari(path: Path | str, dataset: str) -> int:
    """Write the store at `path` as the local Minari data set `dataset` (e.g. hplan/doorkey-v0); returns its episodes.

    `success` and `violation` go into the infos, hplan's specs into the spaces: `import_minari` gives the same play.
    Raises UsageError where Minari is missing, or where it has a data set of that name.
    """
    minari = _minari()
    from minari.data_collector import EpisodeBuffer

    store = EpisodeStore.open(path, hashes=True)
    if store.manifest.observation_spec.context:
        raise UsageError(f"{path}: Minari has no place for the layout that each of these episodes is in")
    codec = store.manifest.codec
    buffers = [_buffer(EpisodeBuffer, number, episode, codec.offset) for number, episode in enumerate(store)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no author, no permalink and no reference score
        try:
            minari.create_dataset_from_buffers(
                dataset,
                buffer=buffers,
                **_spaces(codec),
                algorithm_name=f"hplan play ({store.manifest.source})",
                description=f"Reward-free play of {store.manifest.task}, seed {store.manifest.seed}",
                requirements=[],
            )
        except ValueError as error:
            raise UsageError(f"{dataset}: Minari refuses it ({error})") from error
    return len(buffers)


def import_minari(dataset: str, out: Path | str) -> EpisodeStore:
    """Store a Minari data set that is on this machine in `out`.

    Its spaces are those of play (hplan/codec.py), and so is success: the info `success` or `is_success`, else an end
    with a reward above 0 and above that of every step that does not end. Episodes keep their seeds where all have one.
    Where success is followed by another goal, an episode is cut (`hplan.play.next_goals`).

    Raises UsageError for other spaces, or where it is not here, and HplanError, with the number of the episode, where
    an episode is not what its spaces say or holds numbers that are not finite.
    """
    minari = _minari()
    if dataset not in (local := minari.list_local_datasets()):
        here = ", ".join(local) or "none"
        raise UsageError(
            f"{dataset}: not on this machine, `minari download {quote(dataset)}` fetches it; here are {here}"
        )
    source = minari.load_dataset(dataset)
    codec = Codec.of(source.observation_space, source.action_space, dataset)
    codec = replace(codec, offset=_offset(source, codec))
    manifest = Manifest(
        task=dataset,
        environment=source.env_spec.id if source.env_spec else dataset,
        source="official",
        seed=0,
        steps=0,
        settings={},
        codec=codec,
        versions=versions(),
    )
    return write_episodes(out, manifest, _minari_episodes(source, dataset, codec))


def _minari() -> ModuleType:
    try:
        import h5py  # noqa: F401  # what Minari stores in; it asks for it only when it writes
        import minari
    except ImportError as error:
        raise UsageError(f"{error.name} is not installed: pip install 'hplan[data]'") from error
    return minari


def _minari_episodes(source: Any, dataset: str, codec: Codec) -> Iterator[Episode]:
    seeds = [one.get("seed") for one in source.storage.get_episode_metadata(source.episode_indices)]
    known, ordinary = None not in seeds, None
    for number, one in enumerate(source.iterate_episodes()):
        where, steps, infos = f"{dataset}, episode {number}", len(one.rewards), one.infos or {}
        if not steps:
            raise HplanError(f"{where} has no step: leave it out")
        ended = bool(one.terminations[-1])
        if name := next((name for name in SUCCESS if name in infos), None):
            success = _flag(infos, name, steps, where)
        else:
            ordinary = _best_ordinary_reward(source) if ordinary is None else ordinary
            success = (np.arange(steps) == steps - 1) & ended & (one.rewards[-1] > max(ordinary, 0.0))
        violations = [_flag(infos, name, steps, where) for name in VIOLATION if name in infos]
        seen, asked = _observations(codec, one.observations, steps, where)
        acted, paid = canonical_actions(codec.action_space, one.actions, where), _float32(one.rewards)
        violation = np.any([np.zeros(steps, bool), *violations], axis=0)
        for first, end, mission in asked.stretches(success):
            rows = slice(first, end)
            yield Episode(
                observations=seen[first : end + 1],
                actions=acted[rows],
                rewards=paid[rows],
                success=success[rows],
                violation=violation[rows],
                terminated=ended and end == steps,
                seed=int(seeds[number]) % 2**63 if known else number,
                mission=mission,
            )


def _offset(source: Any, codec: Codec) -> tuple[float, ...]:
    seen: list[np.ndarray] = []
    if codec.observation_spec.kind == "vector":
        with suppress(UsageError, ValueError, TypeError):  # told with the episode where it is read
            for one in islice(source.iterate_episodes(), PROBES):
                rows = iterate(batch_space(codec.observation_space, len(one.rewards) + 1), one.observations)
                seen += [codec.doubles(row) for row in islice(rows, PROBES)]
    return offset_from(seen)


def _best_ordinary_reward(source: Any) -> float:
    """The best reward of all steps that do not end an episode: where each step is paid, ending is no success."""
    rewards = (np.asarray(one.rewards)[~np.asarray(one.terminations, bool)] for one in source.iterate_episodes())
    return max((float(some.max(initial=-np.inf)) for some in rewards), default=-np.inf)


def _observations(codec: Codec, raw: Any, steps: int, where: str) -> tuple[np.ndarray, Asked]:
    """(T + 1, *shape), canonical, of what Minari has for each part of the space; and what they ask for."""
    rows = list(iterate(batch_space(codec.observation_space, steps + 1), raw))
    if len(rows) != steps + 1:
        raise HplanError(
            f"{where} has {len(rows)} observations for {steps} steps; expected {steps + 1}, one after each"
        )
    asked = Asked(codec)
    for step, row in enumerate(rows):
        try:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told as such
                rows[step] = codec.encode(row)
                asked.see(row, step)
        except UsageError as error:
            raise HplanError(f"{where}, step {step}: {str(error).removeprefix(f'{codec.where}: ')}") from error
    return np.stack(rows), asked


def canonical_actions(space: spaces.Space, raw: Any, where: str) -> np.ndarray:
    """(T,) int64 or (T, A) float32: the inverse of the codec's `decode`, for actions (T, ...) of a supported space.

    Raises HplanError naming the first action that is no element of a discrete space, or a space of other kinds.
    """
    parts = isinstance(space, spaces.Dict | spaces.Tuple)
    if parts or (isinstance(space, spaces.Box) and space.dtype.kind != "f"):
        raise HplanError(
            f"{where}: actions of {line(space)} cannot be imported; expected Discrete, MultiDiscrete or MultiBinary, "
            "or a Box of floats"
        )
    if isinstance(space, spaces.Box):
        return _float32(canonical(space, raw))
    rows = np.asarray(raw).reshape(len(raw), -1)
    counts = np.ravel(getattr(space, "nvec", space.n if isinstance(space, spaces.Discrete) else [2] * rows.shape[1]))
    least = np.ravel(getattr(space, "start", 0))
    outside = ~((rows >= least) & (rows < least + counts) & (rows == np.floor(rows))).all(1)
    if outside.any():
        step = int(outside.argmax())
        raise HplanError(f"{where}, step {step}: action {np.asarray(raw)[step]} is outside its space {space}")
    chosen = (rows - least).astype(np.int64)
    if actions(space, where)[0].choices:  # the middles of the parts of their range
        return _float32((2 * chosen + 1) / counts - 1)
    return np.ravel_multi_index(chosen.T.tolist(), counts.tolist()).astype(np.int64)


def _flag(infos: Mapping[str, Any], name: str, steps: int, where: str) -> np.ndarray:
    """(T,) bool of an info that says so for every step, or for every observation. What is not a number says no."""
    value = infos[name]
    values = np.array([]) if isinstance(value, Mapping | tuple) else np.asarray(value)
    if values.size not in (steps, steps + 1) or values.dtype.kind not in "biuf":
        what = f"parts {sorted(map(str, value))}" if isinstance(value, Mapping) else f"shape {values.shape}"
        raise HplanError(f"{where}: info {name!r} has {what}; expected one number or truth value for each step")
    return np.nan_to_num(values.ravel()[-steps:].astype(float)) > 0


def _float32(values: Any) -> np.ndarray:
    with np.errstate(over="ignore"):  # what it cannot hold becomes infinite, and is told as such
        return np.asarray(values).astype(np.float32)


def _buffer(make: Any, number: int, episode: Episode, offset: tuple[float, ...]) -> Any:
    steps = len(episode)
    ends = np.arange(steps) == steps - 1
    return make(
        id=number,
        seed=episode.seed,
        observations=episode.observations + np.array(offset) if offset else np.array(episode.observations),
        actions=np.array(episode.actions),
        rewards=np.array(episode.rewards),
        terminations=ends & episode.terminated,
        truncations=ends & (not episode.terminated),
        infos={name: np.insert(getattr(episode, name), 0, False) for name in ("success", "violation")},
    )


def _spaces(codec: Codec) -> dict[str, spaces.Space]:
    """Spaces whose canonical form is that of the codec; with its offset put back, for which it takes float64. Raises
    UsageError for images with numbers beside them, for which no such space is left."""
    observation, action = codec.observation_spec, codec.action_spec
    if observation.numbers:
        raise UsageError(f"{codec.where} shows images with {observation.numbers} numbers beside: those stay in hplan")
    seen = spaces.Box(-np.inf, np.inf, observation.shape, np.float64 if codec.offset else np.float32)
    if observation.kind == "symbols":
        seen = spaces.MultiDiscrete(np.broadcast_to(observation.cardinalities, observation.shape))
    if observation.kind == "image":
        seen = spaces.Box(0, 255, observation.shape, np.uint8)
    bounds = np.array([action.low, action.high], np.float32)
    acted = spaces.Discrete(action.size) if action.kind == "discrete" else spaces.Box(*bounds)
    return {"observation_space": seen, "action_space": acted}


def import_ogbench(name: str, out: Path | str, *, file: Path | str | None = None) -> EpisodeStore:
    """Store the training set of an OGBench dataset in `out`, for the task `ogbench/...` of the same name.

    name: a task such as ogbench/pointmaze-giant-navigate, or OGBench's own name, pointmaze-giant-navigate-v0.
    file: a downloaded NAME.npz with its NAME-val.npz beside it; without it, OGBench's loader downloads both (or finds
    them where it keeps them). The files hold neither rewards nor seeds: rewards are 0, episode i has the seed i.

    Raises UsageError where OGBench is not installed or the observations are no vectors, HplanError where nothing loads.
    """
    try:
        import ogbench
    except ImportError as error:
        raise UsageError("OGBench is not installed: pip install 'hplan[envs]'") from error
    dataset = name.removeprefix(_PREFIX)
    dataset += "" if dataset.endswith(_SUFFIX) else _SUFFIX
    path = None if file is None else str(file)
    try:
        loaded: Any = ogbench.make_env_and_datasets(dataset, dataset_path=path, compact_dataset=True, dataset_only=True)
    except (OSError, KeyError, ValueError) as error:  # urllib's errors are OSErrors
        raise HplanError(f"{file or dataset}: not loaded ({error}): without a network use `hplan data make`") from error
    columns, _validation = loaded
    observations, actions = columns["observations"], columns["actions"]
    if observations.ndim != 2 or actions.ndim != 2:
        raise UsageError(
            f"{dataset}: observations of shape {observations.shape[1:]}; hplan reads those that are vectors"
        )
    size = actions.shape[1]
    manifest = Manifest(
        task=_PREFIX + dataset.removesuffix(_SUFFIX),
        environment=dataset,
        source="official",
        seed=0,
        steps=0,
        settings={},
        codec=Codec.of(
            spaces.Box(-np.inf, np.inf, observations.shape[1:], np.float32),
            spaces.Box(-1.0, 1.0, (size,), np.float32),  # true of every OGBench environment
            dataset,
        ),
        versions=versions(),
    )
    return write_episodes(out, manifest, _ogbench_episodes(observations, actions, columns["valids"]))


def _ogbench_episodes(observations: np.ndarray, actions: np.ndarray, valids: np.ndarray) -> Iterator[Episode]:
    """`valids` is 0 on the last observation of each episode, whose action has no outcome."""
    first = 0
    for number, last in enumerate(np.flatnonzero(valids == 0).tolist()):
        nothing = np.zeros(last - first, bool)
        yield Episode(
            observations=observations[first : last + 1],
            actions=actions[first:last],
            rewards=nothing.astype(np.float32),
            success=nothing,
            violation=nothing,
            terminated=False,
            seed=number,
        )
        first = last + 1
