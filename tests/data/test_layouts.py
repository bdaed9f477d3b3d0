"""Rows of play know the image that they are in, and their place in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from test_context import stored

from hplan.data.layouts import layouts_of, shifted
from hplan.data.windows import load_play


def test_each_image_is_kept_once_and_rows_know_theirs(tmp_path: Path) -> None:
    stored(tmp_path)
    data = load_play(tmp_path)
    assert data.contexts is not None
    twice = replace(data, contexts=np.concatenate([data.contexts[:2]] * data.episodes)[: data.episodes])
    layouts = layouts_of(twice)
    assert layouts is not None and len(layouts.images) == 2
    for row in (0, 35, len(data) - 1):
        shown = layouts.images[layouts.of[row]].numpy()
        assert twice.contexts is not None and np.array_equal(shown, twice.contexts[data.episode[row]])


def test_places_follow_the_legend_of_the_map(tmp_path: Path) -> None:
    stored(tmp_path)
    data = load_play(tmp_path)
    legend = replace(data.observation_spec, context_frame=(-4.0, 2.0, 0.5))
    layouts = layouts_of(replace(data, observation_spec=legend))
    assert layouts is not None
    assert torch.allclose(
        layouts.places * 0.5 + torch.tensor([-4.0, 2.0]), torch.from_numpy(data.observations), atol=1e-4
    )


def test_reach_is_as_far_as_steps_go(tmp_path: Path) -> None:
    stored(tmp_path)
    data = load_play(tmp_path)
    layouts = layouts_of(data)
    assert layouts is not None
    straight = replace(layouts, places=torch.arange(len(data))[:, None] * torch.tensor([[0.3, -0.1]]))
    rows = torch.from_numpy(data.starts(8))
    assert [straight.reach(rows, stride) for stride in (1, 4, 8)] == [1, 2, 3]


def test_worlds_without_a_layout_have_none(tmp_path: Path) -> None:
    stored(tmp_path)
    assert layouts_of(replace(load_play(tmp_path), contexts=None)) is None


def test_shifted_play_sees_around_it_what_it_saw_and_stays_where_play_has_been(tmp_path: Path) -> None:
    stored(tmp_path)
    legend = replace(load_play(tmp_path).observation_spec, context_frame=(-4.0, 2.0, 0.5))
    data = replace(load_play(tmp_path), observation_spec=legend)
    rng = np.random.default_rng(0)
    layout = np.arange(data.episodes) % 3
    places = np.array([(3, 4), (5, 3), (4, 5)])[layout][data.episode] + rng.integers(0, 3, (len(data), 2))
    images = rng.integers(0, 2, (3, 12, 11)).astype(np.uint8)[layout]
    data = replace(data, observations=(places * 0.5 + (-4.0, 2.0)).astype(np.float32), contexts=images)
    moved = shifted(data, seed=1)
    before, after = layouts_of(data), layouts_of(moved)
    assert before is not None and after is not None
    there = after.places.round().long().numpy()
    assert there.min() >= places.min() and there.max() <= places.max()
    assert len(np.unique((there - places)[data.starts(1)], axis=0)) > 3
    for row in range(0, len(data), 7):
        (column, line), (to, at) = places[row], there[row]
        seen = [
            layouts.images[layouts.of[row]].numpy()[j - 1 : j + 2, i - 1 : i + 2]
            for layouts, i, j in ((before, column, line), (after, to, at))
        ]
        assert np.array_equal(*seen)
    assert moved.contexts is not None and moved.contexts.shape == images.shape
    assert shifted(replace(data, contexts=None), 1).observations is data.observations
