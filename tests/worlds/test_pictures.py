"""Point mazes as images: the ball is drawn where it is, and what is new at random is new everywhere else."""

from __future__ import annotations

import numpy as np
import pytest

from hplan.config import task_from_table
from hplan.registry import load_task, make_world
from hplan.types import UsageError
from hplan.worlds.pictures import PIXELS, RED, WALL, MazePicture

NAMES = ("medium-navigate", "large-navigate", "giant-navigate", "teleport-navigate", "medium-noisy", "giant-noisy")


def world(name: str, split: str = "eval") -> tuple[object, MazePicture]:
    env = make_world(load_task(f"visual/pointmaze-{name}"), split=split)  # type: ignore[arg-type]
    return env, env.view


def reddest(frame: np.ndarray) -> np.ndarray:
    """(x, y) in pixels: the middle of what is as red as the ball."""
    like = np.abs(frame.astype(float) - RED).sum(-1)
    rows, columns = np.nonzero(like <= like.min() + 30)
    return np.array([columns.mean(), rows.mean()]) + 0.5


@pytest.mark.parametrize("name", NAMES[:4])
def test_the_ball_is_where_it_is_and_the_goal_where_it_would_be(name: str) -> None:
    env, maze = world(name)
    observation, info = env.reset(seed=2)  # type: ignore[attr-defined]
    scale = PIXELS / max(maze.walls.shape)
    for frame, place in ((observation, maze.position), (info["goal"], maze.goal_position)):
        assert frame.shape == (PIXELS, PIXELS, 3) and frame.dtype == np.uint8
        row, column = maze.cell(place)
        centre = np.array(maze.centre((row, column)))
        at = (np.array([column, row]) + 0.5 + (place - centre) / 4) * scale
        assert np.abs(reddest(frame) - at).max() < 0.75
    assert np.array_equal(maze.picture(maze.position), observation), "without flicker a place has one picture"


def test_a_seed_repeats_its_noise() -> None:
    env, _ = world("medium-noisy")
    episodes = []
    for _ in range(2):
        frames = [env.reset(seed=7)[0]]  # type: ignore[attr-defined]
        frames += [env.step(np.ones(2, np.float32))[0] for _ in range(3)]  # type: ignore[attr-defined]
        episodes.append(np.stack(frames))
    assert np.array_equal(*episodes), "noise is of the seed"


@pytest.mark.parametrize("name", NAMES[4:])
def test_a_third_of_all_pixels_and_more_are_new_in_every_frame_goals_too(name: str) -> None:
    env, maze = world(name)
    observation, info = env.reset(seed=3)  # type: ignore[attr-defined]
    following = env.step(np.zeros(2, np.float32))[0]  # type: ignore[attr-defined]
    again = maze.picture(maze.goal_position)
    for one, other in ((observation, following), (info["goal"], again)):
        assert (one != other).any(-1).mean() > 1 / 3


def test_flicker_is_for_pictures_alone() -> None:
    table = {"environment": "pointmaze-medium-v0", "changes": {"kind": "flicker"}}
    with pytest.raises(UsageError, match="'flicker'; view 'position' allows slippery, closing"):
        make_world(task_from_table(table, "mine"), split="eval")


def test_a_generated_maze_shows_its_walls_in_the_image_and_nowhere_else() -> None:
    seen: dict[str, set[bytes]] = {}
    for split in ("train", "eval"):
        env = make_world(load_task("visual/mazes-unseen"), split=split)  # type: ignore[arg-type]
        for seed in range(6):
            observation, info = env.reset(seed=seed)
            walls = env.view.walls
            for cell in ((1, 1), (10, 9), (3, 12)):
                colour = observation[tuple(((np.array(cell) + 0.5) * PIXELS / len(walls)).astype(int))]
                near = np.abs(colour.astype(int) - RED).sum() < 200  # the ball lies there
                assert near or (np.abs(colour.astype(int) - WALL).sum() < 60) == walls[cell]
            assert "context" not in info and env.codec.observation_spec.context == ()
            assert np.array_equal(env.view.picture(env.view.position), observation)
            seen.setdefault(split, set()).add(walls.tobytes())
    assert len(seen["eval"]) > 1 and not seen["train"] & seen["eval"]
