"""Curious play: what it learns as it goes, what draws it, and that noise does not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_world import CELLS, PUSH, Corridor, Plane

from hplan.codec import Codec
from hplan.config import PlayConfig, TaskConfig
from hplan.play.neighbours import NeighbourModel
from hplan.play.play import load_play
from hplan.play.record import play
from hplan.registry import load_task
from hplan.types import UsageError

TASK = TaskConfig(name="toy", environment="toy", play=PlayConfig(recipe="curious", episode_steps=60, restart_rare=0.3))


def test_it_succeeds_more_often_than_random_play(tmp_path: Path) -> None:
    found = {}
    for recipe in ("curious", "random"):
        task = replace(TASK, play=replace(TASK.play, recipe=recipe))
        play(task, tmp_path / recipe, steps=3000, seed=50, make=Corridor)
        found[recipe] = int(load_play(tmp_path / recipe).success.sum())
    assert found["curious"] > 1.2 * found["random"]


def test_every_action_keeps_support(tmp_path: Path) -> None:
    play(TASK, tmp_path, steps=3000, seed=50, make=Corridor)
    data = load_play(tmp_path)
    assert torch.bincount(data.actions[data.remaining > 0], minlength=3).min() > 0.1 * data.steps


def test_a_shard_depends_on_its_seed_alone(tmp_path: Path) -> None:
    for name, steps, workers in (("whole", 900, 1), ("parts", 300, 1), ("parts", 900, 2)):
        play(TASK, tmp_path / name, steps=steps, seed=50, shard_steps=300, workers=workers, make=Corridor)
    whole, parts = (load_play(tmp_path / name) for name in ("whole", "parts"))
    assert torch.equal(whole.observations, parts.observations)
    assert torch.equal(whole.actions, parts.actions)


def test_it_says_what_it_cannot_play(tmp_path: Path) -> None:
    pushed = Codec.of(CELLS, PUSH, "PushedCorridor-v0")
    with pytest.raises(UsageError, match=r"curious.*continuous.*explore"):
        play(TASK, tmp_path / "play", steps=100, seed=50, make=partial(Corridor, codec=pushed))
    assert not (tmp_path / "play").exists()


def row(*cells: int) -> np.ndarray:
    return np.array(cells, np.uint8).reshape(1, -1, 1)


def test_what_has_always_followed_is_foretold_and_no_longer_new() -> None:
    model = NeighbourModel(1, np.random.default_rng(0))
    before, after = (model.cells(row(*cells)) for cells in ((2, 1, 1), (1, 2, 1)))
    patches = model.patches(before[None])
    model.look(patches)
    assert not model.moves(patches, 0.9).any()  # nothing is sure that was never seen
    new = model.novelty[patches].max()
    for _ in range(20):
        model.learn(before[None], np.array([0]), after[None])
    model.look(patches)
    assert model.moves(patches, 0.9).all()
    assert (model.next[patches[0], 0] == after).all()
    assert model.novelty[patches].max() < 0.1 * new


def novelty_of_strangers(lawful: bool) -> float:
    """Of cells never met, to a model that saw cells of 50 kinds that count on, or are any at every step."""
    rng, model = np.random.default_rng(0), NeighbourModel(1, np.random.default_rng(0))
    for step in range(500):
        now, following = ((step % 50, (step + 1) % 50) if lawful else rng.integers(50, size=2)) + np.array(1)
        before, after = (model.cells(row(cell))[None] for cell in (now, following))
        model.learn(before, np.array([0]), after)
    strangers = model.patches(model.cells(row(60))[None])
    model.look(strangers)
    return float(model.novelty[strangers].max())


def test_noise_is_of_no_interest_though_it_is_new() -> None:
    assert novelty_of_strangers(lawful=True) > 0.8
    assert novelty_of_strangers(lawful=False) < 0.2


def test_moved_patches_are_those_of_the_whole_map() -> None:
    rng, model = np.random.default_rng(0), NeighbourModel(2, np.random.default_rng(0))
    before = rng.integers(1, 5, (20, 4, 5))
    after = np.where(rng.random(before.shape) < 0.2, rng.integers(1, 5, before.shape), before)
    moved = model.moved(after, model.patches(before), after != before)
    assert np.array_equal(moved, model.patches(after))


def test_an_ending_is_no_longer_new() -> None:
    model = NeighbourModel(2, np.random.default_rng(0))
    here = model.cells(row(1, 2))
    patches = model.patches(here[None])
    model.look(patches)
    new = model.novelty[patches[0]].max(0).max(0)
    for _ in range(5):
        model.end(here, 1)
    model.look(patches)
    now = model.novelty[patches[0]].max(0).max(0)
    assert now[0] == new[0]
    assert now[1] < 0.2 * new[1]


def test_of_vectors_a_shard_depends_on_its_seed_alone(tmp_path: Path) -> None:
    for name, steps, workers in (("whole", 600, 1), ("parts", 300, 1), ("parts", 600, 2)):
        play(TASK, tmp_path / name, steps=steps, seed=50, shard_steps=300, workers=workers, make=Plane)
    whole, parts = (load_play(tmp_path / name) for name in ("whole", "parts"))
    assert torch.equal(whole.observations, parts.observations)


def test_with_a_learned_ensemble_it_reaches_what_random_play_does_not(tmp_path: Path) -> None:
    """MountainCar: the flag ends an episode, and held random actions hardly ever come there."""
    task, ended = load_task("gym:MountainCar-v0"), {}
    for recipe in ("curious", "random"):
        played = replace(task, play=replace(task.play, recipe=recipe, restart_rare=0.0))
        play(played, tmp_path / recipe, steps=5000, seed=50)
        ended[recipe] = int(load_play(tmp_path / recipe).terminated.sum())
    assert ended["curious"] > ended["random"]
