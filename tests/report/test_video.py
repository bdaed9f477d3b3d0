"""Episodes as films: a frame for every step, all of one size, at the pace that was asked for."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from made_up_episode import episode
from PIL import Image, ImageSequence

from hplan.control.plan_tree import ROOT
from hplan.report.video import EVEN, HOLD, MOMENTS, moments, save_video
from hplan.types import HplanError, UsageError


def gif(path: Path) -> tuple[list[np.ndarray], list[int]]:
    with Image.open(path) as film:
        frames = [(np.asarray(one.convert("RGB")), one.info["duration"]) for one in ImageSequence.Iterator(film)]
    return [picture for picture, _ in frames], [time for _, time in frames]


def test_a_gif_has_every_step_and_holds_the_last(tmp_path: Path) -> None:
    path = save_video(iter(episode()), tmp_path / "new" / "film.gif", fps=4, title="made-up")
    frames, times = gif(path)
    assert times == [250, 250, 250, 1000 * HOLD]
    assert len({frame.shape for frame in frames}) == 1
    assert all((a != b).any() for a, b in pairwise(frames)), "each step looks different"
    assert path.read_bytes() == save_video(episode(), tmp_path / "again.gif", fps=4, title="made-up").read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["film.gif"], "and nothing is left beside it"


def test_a_step_that_changes_one_letter_of_the_world_changes_only_there(tmp_path: Path) -> None:
    step = episode()[0]
    other = replace(step, world=step.world.replace("k", "K"))
    (first, second), _ = gif(save_video([step, other], tmp_path / "film.gif"))
    rows, columns = np.nonzero((first != second).any(axis=2))
    assert 0 < np.ptp(rows) < 20 and 0 < np.ptp(columns) < 20


def test_colours_that_come_late_are_kept(tmp_path: Path) -> None:
    """The first step of the made-up episode is calm; surprise (red) and the cause of a repair (orange) come later."""
    frames, _ = gif(save_video(episode(), tmp_path / "film.gif"))
    red = [((frame[..., 0] > 200) & (frame[..., 1] < 60)).sum() for frame in frames]
    assert red[0] == red[1] == 0 and red[2] > 20


def test_an_mp4_has_every_step_at_its_pace(tmp_path: Path) -> None:
    path = save_video(episode(), tmp_path / "film.MP4", fps=5)
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert frames == len(episode()) + HOLD * 5
    assert seconds == pytest.approx(frames / 5, abs=0.05)


def test_a_film_strip_has_the_moments_at_which_the_highest_plan_goes_on(tmp_path: Path) -> None:
    steps = episode()
    plans = [[(node.id, node.status) for node in step.tree.children(ROOT)] for step in steps]
    kept = [i for i, plan in enumerate(plans) if i == 0 or plan != plans[i - 1]]
    kept += [len(steps) - 1] * (kept[-1] != len(steps) - 1)
    assert moments(steps) == [steps[i] for i in kept] and 1 < len(kept) < len(steps)
    assert len(moments([step for _ in range(9) for step in steps])) == MOMENTS
    (one, *_), _ = gif(save_video(episode(), tmp_path / "film.gif"))
    with Image.open(save_video(episode(), tmp_path / "strip.png")) as strip:
        assert strip.height % len(kept) == 0 and strip.width % EVEN == 0 and strip.height > one.shape[0]


def test_wide_worlds_and_odd_letters_are_drawn(tmp_path: Path) -> None:
    steps = [replace(episode()[0], world="世界 [bold]\n" * i) for i in range(1, 3)]
    frames, _ = gif(save_video(steps, tmp_path / "film.gif"))
    assert frames[0].shape == frames[1].shape


@pytest.mark.parametrize(
    ("name", "steps", "fps", "said"),
    [
        ("film.avi", 1, 5, r"film.avi: expected a name that ends in .gif, .mp4 or .png"),
        ("film", 1, 5, r"expected a name that ends in .gif, .mp4 or .png"),
        ("film.gif", 0, 5, "there is no step to show"),
        ("film.gif", 1, 0, "fps=0: expected a number of steps a second above 0"),
        ("film.gif", 1, float("nan"), "fps=nan"),
    ],
)
def test_what_cannot_be_a_film_is_refused(tmp_path: Path, name: str, steps: int, fps: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        save_video(episode()[:steps], tmp_path / name, fps=fps)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_told_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    steps = iter(episode())
    with pytest.raises(HplanError, match=r"imageio_ffmpeg is not installed: pip install 'hplan\[viz\]'"):
        save_video(steps, tmp_path / "film.gif")
    assert len(list(steps)) == len(episode())
