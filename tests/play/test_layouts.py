"""Rows of play know the image that they are in, and their place in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from test_context import stored

from hplan.play.play import load_play


def test_each_image_is_kept_once_and_rows_know_theirs(tmp_path: Path) -> None:
    stored(tmp_path)
    data = load_play(tmp_path)
    assert data.contexts is not None
    twice = replace(data, contexts=data.contexts[torch.arange(data.episodes) % 2])
    layouts = twice.layouts
    assert layouts is not None and len(layouts.images) == 2
    for row in (0, 35, len(data) - 1):
        shown = layouts.images[layouts.of[row]]
        assert twice.contexts is not None and torch.equal(shown, twice.contexts[data.episode[row]].float())


def test_places_follow_the_legend_of_the_map(tmp_path: Path) -> None:
    stored(tmp_path)
    data = load_play(tmp_path)
    legend = replace(data.observation_spec, context_frame=(-4.0, 2.0, 0.5))
    layouts = replace(data, observation_spec=legend).layouts
    assert layouts is not None
    assert torch.allclose(layouts.places * 0.5 + torch.tensor([-4.0, 2.0]), data.observations, atol=1e-4)


def test_reach_is_as_far_as_steps_go(tmp_path: Path) -> None:
    stored(tmp_path)
    data = load_play(tmp_path)
    layouts = data.layouts
    assert layouts is not None
    straight = replace(layouts, places=torch.arange(len(data))[:, None] * torch.tensor([[0.3, -0.1]]))
    rows = data.starts(8)
    assert [straight.reach(rows, stride) for stride in (1, 4, 8)] == [1, 2, 3]


def test_worlds_without_a_layout_have_none(tmp_path: Path) -> None:
    stored(tmp_path)
    assert replace(load_play(tmp_path), contexts=None).layouts is None
