"""Several environments as one: each shows what it shows alone, padded, and keeps its own limit, layouts and mission."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from by_name import take
from gymnasium import spaces
from gymnasium.wrappers import TransformAction

import hplan
from hplan.config import ChangeConfig, PlayConfig, TaskConfig
from hplan.levels.heads import success
from hplan.play.explore import begin
from hplan.play.manifest import Manifest
from hplan.play.play import load_play
from hplan.play.record import play
from hplan.reading import Words
from hplan.registry import make_world
from hplan.testing import check_task
from hplan.types import UsageError
from hplan.worlds.mixture import layout_of
from hplan.worlds.split import SplitEnv, layout_split

IDS = ("MiniGrid-DoorKey-5x5-v0", "MiniGrid-UnlockPickup-v0", "MiniGrid-Dynamic-Obstacles-6x6-v0")  # 5x5, 6x11, 6x6
MIXED = TaskConfig("toy/mixed", environments=IDS, layouts="vary", play=PlayConfig(episode_steps=700, restart_rare=0.3))
ALONE = {one: replace(MIXED, environment=one, environments=()) for one in IDS}


def first_seed(world: SplitEnv, identity: str) -> int:
    """Of an episode in that environment."""
    return next(seed for seed in range(100) if world.reset(seed=seed)[1]["goal_name"] == identity)


def test_it_is_a_task_like_any_other() -> None:
    check_task(MIXED)
    world = make_world(MIXED)
    assert world.codec.observation_spec.shape == (6, 11, 6) and world.codec.action_spec.size == 7
    assert world.codec.action_spec.names[:3] == ("left", "right", "forward")


def test_seeds_go_to_each_environment_about_as_often() -> None:
    for split in ("train", "eval"):
        world = make_world(MIXED, split)
        counts = Counter(world.reset(seed=seed)[1]["goal_name"] for seed in range(300))
        assert counts.keys() == set(IDS) and min(counts.values()) > 60


@pytest.mark.parametrize("identity", IDS)
def test_an_episode_is_that_of_the_environment_alone(identity: str) -> None:
    world = make_world(MIXED, "eval").env.env  # type: ignore[attr-defined]  # without splits: there seeds are derived
    alone = make_world(ALONE[identity], "eval").env.env  # type: ignore[attr-defined]
    seed = next(seed for seed in range(100) if world.reset(seed=seed)[1]["goal_name"] == identity)
    observation, info = world.reset(seed=seed)
    expected, its = alone.reset(seed=seed)
    height, width, _ = expected.shape
    assert info["mission"] == info["goal"] == its["mission"] and world.max_steps == alone.max_steps
    assert layout_of(observation) == expected[..., :3].tobytes()
    for action in np.random.default_rng(0).integers(0, alone.action_space.n, 60):
        assert np.array_equal(observation[:height, :width], expected)
        assert not observation[height:].any() and not observation[:, width:].any()
        (observation, *rest), (expected, *other) = world.step(action), alone.step(action)
        assert rest == other
        if rest[1]:
            break
    assert world.draw() == alone.draw()


def test_layouts_that_are_held_back_are_those_of_the_environment_alone() -> None:
    held = make_world(ALONE[IDS[1]], "eval")
    assert all(layout_split(layout_of(held.reset(seed=seed)[0])) == "eval" for seed in range(20))
    for split in ("train", "eval"):
        world = make_world(MIXED, split)
        assert {layout_split(layout_of(world.reset(seed=seed)[0])) for seed in range(40)} == {split}


def test_limits_of_steps_are_each_its_own_in_evaluation_and_those_of_play_in_play() -> None:
    for split, expected in (("eval", {IDS[0]: 250, IDS[1]: 288, IDS[2]: 144}), ("train", dict.fromkeys(IDS, 700))):
        world = make_world(MIXED, split)  # type: ignore[arg-type]
        for identity, limit in expected.items():
            world.reset(seed=first_seed(world, identity))
            assert world.max_steps == limit
    world = make_world(MIXED, "eval")
    world.reset(seed=first_seed(world, IDS[2]))
    assert [take(world, 0).truncated for _ in range(144)] == [False] * 143 + [True]


def test_a_snapshot_remembers_which_environment_it_is_of() -> None:
    world = make_world(MIXED)
    seeds = [first_seed(world, identity) for identity in IDS]
    snapshots, shown = [], []
    for seed in seeds:
        world.reset(seed=seed)
        take(world, 0)
        snapshots.append(world.snapshot())  # type: ignore[attr-defined]
        shown.append(take(world, 1).observation)
    for expected, snapshot in zip(shown, snapshots, strict=True):
        world.restore(snapshot)  # type: ignore[attr-defined]
        assert np.array_equal(take(world, 1).observation, expected)


def test_actions_that_an_environment_lacks_are_its_first_and_running_into_things_is_no_success() -> None:
    world = make_world(MIXED)
    seed = first_seed(world, IDS[2])
    seen = []
    for action in (0, 6):
        world.reset(seed=seed)
        seen.append(take(world, action).observation)
    assert np.array_equal(*seen)
    random, ends = np.random.default_rng(0), []
    for _ in range(300):
        one = take(world, int(random.integers(3)))
        if one.terminated:
            ends.append((one.reward > 0, one.success))
            world.reset(seed=seed)
    assert (False, False) in ends and {over == success for over, success in ends} == {True}


def test_what_cannot_be_mixed_is_told() -> None:
    with pytest.raises(UsageError, match=r"toy/mixed: CartPole-v1 is not seen as MiniGrid's are"):
        make_world(replace(MIXED, environments=(IDS[0], "CartPole-v1")))
    with pytest.raises(UsageError, match=r"view 'symbols' allows slippery"):
        make_world(replace(MIXED, changes=ChangeConfig("closing-corridor")))
    gymnasium.register(
        "Renamed-v0", lambda: TransformAction(gymnasium.make(IDS[0]), lambda action: action + 1, spaces.Discrete(2))
    )
    try:
        with pytest.raises(
            UsageError, match=r"Renamed-v0 takes Discrete\(2\), .* Discrete\(7\); expected the same actions"
        ):
            make_world(replace(MIXED, environments=(IDS[0], "Renamed-v0")))
    finally:
        del gymnasium.registry["Renamed-v0"]


@pytest.mark.training
@pytest.mark.filterwarnings("ignore::hplan.types.SymbolWarning")  # so little play misses a key of some colour
def test_one_agent_learns_from_play_of_all_and_is_told_its_mission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(success, "STEPS", 20)
    store = play(MIXED, tmp_path / "play", steps=3000, seed=0, shard_steps=1500)
    assert Manifest.load(store.path).environment == ", ".join(IDS)
    data, world = load_play(store.path), make_world(MIXED)
    assert len(set(data.missions)) > 2 and data.observations.shape[1:] == (6, 11, 6)
    assert [begin(world, seed).mission for seed in data.seeds[:20].tolist()] == list(data.missions[:20])
    small = {"base_steps": 30, "above_steps": 10, "batch": 32}
    agent = hplan.learn(MIXED, out=tmp_path / "run", play_from=store.path, levels=1, settings=small)
    reading = hplan.load(tmp_path / "run").stack.reading
    assert isinstance(reading, Words) and {"pick", "up", "green", "goal"} <= set(reading.words)
    result = hplan.evaluate(agent, MIXED, episodes=3, seed=1)
    assert set(result.per_goal) <= set(IDS) and sum(record["steps"] for record in result.records) > 0
