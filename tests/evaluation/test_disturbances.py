"""What would not happen is told from what does, by every level's predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hplan
from hplan.cli import main
from hplan.evaluation.disturbances import (
    AROUND,
    colour,
    leap,
    measure,
    surprise,
    surprises,
    vanish_in_image,
    vanish_in_map,
)
from hplan.registry import load_task, make_world
from hplan.report.surprise_table import sparkline, surprise_table
from hplan.types import Disturbance, Episode, LevelReport, LevelSurprise, SurpriseReport, UsageError

MAZE = "ogbench/pointmaze-medium-navigate"


def episode(observations: np.ndarray) -> Episode:
    nothing = np.zeros(len(observations) - 1, bool)
    actions = np.arange(len(nothing)) % 3
    return Episode(observations, actions, nothing.astype(np.float32), nothing, nothing, False, 7)


def images(count: int = 24) -> Episode:
    """A white dot that goes along the diagonal of a black and a grey half."""
    frames = np.zeros((count, 32, 32, 3), np.uint8)
    frames[:, :, 16:] = (90, 40, 20)
    for t in range(count):
        frames[t, t % 32, t % 32] = 255
    return episode(frames)


@given(st.integers(0, 1000), st.integers(8, 60))
def test_a_leap_goes_on_elsewhere(seed: int, steps: int) -> None:
    walk = episode(np.arange(steps + 1, dtype=np.float32)[:, None])
    found = leap(walk, np.random.default_rng(seed), walk)
    assert found is not None
    disturbed, at = found
    gone = np.diff(disturbed.observations[:, 0])
    assert len(disturbed.observations) == len(disturbed) + 1 == len(disturbed.success) + 1
    assert (gone[np.arange(len(gone)) != at - 1] == 1).all(), "everything else is as it was"
    assert abs(gone[at - 1] - 1) >= steps // 4


def test_there_is_no_leap_where_all_is_the_same() -> None:
    same = episode(np.zeros((20, 2), np.float32))
    assert leap(same, np.random.default_rng(0), same) is None


def test_in_noise_a_leap_is_one_of_what_is_below_it() -> None:
    """It goes round and round in 20 steps. Twice round is where it was, which noise hides."""
    rng = np.random.default_rng(0)
    turn = 2 * np.pi * np.arange(81)[:, None] / 20
    clear = episode(np.concatenate([np.sin(turn), np.cos(turn)], 1).astype(np.float32))
    noisy = episode(clear.observations + rng.normal(0, 0.01, (81, 2)).astype(np.float32))
    for _ in range(50):
        found = leap(noisy, rng, clear)
        assert found is not None
        disturbed, at = found
        off = disturbed.observations[at] - disturbed.observations[at - 1]
        assert np.linalg.norm(off) > 0.05


@given(st.integers(0, 1000))
def test_colours_and_parts_of_images_change_at_one_moment(seed: int) -> None:
    one = images()
    for disturb in (colour, vanish_in_image):
        found = disturb(one, np.random.default_rng(seed), one)
        assert found is not None
        disturbed, at = found
        same = (disturbed.observations == one.observations).reshape(len(one) + 1, -1).all(1)
        assert same[:at].all() and not same[at:].any()
    grey = episode(one.observations[..., :1])
    assert colour(grey, np.random.default_rng(0), grey) is None


@given(st.integers(0, 1000))
def test_one_cell_of_a_map_is_another_from_a_moment_on(seed: int) -> None:
    maps = np.random.default_rng(seed).integers(0, 2, (1, 5, 5, 2)).astype(np.uint8).repeat(13, 0)
    found = vanish_in_map(episode(maps), np.random.default_rng(seed), episode(maps))
    assert found is not None
    disturbed, at = found
    changed = (disturbed.observations != maps).any(-1)
    assert not changed[:at].any() and (changed[at:].sum((1, 2)) == 1).all()


def test_what_was_found_is_the_largest_error_above_the_threshold() -> None:
    def level(*errors: float) -> LevelSurprise:
        return LevelSurprise(0, np.arange(3, 3 + len(errors)), np.array(errors), threshold=1.0)

    assert level(0.5, 3.0, 2.0).found == 4
    assert level(0.5, np.inf).found == 4
    assert level(0.5, 1.0).found is None and level().found is None


def test_a_world_of_symbols_is_told_exactly() -> None:
    found = measure(hplan.load("minigrid/DoorKey-8x8"), load_task("minigrid/DoorKey-8x8"), episodes=4, seed=50)
    assert found.episodes == 4 and [level.false_alarms for level in found.levels] == [0.0, 0.0]
    told = {one.kind: one for one in found.levels[0].disturbances}
    assert told["leap"].auroc == told["vanish"].auroc == 1.0
    assert told["leap"].profile.index(max(told["leap"].profile)) == AROUND, "at the moment itself"


def test_an_episode_of_ones_own_is_as_play_has_it() -> None:
    agent, env = hplan.load(MAZE), make_world(load_task(MAZE), "train")
    seen, taken, rng = [env.reset(seed=0)[0]], [], np.random.default_rng(0)
    for _ in range(40):
        taken.append(rng.uniform(-1, 1, 2).astype(np.float32))
        seen.append(env.step(taken[-1])[0])
    env.close()
    own = hplan.surprise(agent, (seen, taken))
    nothing = np.zeros(40, bool)
    same = surprise(agent, Episode(np.stack(seen), np.stack(taken), nothing * 0.0, nothing, nothing, False, 0))
    assert [each.level for each in own] == [0, 1]
    for one, other in zip(own, same, strict=True):
        assert np.array_equal(one.errors, other.errors) and np.array_equal(one.moments, other.moments)
    assert own[0].moments.tolist() == list(range(1, 41))
    elsewhere = [*seen[:20], *(place + 8.0 for place in seen[20:])]
    told = surprises(agent, [Episode(np.stack(elsewhere), np.stack(taken), nothing * 0.0, nothing, nothing, False, 0)])
    assert told[0][0].found == 20 and told[0][0].errors[19] > 5 * told[0][0].threshold


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (3, "expected an Episode"),
        (([[0.0, 0.0]], []), "1 observations and 0 actions"),
        ((["x"] * 2, [1]), "outside its space"),
    ],
)
def test_what_is_no_episode_is_refused(given_: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        surprise(hplan.load(MAZE), given_)


def test_what_another_task_shows_is_refused() -> None:
    with pytest.raises(UsageError, match="ogbench/pointmaze-medium-navigate shows vector"):
        measure(hplan.load("minigrid/DoorKey-8x8"), load_task(MAZE), episodes=1)


def test_the_command_shows_a_table_and_writes_all_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "surprise.json"
    assert main(["surprise", "minigrid/DoorKey-8x8", "--episodes", "2", "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "AUROC" in shown and "vanish" in shown
    found = json.loads(file.read_text())
    assert set(found) == {"agent", "task", "seed", "episodes", "levels", "moments"}
    assert len(found["moments"]) == found["episodes"] == 2 and len(found["moments"][0]) == len(found["levels"]) == 2


def test_a_picture_has_a_bar_for_every_step() -> None:
    assert sparkline((0.0, float("nan"), 1.0, 0.5)) == "▁ █▅"
    one = Disturbance("leap", 1.0, 1.0, 2, (0.0,) * (2 * AROUND + 1))
    report = SurpriseReport("a", "b", 0, 2, (LevelReport(0, 1.0, 0.0, 0.0, (one,)),), ())
    assert surprise_table(report).row_count == 1
