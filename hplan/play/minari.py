"""Episodes to and from Minari, Farama's format for datasets. Needs the extra `data`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hplan.codec import Codec
from hplan.play.shard import observation_dtype
from hplan.play.store import EpisodeStore, Manifest, versions, write_episodes
from hplan.types import ActionSpec, Episode, ObservationSpec, UsageError


def _minari() -> ModuleType:
    try:
        import h5py  # noqa: F401  # what Minari stores in; it asks for it only when it writes
        import minari
    except ImportError as error:
        raise UsageError("Minari is not installed: pip install 'hplan[data]'") from error
    return minari


def export_minari(path: Path | str, dataset: str) -> int:
    """Write the store at `path` as the local Minari dataset `dataset` (e.g. hplan/doorkey-v0); returns its episodes.

    `success` and `violation` go into the infos, hplan's specs into the spaces. Raises UsageError where Minari is
    missing, or where it has a dataset of that name.
    """
    minari = _minari()
    from minari.data_collector import EpisodeBuffer

    store = EpisodeStore.open(path, hashes=True)
    if store.manifest.observation_spec.context:
        raise UsageError(f"{path}: Minari has no place for the layout that each of these episodes is in")
    buffers = [_buffer(EpisodeBuffer, number, episode) for number, episode in enumerate(store)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that there is no author, no permalink and no reference score
        try:
            minari.create_dataset_from_buffers(
                dataset,
                buffer=buffers,
                observation_space=_observation_space(store.manifest.observation_spec),
                action_space=_action_space(store.manifest.action_spec),
                algorithm_name=f"hplan play ({store.manifest.source})",
                description=f"Reward-free play of {store.manifest.task}, seed {store.manifest.seed}",
                requirements=[],
            )
        except ValueError as error:
            raise UsageError(f"{dataset}: Minari refuses it ({error})") from error
    return len(buffers)


def import_minari(dataset: str, out: Path | str) -> EpisodeStore:
    """Store a Minari dataset that is on this machine in `out`.

    Observations are vectors, arrays (H, W, F) of integers from 0, or `Discrete`; infos `success`
    and `violation` are read where there are some. Raises UsageError for other spaces, or where it is not here.
    """
    minari = _minari()
    if dataset not in (local := minari.list_local_datasets()):
        here = ", ".join(local) or "none"
        raise UsageError(f"{dataset}: not on this machine, `minari download {dataset}` fetches it; here are {here}")
    source = minari.load_dataset(dataset)
    observation_spec, action_spec = _observation_spec(source.observation_space), _action_spec(source.action_space)
    codec = Codec.of(source.observation_space, source.action_space, dataset)
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
    return write_episodes(out, manifest, _episodes(source, observation_spec, action_spec))


def _buffer(make: Any, number: int, episode: Episode) -> Any:
    steps = len(episode)
    ends = np.arange(steps) == steps - 1
    return make(
        id=number,
        seed=episode.seed,
        observations=np.array(episode.observations),
        actions=np.array(episode.actions),
        rewards=np.array(episode.rewards),
        terminations=ends & episode.terminated,
        truncations=ends & (not episode.terminated),
        infos={name: np.insert(getattr(episode, name), 0, False) for name in ("success", "violation")},
    )


def _episodes(source: Any, observation: ObservationSpec, action: ActionSpec) -> Iterator[Episode]:
    acted = np.int64 if action.kind == "discrete" else np.float32
    for number, one in enumerate(source.iterate_episodes()):
        steps, infos = len(one.rewards), one.infos or {}
        flags = {name: np.asarray(infos.get(name, np.zeros(steps)), bool)[-steps:] for name in ("success", "violation")}
        yield Episode(
            observations=np.asarray(one.observations, observation_dtype(observation)).reshape(
                steps + 1, *observation.shape
            ),
            actions=np.asarray(one.actions, acted),
            rewards=np.asarray(one.rewards, np.float32),
            terminated=bool(one.terminations[-1]),
            seed=number,
            **flags,
        )


def _observation_space(spec: ObservationSpec) -> Any:
    from gymnasium.spaces import Box

    if spec.kind == "vector":
        return Box(-np.inf, np.inf, spec.shape, np.float32)
    dtype = observation_dtype(spec)
    high = np.broadcast_to(np.array(spec.cardinalities) - 1, spec.shape).astype(dtype)
    return Box(np.zeros_like(high), high, dtype=dtype)


def _action_space(spec: ActionSpec) -> Any:
    from gymnasium.spaces import Box, Discrete

    if spec.kind == "discrete":
        return Discrete(spec.size)
    return Box(np.array(spec.low, np.float32), np.array(spec.high, np.float32))


def _observation_spec(space: Any) -> ObservationSpec:
    from gymnasium.spaces import Box, Discrete

    if isinstance(space, Discrete) and space.start == 0:
        return ObservationSpec("symbols", (1, 1, 1), (int(space.n),))
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating) and len(space.shape) == 1:
        return ObservationSpec("vector", space.shape)
    if (
        isinstance(space, Box)
        and np.issubdtype(space.dtype, np.integer)
        and len(space.shape) == 3
        and not space.low.any()
    ):
        return ObservationSpec("symbols", space.shape, tuple((space.high.max((0, 1)).astype(int) + 1).tolist()))
    raise UsageError(
        f"observations in {_line(space)}; hplan reads vectors (D,), integers (H, W, F) from 0, Discrete(n)"
    )


def _action_spec(space: Any) -> ActionSpec:
    from gymnasium.spaces import Box, Discrete

    if isinstance(space, Discrete) and space.start == 0:
        return ActionSpec("discrete", int(space.n))
    if isinstance(space, Box) and len(space.shape) == 1 and np.isfinite([space.low, space.high]).all():
        return ActionSpec("continuous", space.shape[0], tuple(space.low.tolist()), tuple(space.high.tolist()))
    raise UsageError(f"actions in {_line(space)}; hplan reads Discrete(n) and bounded vectors")


def _line(space: Any) -> str:
    """A space in words; numpy breaks long bounds into several lines."""
    return " ".join(str(space).split())
