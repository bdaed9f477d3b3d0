"""Any Gymnasium environment as a world: success, violations, goals, limits, pictures, wrong names."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
from by_name import begin, take
from gymnasium import spaces
from small_environments import Corridor, Reach

from hplan.registry import load_task, make_world, task_from_factory
from hplan.testing import check_task
from hplan.types import HplanError, UsageError
from hplan.worlds.gym import GymView

NAMES = ["CliffWalking-v1", "FrozenLake8x8-v1", "Taxi-v4", "Blackjack-v1", "CartPole-v1", "MountainCarContinuous-v0"]


@pytest.mark.parametrize("name", [*NAMES, "MiniGrid-Empty-5x5-v0", "MiniGrid-Dynamic-Obstacles-5x5-v0"])
def test_registered_environments_are_tasks(name):
    check_task(f"gym:{name}")


def last_step(**options):
    world = make_world(task_from_factory(lambda: Corridor(**options), "corridor"))
    begin(world, 0)
    return [take(world, 1) for _ in range(3)][-1]


@pytest.mark.parametrize(
    ("info", "reward", "success"),
    [
        ({}, 1.0, True),
        ({}, 0.0, False),
        ({}, -1.0, False),
        ({"success": 1.0}, 0.0, True),
        ({"is_success": False}, 1.0, False),
    ],
)
def test_success_is_the_environments_own_word(info, reward, success):
    done = last_step(info=info, reward=reward)
    assert done.terminated
    assert done.success is success


def test_ending_succeeds_where_the_call_says_so():
    world = make_world(load_task("gym:CliffWalking-v1", success="terminated"), "eval")
    begin(world, 0)
    path = [0] + 11 * [1] + [2]  # up, right along the cliff, down
    steps = [take(world, action) for action in path]
    assert [s.success for s in steps] == 12 * [False] + [True]
    assert world.max_steps == 1000  # it has no limit of its own


@pytest.mark.parametrize("info", [{"cost": 0.5}, {"constraint_violation": True}])
def test_violations(info):
    assert last_step(info=info).violation is True
    assert last_step(info=dict.fromkeys(info, 0)).violation is False


def test_limit_is_kept_where_the_environment_has_none():
    world = make_world(task_from_factory(Corridor, "corridor"))
    begin(world, 0)
    assert [i for i in range(1000) if take(world, 0).truncated] == [999]


def test_goal_environments_ask_for_an_observation_and_for_what_it_has_to_achieve():
    task = task_from_factory(Reach)
    assert (task.name, task.goal) == ("Reach", "auto")
    world = make_world(task, "eval")
    start = begin(world, 1)
    env = world.view.unwrapped
    assert start.observation.tolist() == [*env.position, *env.position, 0, 0]
    assert start.goal.tolist() == [*env.goal, *env.goal, 0, 0]  # there, and at rest
    assert world.reset(seed=1)[1]["mission"].tolist() == env.goal.tolist()
    away = env.goal - env.position
    steps = [take(world, np.clip(10 * away, -1, 1)) for _ in range(1)]
    assert steps[-1].observation[:2].tolist() == env.position.tolist()
    check_task(world)


def test_goals_of_one_space_with_the_observation_are_handed_out_as_they_are():
    class Bits(Reach):
        observation_space = spaces.Dict({key: spaces.MultiBinary(4) for key in Reach.observation_space})
        action_space = spaces.Discrete(4)

        def reset(self, *, seed=None, options=None):
            gymnasium.Env.reset(self, seed=seed)
            self.bits = np.zeros(4, np.int8)
            return {"observation": self.bits, "achieved_goal": self.bits, "desired_goal": self.bits + 1}, {}

    start = begin(GymView(Bits(), "bits"), 0)
    assert start.observation.ravel().tolist() == [0, 0, 0, 0]
    assert start.goal.ravel().tolist() == [1, 1, 1, 1]


def test_pictures_are_plain_text():
    lake = make_world(load_task("gym:FrozenLake-v1"))
    begin(lake, 0)
    assert lake.render().splitlines() == ["@FFF", "FHFH", "FFFH", "HFFG"]
    pole = make_world(load_task("gym:CartPole-v1"))
    begin(pole, 0)
    assert pole.render().startswith("[")


def test_unknown_environments_are_told_with_near_ones():
    with pytest.raises(UsageError, match=r"unknown environment 'CliffWalkng-v1': did you mean CliffWalking-v1"):
        load_task("gym:CliffWalkng-v1")
    with pytest.raises(UsageError, match="needs no_such_module, which cannot be imported"):
        load_task("gym:no_such_module:Thing-v0")


@pytest.mark.parametrize("line", ["raise RuntimeError('no licence')", "raise SystemExit('no licence')"])
def test_a_module_that_raises_is_named(line, tmp_path, monkeypatch):
    (tmp_path / "raises_at_once.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match=r"importing raises_at_once for environment 'X-v0' raised \w+: no licence"):
        load_task("gym:raises_at_once:X-v0")


def test_a_module_in_this_folder_gets_a_hint(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in sys.path if path])
    with pytest.raises(UsageError, match=r"needs only_here, .*`python -m hplan` finds it"):
        load_task("gym:only_here:X-v0")


def test_what_a_constructor_raises_is_told():
    def broken() -> gymnasium.Env:
        raise RuntimeError("no licence")

    with pytest.raises(HplanError, match="mine: making the environment raised RuntimeError: no licence"):
        task_from_factory(broken, "mine")


def test_unsupported_spaces_are_usage_errors():
    class Camera(Corridor):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    with pytest.raises(UsageError, match=r"camera: observation space Box\(0, 255, \(8, 8, 3\), uint8\) is not"):
        make_world(task_from_factory(Camera, "camera"))


def test_environments_that_can_be_pickled_go_back():
    world = make_world(load_task("gym:FrozenLake8x8-v1"))
    begin(world, 0)
    walk = np.random.default_rng(0).integers(0, 2, 12).tolist()
    for _ in range(150):
        take(world, 0)  # along the left edge, where there is no hole
    snapshot = world.snapshot()
    one = [take(world, action).observation.item() for action in walk]
    world.restore(snapshot)
    assert [take(world, action).observation.item() for action in walk] == one
    world.restore(snapshot)
    assert not any(take(world, 0).truncated for _ in range(190))  # of 200: they count anew


def test_what_frees_something_when_it_goes_is_not_copied():
    """As pybullet's environments do: a copy has the same simulator, and would end it."""
    running = {1}

    class Simulator:
        def __init__(self) -> None:
            self.number = 1

        def __del__(self) -> None:
            running.discard(self.number)

    class Simulated(Corridor):
        def __init__(self) -> None:
            super().__init__()
            self.simulator = Simulator()

    globals().update({"Simulator": Simulator, "Simulated": Simulated})  # where pickle looks for them
    for local in (Simulator, Simulated):
        local.__qualname__ = local.__name__
    world = GymView(Simulated(), "simulated")
    assert running and not hasattr(world, "snapshot")


def test_environments_that_would_come_back_as_new_do_not_offer_it():
    class Fresh(gymnasium.utils.EzPickle, Corridor):
        def __init__(self) -> None:
            gymnasium.utils.EzPickle.__init__(self)
            Corridor.__init__(self)

    assert not hasattr(GymView(Fresh(), "fresh"), "snapshot")
    assert hasattr(GymView(Corridor(), "corridor"), "snapshot")


IMAGE, NUMBERS = spaces.Box(0, 255, (32, 32, 3), np.uint8), spaces.Box(-1.0, 1.0, (3,))
WORDS = spaces.Text(20)


class Asking(gymnasium.Env):
    """A part stays the same in an episode; what is seen does not."""

    action_space = spaces.Discrete(2)

    def __init__(self, part: str, asks: spaces.Space, seen: spaces.Space) -> None:
        self.part, self.seen = part, seen
        self.observation_space = spaces.Dict({part: asks, "seen": seen})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        space = self.observation_space[self.part]
        space.seed(int(self.np_random.integers(1000)))
        self.asked = ("left", "right")[int(self.np_random.integers(2))] if space == WORDS else space.sample()
        return {self.part: self.asked, "seen": self.seen.sample()}, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return {self.part: self.asked, "seen": self.seen.sample()}, 0.0, False, False, {}


@pytest.mark.parametrize(
    ("part", "asks", "seen", "shape"),
    [
        ("instruction", WORDS, IMAGE, (32, 32, 3)),
        ("instruction", WORDS, NUMBERS, (3,)),
        ("target", NUMBERS, IMAGE, (32, 32, 3)),
        ("task", spaces.Discrete(50), IMAGE, (32, 32, 3)),
        ("wanted", IMAGE, IMAGE, (32, 32, 3)),
    ],
)
def test_what_an_episode_asks_for_may_have_any_name(
    part: str, asks: spaces.Space, seen: spaces.Space, shape: tuple[int, ...]
) -> None:
    view = GymView(Asking(part, asks, seen), "asking")
    assert view.codec.mission == part and view.codec.observation_spec.shape == shape
    assert np.array_equal(view.reset(seed=1)[1]["mission"], view.env.asked)


@pytest.mark.parametrize(("part", "asks", "seen"), [("map", IMAGE, NUMBERS), ("target", NUMBERS, NUMBERS)])
def test_a_picture_of_the_layout_is_none_and_of_vectors_play_tells(
    part: str, asks: spaces.Space, seen: spaces.Space
) -> None:
    assert not GymView(Asking(part, asks, seen), "asking").codec.mission
