"""Rows of play know the image that they are in, and their place in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hplan.play.layouts import layouts_of
from test_context import stored

from hplan.play.play import load_play


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
