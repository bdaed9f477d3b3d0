"""What float32 rounds away is told, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_world import PLANE

from hplan.play.manifest import Manifest
from hplan.play.play import load_play
from hplan.play.precision import rounded
from hplan.play.store import write_episodes
from hplan.types import Episode, PrecisionWarning

T = 500
RANDOM = np.random.default_rng(0)
TIME = np.arange(T + 1)
WALK = RANDOM.normal(size=T + 1).cumsum()


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (1.7e9 + TIME, True),  # seconds since 1970: neighbours are 128 apart
        (1.7e9 + 1e-6 * WALK, True),  # nothing is left
        (1e5 + 2e-3 * TIME, True),
        (1e-6 * WALK, False),  # small is no trouble by itself
        (1.7e9 * WALK, False),  # nor is large
        (1e5 + WALK, False),
        (np.ones(T + 1), False),  # never changes
        (1 + 1e-8 * RANDOM.normal(size=T + 1), False),  # trembles at rest
        (np.where(TIME % 50 < 5, WALK, 1 + 1e-7 * RANDOM.normal(size=T + 1)), False),  # mostly at rest, and moves
        (TIME % 2, False),
    ],
)
def test_steps_that_are_lost_are_told(column: np.ndarray, told: bool) -> None:
    observations = torch.from_numpy(np.stack([WALK, column], 1).astype(np.float32))
    assert set(rounded(observations, torch.arange(T, -1, -1))) == ({1} if told else set())


def test_leaps_between_episodes_are_no_steps() -> None:
    column = 1e5 + 1e-3 * TIME + 1000.0 * (TIME // 50)
    observations = torch.from_numpy(column[:, None].astype(np.float32))
    assert set(rounded(observations, torch.from_numpy(np.minimum(49 - TIME % 50, T - TIME)))) == {0}


def test_it_is_said_in_one_line_before_anything_is_learned(tmp_path: Path) -> None:
    flags = np.zeros(T, bool)
    observations = np.stack([1.7e9 + TIME, 1e-6 * WALK], 1).astype(np.float32)
    episode = Episode(observations, np.zeros((T, 2), np.float32), np.zeros(T, np.float32), flags, flags, False, 0)
    write_episodes(tmp_path / "a", Manifest("toy", "toy", "official", 0, 0, {}, PLANE, {}), [episode])
    with pytest.warns(PrecisionWarning, match=r"float32 cannot hold .*: 0 \(up to 1\.7e\+09\)\. Subtract") as caught:
        load_play(tmp_path / "a")
    assert "\n" not in str(caught[0].message)
