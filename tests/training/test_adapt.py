"""Adapting to reward in the world itself: where play never was, the agent learns what is paid there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from asking_worlds import Cells
from gymnasium import spaces

import hplan
from hplan.levels.heads import uncertainty
from hplan.play.play import load_play
from hplan.registry import load_task, make_world
from hplan.training import vectors
from hplan.training.adapt import AgentPlay
from hplan.types import NoSuccessWarning, UsageError

pytestmark = pytest.mark.training


@pytest.fixture(autouse=True, scope="module")
def short() -> Iterator[None]:
    """Other heads are not what is tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uncertainty, "STEPS", 100)
        patch.setattr(vectors, "SUPPORT_STEPS", 100)
        yield


SMALL = {"base_steps": 300, "critic_steps": 60, "batch": 64, "hidden": 32, "discount": 0.9}


class Meadow(gymnasium.Env):
    """Ten steps on a line; every step pays what grass there is, and most of it grows at the right end."""

    observation_space = spaces.Box(-1.5, 1.5, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.at = 0.0
        return self._seen(), {}

    def step(self, action: int) -> tuple:
        self.at = float(np.clip(self.at + 0.2 * (2 * int(action) - 1), -1, 1))
        return self._seen(), self.at, False, False, {}

    def _seen(self) -> np.ndarray:
        return np.array([self.at, 0.5 * self.at], np.float32)


def meadow() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Meadow(), 10)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("meadow") / "run"
    with pytest.warns(NoSuccessWarning, match="aims for as much reward as can be had"):
        hplan.learn(meadow, out, steps=1500, levels=1, settings=SMALL)
    return out


def test_the_world_model_is_learned_anew_where_that_is_asked_for(run: Path, tmp_path: Path) -> None:
    options = {"steps": 200, "rounds": 2, "episodes": 2, "critic_steps": 60}
    found = hplan.adapt(run, tmp_path / "adapted", task=meadow, world_model=True, **options)
    best = sum(min(0.2 * step, 1.0) for step in range(1, 11))
    assert found.after.return_mean == pytest.approx(best, abs=0.01)
    before, after = (one.stack.levels[0].state_dict() for one in (hplan.load(run), hplan.load(tmp_path / "adapted")))
    for part in ("dynamics", "space", "returns_head"):
        assert any(not weights.equal(after[name]) for name, weights in before.items() if name.startswith(part)), part
    again = hplan.adapt(run, tmp_path / "adapted", task=meadow, world_model=True, **options)
    assert again.after.return_mean == found.after.return_mean
    with pytest.raises(UsageError, match=r"adapted holds another run \(world_model True there and False here"):
        hplan.adapt(run, tmp_path / "adapted", task=meadow, **options)


def test_what_it_brought_is_said_and_the_world_model_stays(run: Path, tmp_path: Path) -> None:
    found = hplan.adapt(run, tmp_path / "adapted", task=meadow, steps=200, episodes=2, critic_steps=60)
    best = sum(min(0.2 * step, 1.0) for step in range(1, 11))
    assert found.after.return_mean == pytest.approx(best, abs=0.01)
    kept = hplan.load(tmp_path / "adapted")
    assert kept.train_info["adapted"] == {
        "steps": 200,
        "before": pytest.approx(found.before.return_mean),
        "after": pytest.approx(found.after.return_mean),
    }
    before, after = (one.stack.levels[0].state_dict() for one in (hplan.load(run), kept))
    for name, weights in before.items():
        if not name.startswith("returns_head"):
            assert weights.equal(after[name]), name
    assert any(not weights.equal(after[name]) for name, weights in before.items())
    assert len(list((tmp_path / "adapted").glob("round-*/play/manifest.json"))) == 4


def test_again_it_does_nothing_and_comes_to_the_same(run: Path, tmp_path: Path) -> None:
    options = {"task": meadow, "steps": 40, "episodes": 1, "critic_steps": 20}
    first = hplan.adapt(run, tmp_path / "adapted", **options)
    again = hplan.adapt(run, tmp_path / "adapted", **options)
    assert (first.before.records[0]["reward"], first.after.records[0]["reward"]) == (
        again.before.records[0]["reward"],
        again.after.records[0]["reward"],
    )


class Fork(Meadow):
    """The right end is what counts."""

    def step(self, action: int) -> tuple:
        seen, *_ = super().step(action)
        done = self.at > 0.9
        return seen, 0.0, done, False, {"success": done}


def fork() -> gymnasium.Env:
    return gymnasium.wrappers.TimeLimit(Fork(), 10)


def test_an_agent_that_aims_for_success_learns_all_of_it_anew_from_where_it_has_been(
    tmp_path: Path,
) -> None:
    run, options = tmp_path / "run", {"task": fork, "steps": 100, "rounds": 2, "episodes": 3}
    before = hplan.learn(fork, run, steps=1500, levels=1, settings={"base_steps": 300, "batch": 64, "hidden": 32})
    found = hplan.adapt(run, tmp_path / "adapted", **options)
    assert found.after.success_rate == 1
    kept = hplan.load(tmp_path / "adapted")
    assert kept.train_info["adapted"] == {"steps": 100, "before": found.before.success_rate, "after": 1}
    old, new = (one.stack.levels[0].state_dict() for one in (before, kept))
    assert any(not weights.equal(new[name]) for name, weights in old.items() if name.startswith("dynamics"))
    own = load_play(tmp_path / "adapted" / "round-1" / "play", tmp_path / "adapted" / "round-2" / "play")
    assert own.steps == 100 and own.success.any()  # in the agent's own way, which one action in ten leaves
    assert (own.actions[own.starts(1)] == 1).float().mean() > 0.8
    (run / "play").rename(tmp_path / "play")
    with pytest.raises(UsageError, match=r"no play beside it, .* from 100 steps alone: say where it lies"):
        hplan.adapt(run, tmp_path / "other", **options)
    other = hplan.adapt(run, tmp_path / "other", play_from=tmp_path / "play", **(options | {"rounds": 1}))
    assert other.after.success_rate == 1


def test_what_is_asked_for_is_read_afterwards_as_before(tmp_path: Path) -> None:
    hplan.learn(Cells, tmp_path / "run", steps=3000, seed=50)
    found = hplan.adapt(tmp_path / "run", tmp_path / "adapted", task=Cells, steps=200, rounds=1, episodes=5, seed=50)
    assert found.before.success_rate == found.after.success_rate == 1
    kept, asked = hplan.load(tmp_path / "adapted"), hplan.load(tmp_path / "run")
    assert kept.stack.reading is not None and asked.stack.reading is not None
    assert kept.stack.reading.saved()[0] == asked.stack.reading.saved()[0]


def test_what_the_world_hands_out_as_a_goal_is_what_it_practises_for() -> None:
    env = make_world(load_task("ogbench/pointmaze-medium-navigate"))
    player = AgentPlay(hplan.load("ogbench/pointmaze-medium-navigate"), env, np.random.default_rng(0))
    for _ in range(2):
        start = player.start()
        assert start.goal is not None and len(player.act(start.observation, 0)) == env.codec.action_spec.size
        tree = player.agent.tree
        assert tree.root.label == "goal" and tree.root.evaluations > 0
    env.close()
