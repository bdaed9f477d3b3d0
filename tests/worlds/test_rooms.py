"""Rooms: what a dot can and cannot do, who plays, and what an episode asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hplan.play.play import load_play
from hplan.play.record import play
from hplan.registry import load_task, make_world
from hplan.types import HplanError, UsageError
from hplan.worlds.rooms import MIDDLE, PLANS, REACHED, Expert, Rooms, RoomsPlay

KINDS = tuple(PLANS)


def rooms(kind: str, seed: int = 0, **options: int) -> Rooms:
    made = Rooms(kind=kind, **options)
    made.reset(seed=seed)
    return made


@given(st.sampled_from(KINDS), st.integers(0, 50))
def test_no_action_leads_into_a_wall_nor_through_one(kind: str, seed: int) -> None:
    """Between two places in different rooms there is always a doorway that is open."""
    made, rng = rooms(kind, seed), np.random.default_rng(seed)
    place = made.any_place(rng)
    for _ in range(200):
        following = made.moved(place, rng.uniform(-1, 1, 2))
        assert made.is_free(*following)
        for axis in {axis for axis, _ in made.plan.doors}:
            if (place[axis] > MIDDLE) != (following[axis] > MIDDLE):
                doors = [at for way, at in made.plan.doors if way == axis and (way, at) != made.closed]
                assert any(abs(following[1 - axis] - at) <= made.plan.wide for at in doors)
        place = following


def test_a_dot_slides_along_a_wall() -> None:
    made = rooms("two")
    place = np.array([MIDDLE - 1.5 - 2.0, 50.0])
    assert made.moved(place, np.array([1.0, 0.5])).tolist() == [place[0], 51.0]


@pytest.mark.parametrize(("kind", "ahead", "steps"), [("two", 25, 50), ("two", 100, 150), ("four", 75, 210)])
def test_who_knows_the_rooms_gets_there_in_time(kind: str, ahead: int, steps: int) -> None:
    made = Rooms(kind=kind, ahead=ahead, max_steps=steps)
    for seed in range(20):
        _, info = made.reset(seed=seed)
        expert, over, result = Expert(made, np.random.default_rng(seed)), False, {}
        while not over:
            expert.target = made.goal_position
            away = expert.waypoint(made.position) - made.position
            _, _, ended, cut, result = made.step(away / np.abs(away).max())
            over = ended or cut
        assert result["success"], f"seed {seed}"
        assert info["goal"].shape == (64, 64, 3) and info["goal"].dtype == np.uint8


def test_a_goal_of_four_rooms_is_two_doors_away_and_closed_doors_stay_closed() -> None:
    made, closed = rooms("four"), 0
    for seed in range(40):
        made.reset(seed=seed)
        assert [a != b for a, b in zip(made.room(made.position), made.room(made.goal_position), strict=True)] == [
            True
        ] * 2
        if made.closed:
            axis, at = made.closed
            assert not made.is_free(*((MIDDLE, at) if axis == 0 else (at, MIDDLE)))
            closed += 1
    assert 10 <= closed <= 30, "a door is closed in every other episode"


def test_an_image_shows_the_dot_and_what_moves_by_itself() -> None:
    made = rooms("two")
    here, there = (made.picture(np.array(place)) for place in ((20.0, 20.0), (40.0, 20.0)))
    changed = np.argwhere((here != there).any(-1))
    near = np.minimum(*(np.abs(changed - np.array(place)).max(1) for place in ((20, 20), (20, 40))))
    assert len(changed) and (near <= 7).all()
    assert here[19:21, 19:21, 0].min() == 255 and here[19:21, 19:21, 1:].max() < 20, "red"
    four = rooms("four")
    still = [four.step(np.zeros(2, np.float32))[0] for _ in range(2)]
    assert (still[0] != still[1]).any(), "the other dot goes on"


def test_an_episode_ends_at_its_goal_in_evaluation_only() -> None:
    for split in ("eval", "train"):
        env = make_world(load_task("visual/two-room"), split=split)
        env.reset(seed=0)
        inner = env.unwrapped
        inner.goal_position = inner.position
        _, reward, ended, _, info = env.step(np.zeros(2, np.float32))
        assert info["success"] and reward == 1.0 and ended is (split == "eval")
        assert inner.max_steps == (50 if split == "eval" else 200)
        assert "▀" in env.render()
        env.close()


def test_the_same_seed_is_the_same_episode() -> None:
    frames = []
    for _ in range(2):
        env = gymnasium.make("hplan/FourRoom-v0", ahead=75, max_steps=210)
        first, info = env.reset(seed=5)
        frames.append(np.stack([first, info["goal"], *(env.step(np.ones(2, np.float32))[0] for _ in range(50))]))
        env.close()
    assert (frames[0] == frames[1]).all()


def test_play_is_of_experts_and_explorers(tmp_path: Path) -> None:
    task = load_task("visual/four-rooms")
    play(task, tmp_path / "play", steps=900, seed=0)
    found = load_play(tmp_path / "play")
    assert len(found) == 900 + found.episodes and found.observation_spec.kind == "image"
    env = make_world(task)
    driver, kinds = RoomsPlay(env, np.random.default_rng(0)), set()
    for _ in range(12):
        driver.start()
        kinds.add(driver._expert is None)
    assert kinds == {True, False}
    env.close()


def test_a_view_of_rooms_is_of_rooms() -> None:
    task = replace(load_task("visual/two-room"), environment="CartPole-v1", kwargs={})
    with pytest.raises(UsageError, match="CartPoleEnv has no rooms"):
        make_world(task)


def test_a_place_is_reached_within_sixteen_pixels_of_their_224() -> None:
    assert pytest.approx(16 * 64 / 224) == REACHED


def test_a_goal_that_is_out_of_reach_is_refused() -> None:
    with pytest.raises(HplanError, match="no place 2 doors away is 3 steps ahead"):
        rooms("four", ahead=3)
