"""OGBench's own files as an episode store. Downloads need a network; `hplan data make` plays the same process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from hplan.codec import Codec
from hplan.play.store import EpisodeStore, Manifest, versions, write_episodes
from hplan.types import Episode, HplanError, UsageError

_PREFIX, _SUFFIX = "ogbench/", "-v0"


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
    return write_episodes(out, manifest, _episodes(observations, actions, columns["valids"]))


def _episodes(observations: np.ndarray, actions: np.ndarray, valids: np.ndarray) -> Iterator[Episode]:
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
