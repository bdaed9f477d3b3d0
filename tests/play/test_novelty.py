from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from toy_world import Corridor, Plane

from hplan.config import PlayConfig, Recipe, TaskConfig
from hplan.play.collect import collect, rare_states
from hplan.play.explore import CountBasedPlay
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.registry import load_task, make_world

TASK = TaskConfig(name="toy", environment="toy", play=PlayConfig(recipe="explore", episode_steps=60))


def played(task: TaskConfig, folder: Path, recipe: Recipe, **options: object) -> Play:
    play(replace(task, play=replace(task.play, recipe=recipe)), folder / recipe, seed=0, **options)
    return load_play(folder / recipe)


def test_it_sees_more_than_random_play_and_more_evenly(tmp_path: Path) -> None:
    task = load_task("minigrid/DoorKey-6x6")
    explored, random = (played(task, tmp_path, recipe, steps=20_000) for recipe in ("explore", "random"))
    assert explored.success.sum() > 2 * random.success.sum()

    def states(data: Play) -> int:
        return len({row.tobytes() for row in data.observations.numpy()})

    assert states(explored) > 1.5 * states(random)


def test_every_action_keeps_support(tmp_path: Path) -> None:
    data = played(TASK, tmp_path, "explore", steps=3000, make=Corridor)
    shares = Counter(data.actions[data.remaining > 0].tolist())
    assert min(shares[action] for action in range(3)) > 0.1 * data.steps


def test_vectors_are_played_at_random(tmp_path: Path) -> None:
    explored, random = (played(TASK, tmp_path, recipe, steps=200, make=Plane) for recipe in ("explore", "random"))
    assert torch.equal(explored.observations, random.observations)


def test_with_an_archive_some_episodes_begin_in_rare_states() -> None:
    world = make_world(load_task("gym:FrozenLake8x8-v1"))
    starts = {}
    for share in (0.0, 0.5):
        driver = CountBasedPlay(
            world, np.random.default_rng(0), archive=rare_states(world) if share else None, restart_rare=share
        )
        got = collect(world, driver, steps=2000, episode_steps=100)
        first = np.concatenate([[0], np.cumsum(got.arrays["lengths"] + 1)[:-1]])
        starts[share] = np.unique(got.arrays["observations"][first])
    assert starts[0.0].tolist() == [0]
    assert len(starts[0.5]) > 10
