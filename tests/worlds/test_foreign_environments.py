"""What users bring: wrappers that have to act, odd classes and returns, functions that return the wrong thing."""

from __future__ import annotations

from itertools import product
from typing import Any

import gymnasium
import numpy as np
import pytest
from by_name import begin, take
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from minigrid.core import constants
from minigrid.core.grid import Grid
from minigrid.core.mission import MissionSpace
from minigrid.core.world_object import Ball, Goal, WorldObj
from minigrid.minigrid_env import MiniGridEnv
from minigrid.wrappers import FullyObsWrapper
from small_environments import Corridor

import hplan
from hplan.play.explore import Restorable
from hplan.play.record import play
from hplan.registry import load_task, make_world, task_from_factory
from hplan.types import HplanError, UsageError
from hplan.worlds.minigrid import full_view

EMPTY, MAZE = "MiniGrid-Empty-5x5-v0", "pointmaze-medium-v0"


class Pay(gymnasium.RewardWrapper):
    def reward(self, reward: Any) -> float:
        return float(reward) - 5.0


class Few(gymnasium.ActionWrapper):
    """The same actions, but turning right: 0 and 1 are the other way round, and there are three."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.action_space = spaces.Discrete(3)

    def action(self, action: int) -> int:
        return (1, 0, 2)[action]


class Win(gymnasium.Wrapper):
    def step(self, action: Any) -> Any:
        observation, reward, _, truncated, info = self.env.step(np.zeros_like(action))
        return observation, reward, True, truncated, {**info, "success": 1.0}


class Dot(gymnasium.ObservationWrapper):
    """Shows where the agent is, as one number."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.observation_space = spaces.Discrete(25)

    def observation(self, observation: Any) -> int:
        x, y = self.unwrapped.agent_pos  # type: ignore[attr-defined]
        return int(5 * y + x)


def made(factory: Any, split: Any = "eval") -> Any:
    return make_world(task_from_factory(factory, "mine"), split)


@pytest.mark.parametrize("split", ["train", "eval"])
def test_wrappers_of_minigrid_act(split: str) -> None:
    env = made(lambda: Pay(gymnasium.make(EMPTY)), split)
    begin(env, 0)
    assert take(env, 0).reward == -5.0
    few = made(lambda: Few(gymnasium.make(EMPTY)), split)
    assert (few.codec.action_spec.size, few.codec.action_spec.names) == (3, ())
    start = begin(few, 0).observation
    assert start[1, 1, 3] == 1  # looks right
    assert take(few, 0).observation[1, 1, 3] == 2  # action 0 turns right now
    done = take(made_and_begun(lambda: Win(gymnasium.make(EMPTY)), split), 0)
    assert done.terminated and done.success
    assert few.observation_space.shape == (5, 5, 6)


def made_and_begun(factory: Any, split: str) -> Any:
    env = made(factory, split)
    begin(env, 0)
    return env


@pytest.mark.parametrize(
    "factory",
    [
        lambda: TimeLimit(gymnasium.make(EMPTY), 7),
        lambda: gymnasium.make(EMPTY, max_episode_steps=7),
        lambda: Pay(gymnasium.make(EMPTY, max_episode_steps=7)),
        lambda: TimeLimit(Corridor(), 7),
        lambda: gymnasium.make("FrozenLake-v1", max_episode_steps=7, desc=["SFFF"] * 3 + ["FFFG"]),
    ],
)
def test_limits_of_steps_act(factory: Any) -> None:
    env = made_and_begun(factory, "eval")
    assert env.max_steps == 7
    assert next(n for n in range(1, 20) if take(env, 0).truncated) == 7


def test_wrappers_of_mazes_act() -> None:
    pytest.importorskip("ogbench")
    env = made(lambda: Win(gymnasium.make(MAZE)))
    start = begin(env, 1)
    done = take(env, np.ones(2, np.float32))
    assert np.array_equal(done.observation, start.observation)
    assert done.terminated and done.success
    assert start.goal is not None and start.goal_name == "2"
    limited = made_and_begun(lambda: gymnasium.make(MAZE, max_episode_steps=7), "eval")
    assert next(n for n in range(1, 20) if take(limited, np.zeros(2)).truncated) == 7


def test_what_a_wrapper_of_the_user_s_shows_is_what_is_seen_and_minigrid_s_own_give_way() -> None:
    dot = made(lambda: Dot(gymnasium.make(EMPTY)))
    assert begin(dot, 0).observation.item() == 6
    full = made(lambda: FullyObsWrapper(gymnasium.make(EMPTY)))
    assert begin(full, 0).observation.shape == (5, 5, 6)

    class Camera(gymnasium.ObservationWrapper):
        observation_space = spaces.Box(0, 255, (9, 9, 3), np.uint8)

    with pytest.raises(UsageError, match=r"mine: observation space Box\(0, 255, \(9, 9, 3\), uint8\) is not supported"):
        made(lambda: Camera(gymnasium.make(EMPTY)))


class Metadata(Corridor):
    metadata = {"render_modes": ["human", "ansi"]}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()


class NoModes(Metadata):
    metadata = {"render_modes": None}  # noqa: RUF012


class NoPicture(Metadata):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode

    def render(self) -> Any:
        raise NotImplementedError


class Quits(NoPicture):
    def render(self) -> Any:
        raise SystemExit(3)


@pytest.mark.filterwarnings("ignore:.*render_modes:UserWarning")  # Gymnasium's own, of NoModes
@pytest.mark.parametrize("kind", [Metadata, NoModes, NoPicture, Quits])
def test_what_cannot_be_drawn_is_made_all_the_same(kind: type) -> None:
    gymnasium.register(f"{kind.__name__}-v0", kind, max_episode_steps=20)
    try:
        env = make_world(load_task(f"gym:{kind.__name__}-v0"))
        begin(env, 0)
        assert env.render() == "0"
    finally:
        del gymnasium.registry[f"{kind.__name__}-v0"]


class Room(MiniGridEnv):
    """An object between the agent and the goal."""

    def __init__(self, thing: Any = None, mission: Any = lambda: "go", **options: Any) -> None:
        self.thing = thing or Ball("blue")
        super().__init__(mission_space=MissionSpace(mission_func=mission), width=6, height=6, max_steps=100, **options)

    def _gen_grid(self, width: int, height: int) -> None:
        self.grid = Grid(width, height)
        self.grid.wall_rect(0, 0, width, height)
        self.put_obj(Goal(), 4, 4)
        self.put_obj(self.thing, 2, 1)
        self.agent_pos, self.agent_dir, self.mission = (1, 1), 0, "go"


def test_a_mission_that_cannot_be_pickled_is_played_without_going_back(tmp_path: Any) -> None:
    task = task_from_factory(Room)
    env = make_world(task)
    assert not isinstance(env, Restorable)
    assert env.reset(seed=0)[1]["mission"] == "go"
    assert len(play(task, tmp_path, steps=500, seed=0)) > 0


@pytest.fixture
def food(monkeypatch: pytest.MonkeyPatch) -> type[WorldObj]:
    number = max(constants.OBJECT_TO_IDX.values()) + 1
    monkeypatch.setitem(constants.OBJECT_TO_IDX, "food", number)
    monkeypatch.setitem(constants.IDX_TO_OBJECT, number, "food")

    class Food(WorldObj):
        grown = 4

        def __init__(self) -> None:
            super().__init__("food", "green")

        def encode(self) -> tuple[int, int, int]:
            return number, 1, self.grown

    return Food


def test_an_object_of_the_user_s_own_is_drawn_and_shown_as_it_changes(food: type[WorldObj]) -> None:
    thing: Any = food()
    env = made(lambda: Room(thing))
    start = begin(env, 0).observation
    assert (start < np.array(env.codec.observation_spec.cardinalities)).all()
    assert start[1, 2, :3].tolist() == [11, 1, 4]
    assert env.render().splitlines()[1] == "#>f  #"
    env.unwrapped.thing.grown = 5
    assert take(env, 0).observation[1, 2, 2] == 5
    env.unwrapped.thing.grown = 64
    with pytest.raises(UsageError, match="out of bounds"):
        take(env, 0)


def test_an_object_of_the_user_s_own_is_carried_as_it_encodes_itself(food: type[WorldObj]) -> None:
    class Light(food):  # type: ignore[misc, valid-type]
        def can_pickup(self) -> bool:
            return True

        def encode(self) -> tuple[int, int, int]:
            return (*super().encode()[:1], 3, 0)  # of another colour than the one that it was made with

    env = made(lambda: Room(Light()))
    begin(env, 0)
    carrying = take(env, 3).observation
    assert carrying[1, 1, 3:].tolist() == [1, 11, 3]
    assert np.array_equal(carrying, full_view(env.unwrapped))


@pytest.mark.parametrize(
    "one", [np.array([1.0]), np.float64(1.0), 1, [1.0], np.array(1.0)], ids=["(1,)", "numpy", "int", "list", "()"]
)
def test_rewards_and_flags_may_be_arrays_of_one(one: Any) -> None:
    class Arrays(Corridor):
        def step(self, action: int) -> Any:
            observation, _, done, truncated, _ = super().step(action)
            info = {"is_success": np.array([done]), "cost": np.array([0.0])}
            return np.array([observation]), one, np.array([done]), np.array([truncated]), info

    env = made_and_begun(Arrays, "train")
    steps = [take(env, 1) for _ in range(3)]
    assert [step.reward for step in steps] == [1.0] * 3
    assert [step.success for step in steps] == [step.terminated for step in steps] == [False, False, True]
    assert not any(step.violation for step in steps)


def test_several_rewards_are_no_reward() -> None:
    class Two(Corridor):
        def step(self, action: int) -> Any:
            observation, _, *rest = super().step(action)
            return observation, np.zeros(2), *rest

    with pytest.raises(HplanError, match=r"mine, seed 0, step 0: .*2 values where one is expected"):
        take(made_and_begun(Two, "train"), 1)


@pytest.mark.parametrize(
    ("paid", "success"),
    [([0, 0, 1], True), ([1, 1, 1], False), ([1, 1, 2], True), ([2, 0, 1], False), ([0, 0, 0], False)],
)
def test_where_every_step_is_paid_ending_is_no_success(paid: list[float], success: bool) -> None:
    class Paid(Corridor):
        def step(self, action: int) -> Any:
            observation, _, *rest = super().step(action)
            return observation, paid[self.steps - 1], *rest

    env = made_and_begun(Paid, "train")
    assert [take(env, 1).success for _ in range(3)] == [False, False, success]


def test_actions_and_limits_are_numpy_s_as_sample_gives_them() -> None:
    class Item(Corridor):
        max_steps = np.int64(15)

        def step(self, action: Any) -> Any:
            return super().step(action.item())

    env = made_and_begun(Item, "train")
    assert take(env, 1).observation.item() == 1
    assert take(env, env.codec.decode(0)).observation.item() == 0
    assert env.max_steps == 15 and type(env.max_steps) is int


class Duck:
    observation_space, action_space = Corridor.action_space, Corridor.action_space

    def reset(self, seed: int | None = None) -> Any:
        return 0, {}


class OldGym(Duck):
    pass


OldGym.__module__ = "gym.envs.classic_control"


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (Duck, "expected a gymnasium.Env, got a Duck"),
        (lambda: None, "expected a gymnasium.Env, got None"),
        (lambda: gymnasium.make_vec("CartPole-v1", num_envs=1), "a vector environment .* is several"),
        (lambda: gymnasium.make_vec("CartPole-v1", num_envs=2), "a vector environment .* is several"),
        (OldGym, "of the package gym, which Gymnasium replaced"),
    ],
)
def test_what_is_no_environment_is_told(factory: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        task_from_factory(factory, "mine")


@pytest.mark.parametrize("trouble", [RuntimeError("no licence"), SystemExit("no licence")], ids=["error", "exit"])
def test_a_constructor_that_fails_is_told(trouble: BaseException) -> None:
    def factory() -> gymnasium.Env:
        raise trouble

    with pytest.raises(HplanError, match=rf"mine: making the environment raised {type(trouble).__name__}: no licence"):
        task_from_factory(factory, "mine")


class Counted(Corridor):
    """Counts how many of them are open; a pickled copy is another one."""

    open = closed = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).open += 1

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        type(self).open += 1

    def close(self) -> None:
        type(self).open -= 1
        type(self).closed += 1


def test_an_environment_in_the_place_of_a_function_is_refused_and_stays_open(tmp_path: Any) -> None:
    env = Counted()
    calls = (
        lambda task: hplan.learn(task, out=tmp_path / "a"),
        lambda task: hplan.evaluate("minigrid/DoorKey-8x8", task),
        hplan.make,
    )
    for task, call in product((env, lambda: env, lambda: Pay(env)), calls):
        with pytest.raises(UsageError, match="function that makes a new"):
            call(task)
    with pytest.raises(UsageError, match=r"task is 3; expected text or a table \(TaskConfig\) or a function"):
        hplan.make(3)  # type: ignore[arg-type]
    assert Counted.closed == 0


def test_every_environment_that_play_opens_is_closed_again(tmp_path: Any) -> None:
    Counted.open = 0
    task = task_from_factory(Counted)
    assert Counted.open == 0
    play(task, tmp_path, steps=600, seed=0, shard_steps=200)
    assert Counted.open == 0
    env = make_world(task)
    begin(env, 0)
    snapshot = env.snapshot()
    for _ in range(5):
        env.restore(snapshot)
    assert Counted.open == 1
    env.close()

    class Odd(Counted):
        observation_space = spaces.Text(3)

        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Text(3)

    with pytest.raises(UsageError, match="not supported"):
        make_world(task_from_factory(Odd))
    assert Odd.open == 0


@pytest.mark.parametrize("rest", [0, 2])
def test_the_goal_of_a_goal_environment_is_where_its_observation_has_it(rest: int) -> None:
    """Numbers that equal the place at the start: fuel 2 and floor 1. They never change, and the place does."""

    class Rover(gymnasium.Env):
        box = staticmethod(lambda n: spaces.Box(-9.0, 9.0, (n,)))
        observation_space = spaces.Dict(observation=box(4), achieved_goal=box(2), desired_goal=box(2))
        action_space = spaces.Discrete(4)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.place = np.array([2.0, 1.0])
            return self.seen(), {}

        def seen(self) -> dict[str, np.ndarray]:
            parts = [self.place, [2.0, 1.0]] if rest == 2 else [[2.0, 1.0], self.place]
            return {
                "observation": np.concatenate(parts),
                "achieved_goal": self.place.copy(),
                "desired_goal": np.array([4.0, 3.0]),
            }

        def step(self, action: int) -> Any:
            self.place[action % 2] += 1.0
            return self.seen(), 0.0, False, False, {"is_success": False}

    start = begin(make_world(task_from_factory(Rover)), 0)
    assert start.goal is not None
    assert start.goal.tolist() == ([4, 3, 4, 3, 2, 1] if rest == 2 else [4, 3, 2, 1, 4, 3])
