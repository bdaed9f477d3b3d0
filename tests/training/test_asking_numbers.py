"""Numbers of a vector say what an episode asks for, or how its world works: told apart from play."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from asking_worlds import Spots, SpotsSeen, Windy
from levels.plays import play_of

import hplan
from hplan.levels.encoders import FourierEncoder, StandardEncoder
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.registry import task_of
from hplan.training.asking import FEWEST, asking, unchanging, varies

SEED = 50


@pytest.fixture(scope="module")
def windy(tmp_path_factory: pytest.TempPathFactory) -> Play:
    out = tmp_path_factory.mktemp("windy") / "play"
    play(task_of(Windy), out, steps=6000, seed=SEED)
    return load_play(out)


def test_what_stays_the_same_in_episodes_and_differs_between_them() -> None:
    seen = torch.tensor([[0.0, 5, 1], [1, 5, 1], [2, 6, 1], [3, 6, 1]])
    made = play_of(seen, torch.zeros(4).long(), torch.tensor([1, 0, 1, 0]))
    assert unchanging(made).tolist() == [False, True, False]


def test_a_wind_is_no_target(windy: Play) -> None:
    assert unchanging(windy).tolist() == [False, False, True, True, True, True]
    assert asking(windy, SEED) == (2, 3)
    assert varies(windy), "of the wind"
    found = windy.asked_by((2, 3))
    assert varies(found), "of the wind, which levels still see"
    assert not varies(windy.asked_by((2, 3, 4, 5)))
    assert found.with_history(2).asking == (2, 3, 8, 9), "of both observations that are seen at once"
    first = windy.observations[windy.begins]
    assert found.missions == tuple(map(tuple, first[:, 2:4].tolist()))


def test_nothing_is_taken_for_a_target_where_nothing_could_be_learned_of_it(windy: Play) -> None:
    none = replace(windy, success=torch.zeros_like(windy.success))
    assert asking(none, SEED) == (2, 3), "it was paid"
    assert asking(replace(none, rewards=torch.zeros_like(windy.rewards)), SEED) == ()
    few = torch.nonzero(windy.success)[: FEWEST - 1, 0]
    assert asking(replace(windy, success=torch.isin(torch.arange(len(windy)), few)), SEED) == ()
    assert asking(replace(windy, missions=("go",) * windy.episodes), SEED) == (), "it is said in another way"
    assert asking(replace(windy, missions=windy.asked_by((2, 3)).missions), SEED) == (2, 3), "it is said twice"
    many = torch.cat([windy.observations, windy.observations[:, [2] * 17]], 1)
    assert asking(replace(windy, observations=many), SEED) == (), "a picture"


def test_encoders_do_not_see_what_they_ignore() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(3, 4), torch.randn(3, 4)
    other[:, [0, 3]] = one[:, [0, 3]]
    standard, fourier = (kind(inputs=(4,), latent=5, ignored=(1, 2)) for kind in (StandardEncoder, FourierEncoder))
    standard.measure(one)
    assert standard(one).shape == (3, 2) and torch.equal(standard(one), standard(other))
    assert fourier(one).shape == (3, 5) and torch.equal(fourier(one), fourier(other))
    seeing = FourierEncoder(inputs=(4,), latent=5)
    assert not torch.equal(seeing(one), seeing(other))


@pytest.mark.training
def test_an_agent_takes_a_target_from_the_first_observation(tmp_path: Path) -> None:
    settings = {"base_steps": 20}
    agent = hplan.learn(SpotsSeen, tmp_path / "run", steps=5000, seed=SEED, settings=settings, levels=1)
    loaded, env = hplan.load(tmp_path / "run"), SpotsSeen()
    assert agent.stack.asking == loaded.stack.asking == (2, 3)
    for seed in range(3):
        seen, _ = env.reset(seed=seed)
        loaded.reset()
        loaded.act(seen)
        said = ", ".join(f"{number:.4g}" for number in seen[2:].tolist())
        assert loaded.tree.root.label == f"({said})"
        elsewhere = seen.copy()
        elsewhere[2:] += 0.1
        assert loaded.plan(elsewhere).root.label != f"({said})"
        loaded.reset(mission=elsewhere[2:])
        loaded.act(seen)
        assert loaded.tree.root.label != f"({said})", "what the caller says goes before what is seen"
    actions, state = loaded.predict(np.stack([seen, elsewhere]))
    assert len(actions) == len(state) == 2


@pytest.mark.training
def test_where_numbers_say_how_the_world_works_level_0_sees_them_as_they_are(tmp_path: Path) -> None:
    agent = hplan.learn(Windy, tmp_path / "run", steps=8000, seed=SEED, settings={"base_steps": 600}, levels=1)
    assert agent.stack.asking == (2, 3) and agent.levels_info[0]["latent_shape"] == (4,)
    assert hplan.evaluate(agent, Windy, episodes=30, seed=SEED).success_rate >= 0.8


class SpotsFast(SpotsSeen):
    """A push changes how fast the point goes, which nothing shows."""

    STEPS = 40

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.speed = np.zeros(2)
        return super().reset(seed=seed)

    def step(self, action: int) -> Any:
        way = np.array(((1, 0), (-1, 0), (0, 1), (0, -1))[action])
        self.speed = np.clip(self.speed + 0.1 * way, -0.2, 0.2)
        self.here = np.clip(self.here + self.speed - 0.2 * way, -1, 1).astype(np.float32)  # which the step adds again
        return super().step(action)


@pytest.mark.training
def test_a_target_is_ignored_in_every_observation_that_is_seen_at_once(tmp_path: Path) -> None:
    settings = {"base_steps": 50}
    agent = hplan.learn(SpotsFast, tmp_path / "run", steps=8000, seed=SEED, settings=settings, levels=1)
    assert agent.stack.asking == (2, 3) and agent.stack.history == 2
    assert agent.stack.levels[0].parts["encoder"]["ignored"] == (2, 3, 6, 7)
    head = agent.stack.levels[0].parts["success"]
    assert (head["kind"], head["columns"]) == ("target", 2), "none of the target as it was seen before"


def test_a_mission_beside_the_vector_takes_nothing_from_it(tmp_path: Path) -> None:
    out = tmp_path / "play"
    play(task_of(Spots), out, steps=2000, seed=SEED)
    made = load_play(out)
    assert made.missions and asking(made, SEED) == ()
