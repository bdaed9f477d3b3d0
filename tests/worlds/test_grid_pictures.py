"""MiniGrid as images: what differs in the grid differs in the picture, and where it is."""

from __future__ import annotations

import numpy as np
import pytest

from hplan.registry import load_task, make_world
from hplan.worlds.grid_pictures import PIXELS, drawing
from hplan.worlds.minigrid import AGENT, CARRIED_COLOUR, CARRIED_TYPE


def world(split: str = "eval"):
    return make_world(load_task("visual/DoorKey-8x8"), split=split)  # type: ignore[arg-type]


def test_every_cell_is_drawn_where_it_is() -> None:
    env = world()
    frame, info = env.reset(seed=3)
    assert frame.shape == (64, 64, 3) and frame.dtype == np.uint8 and "key" in info["mission"]
    view = env.view
    for (row, column), _ in np.ndenumerate(view._view[..., 0]):
        part = frame[PIXELS * row : PIXELS * (row + 1), PIXELS * column : PIXELS * (column + 1)]
        assert np.array_equal(part, drawing(view._view[row, column]))
    env.close()


@pytest.mark.parametrize("kind", [5, 6, 7])
def test_what_is_carried_shows(kind: int) -> None:
    """Keys, balls and boxes of six colours, in four directions, are all told apart."""
    drawn = set()
    for way in range(4):
        for colour in range(6):
            cell = np.zeros(6, np.uint8)
            cell[[0, AGENT, CARRIED_TYPE, CARRIED_COLOUR]] = 1, 1 + way, kind, colour
            drawn.add(drawing(cell).tobytes())
        cell[[CARRIED_TYPE, CARRIED_COLOUR]] = 0
        drawn.add(drawing(cell).tobytes())
    assert len(drawn) == 4 * 7


def test_layouts_of_evaluation_are_others() -> None:
    seen: dict[str, set[bytes]] = {}
    for split in ("train", "eval"):
        env = world(split)
        seen[split] = set()
        for seed in range(30):
            env.reset(seed=seed)
            seen[split].add(env.view.layout)
        env.close()
    assert not seen["train"] & seen["eval"]


def test_a_snapshot_brings_the_picture_back() -> None:
    env = world("train")
    env.reset(seed=0)
    saved = env.snapshot()
    before = [env.step(action)[0] for action in (1, 2, 2)]
    env.restore(saved)
    assert all(np.array_equal(env.step(action)[0], frame) for action, frame in zip((1, 2, 2), before, strict=True))
    env.close()
