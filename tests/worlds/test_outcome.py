"""What came of a step: success that rewards tell, of an environment and of its play, and values that say nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from by_name import begin, take
from gymnasium import spaces
from small_environments import Corridor

from hplan.play.play import load_play
from hplan.play.record import play
from hplan.play.summary import summarize
from hplan.registry import make_world, task_from_factory
from hplan.types import HplanError


class Survival(gymnasium.Env):
    """Every step is paid, and some more than others; it ends after three."""

    observation_space, action_space = spaces.Discrete(4), spaces.Discrete(2)
    pays = (1.0, 2.0)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.at = 0
        return 0, {}

    def step(self, action: int) -> Any:
        self.at += 1
        return self.at, self.np_random.uniform(*self.pays), self.at == 3, False, {}


class Arrival(Survival):
    """Where the end is paid more than any other step, if not by as much as they differ."""

    def step(self, action: int) -> Any:
        observation, reward, ended, truncated, info = super().step(action)
        return observation, 2.1 if ended else reward, ended, truncated, info


def test_an_end_that_happens_to_be_paid_well_is_no_success_of_play_nor_of_the_environment(tmp_path: Path) -> None:
    env = make_world(task_from_factory(Survival))
    for seed in range(50):
        begin(env, seed)
        assert not any(take(env, 1).success for _ in range(3))
    task = task_from_factory(Survival)
    store = play(task, tmp_path, steps=600, seed=0)
    assert 1.9 < store.ordinary_reward < 2.0
    for shown in (load_play(tmp_path).success, *(episode.success for episode in store)):
        assert not shown.any()


def test_an_end_that_is_paid_more_than_all_of_play_is_a_success_of_play_and_of_its_agent(tmp_path: Path) -> None:
    task = task_from_factory(Arrival)
    store = play(task, tmp_path, steps=600, seed=0, shard_steps=100)
    found = summarize(tmp_path)
    assert load_play(tmp_path).success.sum() == found.successes == found.terminated > 0
    env = make_world(replace(task, ordinary_reward=store.ordinary_reward), "eval")
    begin(env, 0)
    assert [take(env, 1).success for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(("said", "success"), [(np.nan, False), (None, False), (np.True_, True), (np.array(1), True)])
def test_what_is_no_number_is_no_success(said: Any, success: bool) -> None:
    env = make_world(task_from_factory(lambda: Corridor(info={"success": said, "cost": said})))
    begin(env, 0)
    done = take(env, 1)
    assert (done.success, done.violation) == (success, success)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"info": {"success": "no"}}, r"info\['success'\] is 'no'; expected a number"),
        ({"info": {"cost": {"left": 1.0}}}, r"info\['cost'\] is {'left': 1.0}; expected a number"),
        ({"info": {"is_success": [True, False]}}, r"info\['is_success'\] has 2 values where one is expected"),
        ({"reward": "much"}, "reward is 'much'; expected a number"),
        ({"reward": 1e39}, "reward 1e.39 is not finite in float32"),
    ],
    ids=str,
)
def test_what_says_nothing_is_told(parts: Any, told: str) -> None:
    env = make_world(task_from_factory(lambda: Corridor(**parts)))
    begin(env, 0)
    with pytest.raises(HplanError, match=told):
        _ = [take(env, 1) for _ in range(3)]


class Changes(Corridor):
    """Its spaces are others from the second episode on, or from step 2 on."""

    def __init__(self, when: str, what: str) -> None:
        super().__init__()
        self.when, self.what, self.episodes = when, what, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.episodes += 1
        if self.when == "episode" and self.episodes == 2:
            setattr(self, self.what, spaces.Discrete(9))
        return super().reset(seed=seed, options=options)

    def step(self, action: int) -> Any:
        if self.when == "step" and self.steps == 1:
            setattr(self, self.what, spaces.Discrete(9))
        return super().step(action)


@pytest.mark.parametrize("when", ["episode", "step"])
@pytest.mark.parametrize(("what", "was"), [("action_space", 2), ("observation_space", 4)])
def test_an_environment_that_changes_its_spaces_is_told(what: str, was: int, when: str) -> None:
    env = make_world(task_from_factory(lambda: Changes(when, what)))
    begin(env, 0)
    word = what.replace("_", " ")
    said = rf"seed \d, step \d: its {word} was Discrete\({was}\) and has become Discrete\(9\): hplan takes environments"
    with pytest.raises(HplanError, match=said):
        _ = [take(env, 1) for _ in range(2)] if when == "step" else begin(env, 1)


def test_an_environment_that_makes_its_spaces_anew_keeps_them() -> None:
    class Anew(Corridor):
        @property
        def action_space(self) -> Any:  # type: ignore[override]
            return spaces.Discrete(2)

    env = make_world(task_from_factory(Anew))
    for seed in range(2):
        begin(env, seed)
        assert take(env, 1).observation.item() == 1


def test_a_grid_that_becomes_larger_is_told_where_it_is_played(tmp_path: Path) -> None:
    class Grows(gymnasium.Env):
        observation_space, action_space = spaces.Box(0, 3, (4, 5), np.int64), spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.steps = 0
            return np.zeros((4, 5), np.int64), {}

        def step(self, action: int) -> Any:
            self.steps += 1
            return np.zeros((4 + self.steps // 3, 5), np.int64), 0.0, False, False, {}

    with pytest.raises(HplanError, match=r"Grows, seed \d+, step 2: it shows \(5, 5, 1\) and was of \(4, 5, 1\)"):
        play(task_from_factory(Grows), tmp_path, steps=50, seed=0)


def test_what_an_episode_begins_with_is_told_with_its_seed(tmp_path: Path) -> None:
    class Outside(Corridor):
        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return 7, {}

    said = r"Outside, seed [1-9]\d*, step 0: observation 7 is outside its space Discrete\(4\)"
    with pytest.raises(HplanError, match=said):
        play(task_from_factory(Outside), tmp_path, steps=50, seed=0)
