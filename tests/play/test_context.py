"""The layout that an episode is in is kept once for each, and goes wherever the episode goes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from by_name import begin
from toy_world import Plane

from hplan.codec import Codec
from hplan.config import TaskConfig
from hplan.play.exchange import export_minari
from hplan.play.play import load_play
from hplan.play.record import play
from hplan.play.store import EpisodeStore, write_episodes
from hplan.testing import check_task
from hplan.types import UsageError

MAPPED = replace(Plane.codec, context=(2, 3), context_frame=(0.0, 0.0, 1.0))


@dataclass
class Mapped(Plane):
    """A plane with a map that the seed decides."""

    codec: Codec = MAPPED
    limit: int = 30

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        chart = np.random.default_rng(seed).integers(0, 2, MAPPED.context, dtype=np.uint8)
        return super().reset(seed=seed)[0], {"context": chart}


def stored(folder: Path) -> EpisodeStore:
    return play(TaskConfig("toy/Mapped", "Mapped-v0"), folder, steps=200, seed=0, make=Mapped, shard_steps=100)


def test_contexts_are_those_that_reset_showed(tmp_path: Path) -> None:
    store = stored(tmp_path)
    data = load_play(tmp_path)
    assert data.contexts is not None and data.contexts.shape == (data.episodes, 2, 3)
    for number, episode in enumerate(store):
        shown = begin(Mapped(), episode.seed).context
        assert episode.context is not None and np.array_equal(episode.context, shown)
        assert np.array_equal(data.contexts[number], shown)
    some = data.select(torch.arange(data.episodes) % 2 == 1)
    assert some.contexts is not None and torch.equal(some.contexts, data.contexts[1::2])
    copied = write_episodes(tmp_path / "copy", replace(store.manifest, shards=(), steps=0), store)
    contexts = load_play(copied.path).contexts
    assert contexts is not None and torch.equal(contexts, data.contexts)


def test_worlds_without_one_have_none(tmp_path: Path) -> None:
    play(TaskConfig("toy/Plane", "Plane-v0"), tmp_path, steps=50, seed=0, make=Plane)
    assert load_play(tmp_path).contexts is None
    assert "contexts" not in next(EpisodeStore.open(tmp_path).arrays())


def test_minari_has_no_place_for_it(tmp_path: Path) -> None:
    stored(tmp_path)
    with pytest.raises(UsageError, match="no place for the layout"):
        export_minari(tmp_path, "toy/mapped-v0")


def test_the_check_asks_for_what_the_spec_says() -> None:
    check_task(Mapped())

    @dataclass
    class Blind(Mapped):
        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
            return super().reset(seed=seed)[0], {}

    with pytest.raises(AssertionError, match="context is None"):
        check_task(Blind())
    with pytest.raises(AssertionError, match="context_frame"):
        check_task(Mapped(codec=replace(MAPPED, context_frame=())))
