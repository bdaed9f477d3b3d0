"""An agent where users have it: `hplan.evaluate`, a raw Gymnasium loop and Stable-Baselines3 see the same episodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector.utils import concatenate, create_empty_array
from minigrid.wrappers import FullyObsWrapper
from raw_worlds import ACTED, KINDS, Line
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import hplan
from hplan.agent import Agent
from hplan.evaluation.run import SEEDS
from hplan.types import MissionWarning, Result, UsageError

EPISODES, SEED = 20, 3
FIRST = SEED * SEEDS
SHIPPED = {"minigrid/DoorKey-8x8": 10, "ogbench/pointmaze-medium-navigate": 5}  # agents, and episodes of each
VECTORS = ("float Box (2, 3)", "large numbers beside small ones", "GoalEnv")
IMAGES = ("greyscale image", "image of floats, channels first", "image and numbers beside it")


def seeds(episodes: int = EPISODES) -> range:
    return range(FIRST, FIRST + episodes)


def raw_loop(agent: Agent, env: gymnasium.Env, episodes: int = EPISODES) -> list[tuple[bool, int]]:
    """Success and steps of each episode, as contract.md has the loop."""
    outcomes = []
    for seed in seeds(episodes):
        observation, info = env.reset(seed=seed)
        agent.reset(goal=info.get("goal"), context=info.get("context"), constraints=[], seed=seed)
        over, steps = False, 0
        while not over:
            action = agent.act(observation)
            assert env.action_space.contains(action)
            observation, _, terminated, truncated, info = env.step(action)
            over, steps = terminated or truncated, steps + 1
        outcomes.append((info["success"], steps))
    return outcomes


def by_policy(agent: Agent, make: Callable[[], gymnasium.Env], episodes: int = EPISODES) -> list[tuple[bool, int]]:
    """The same by Stable-Baselines3, which resets, batches and asks `predict` on its own."""
    outcomes = []
    for seed in seeds(episodes):
        _, info = make().reset(seed=seed)
        agent.reset(goal=info.get("goal"), context=info.get("context"), seed=seed)
        venv, seen = DummyVecEnv([lambda: Monitor(make())]), []
        venv.seed(seed)
        _, lengths = evaluate_policy(
            agent,  # type: ignore[arg-type]  # it speaks the protocol, and derives from nothing
            venv,
            n_eval_episodes=1,
            return_episode_rewards=True,
            callback=lambda here, _: seen.append(here["info"]["success"]),  # noqa: B023
        )
        outcomes.append((seen[-1], lengths[0]))
        venv.close()
    return outcomes


def counted(result: Result) -> list[tuple[bool, int]]:
    return [(record["success"], record["steps"]) for record in result.records]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Agent]:
    agents: dict[str, Agent] = {}

    def agent(kind: str) -> Agent:
        if kind not in agents:
            images = kind in IMAGES
            vectors = kind in VECTORS or images
            settings = {"base_steps": 300, "batch": 64} if vectors else {"base_steps": 150, "batch": 128}
            agents[kind] = hplan.learn(
                KINDS[kind],
                out=tmp_path_factory.mktemp("agent") / "run",
                steps=4000 if vectors else 2000,
                levels=1,
                settings=settings | ({"eye_steps": 150} if images else {}),
            )
        return hplan.load(agents[kind].name)  # as it comes back from its files

    return agent


@pytest.mark.training
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_space_is_the_same_in_evaluate_a_raw_loop_and_a_policy(
    kind: str, learned: Callable[[str], Agent]
) -> None:
    agent, task = learned(kind), KINDS[kind]
    expected = counted(hplan.evaluate(agent, task, episodes=EPISODES, seed=SEED))
    assert sum(success for success, _ in expected) == EPISODES
    assert raw_loop(agent, hplan.make(task)) == expected
    assert by_policy(agent, lambda: hplan.make(task)) == expected


@pytest.mark.training
@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_environment_and_a_wrapped_one_are_solved_as_they_are(
    kind: str, learned: Callable[[str], Agent]
) -> None:
    agent, plain, wrapped = learned(kind), KINDS[kind](), learned(kind).wrap(KINDS[kind]())
    for seed in range(10):
        ends = []
        for env in (plain, wrapped):
            observation, info = env.reset(seed=seed)
            agent.reset(goal=info.get("goal"), seed=seed)  # a plain GoalEnv tells its goal in observations alone
            steps, paid, over = [], 0.0, False
            while not over and not paid:
                action = agent.act(observation)
                observation, reward, terminated, truncated, info = env.step(action)
                steps.append(np.ravel(action).tolist())
                paid, over = paid + float(reward), terminated or truncated
            ends.append((paid, steps))
        assert info["success"] and not info["violation"]
        assert ends[0] == ends[1] and ends[0][0] == 1.0


@pytest.mark.training
@pytest.mark.parametrize("kind", KINDS)
def test_predict_gives_several_environments_their_own_actions(kind: str, learned: Callable[[str], Agent]) -> None:
    agent = learned(kind)
    agent.reset()
    venv = DummyVecEnv([lambda: Monitor(hplan.make(KINDS[kind])) for _ in range(3)])
    venv.seed(5)
    rewards, _ = evaluate_policy(agent, venv, n_eval_episodes=9, return_episode_rewards=True)  # type: ignore[arg-type]
    assert rewards == [1.0] * 9
    venv.close()


@pytest.mark.training
@pytest.mark.parametrize("kind", ACTED)
def test_every_kind_of_action_is_learned_and_of_its_space(kind: str, tmp_path: Path) -> None:
    """Symbols and continuous actions take strides without being asked to."""
    agent = hplan.learn(
        ACTED[kind], out=tmp_path / "run", steps=2000, levels=1, settings={"base_steps": 300, "batch": 64}
    )
    expected = counted(hplan.evaluate(agent, ACTED[kind], episodes=EPISODES, seed=SEED))
    assert sum(success for success, _ in expected) == EPISODES
    env = hplan.make(ACTED[kind])
    assert raw_loop(agent, env) == expected
    _, states = agent.predict(env.reset(seed=0)[0])
    batch, _ = agent.predict(vectorised(env.observation_space, [env.reset(seed=seed)[0] for seed in (0, 1)]))
    assert len(states) == 1 and len(batch) == 2 and all(env.action_space.contains(action) for action in batch)


def vectorised(space: gymnasium.Space, seen: list[Any]) -> Any:
    return concatenate(space, seen, create_empty_array(space, n=len(seen)))


@pytest.mark.parametrize(("name", "episodes"), SHIPPED.items())
def test_shipped_agents_do_in_the_user_s_loop_what_they_do_in_evaluate(name: str, episodes: int) -> None:
    agent = hplan.load(name)
    expected = counted(hplan.evaluate(agent, episodes=episodes, seed=SEED))
    assert all(success for success, _ in expected)
    assert raw_loop(agent, hplan.make(name), episodes) == expected
    assert by_policy(agent, lambda: hplan.make(name), episodes) == expected


def test_grids_of_another_size_are_seen_by_act_and_by_predict() -> None:
    agent = hplan.load("minigrid/DoorKey-8x8")
    env = agent.wrap(gymnasium.make("MiniGrid-DoorKey-6x6-v0"))
    observation, info = env.reset(seed=3)
    assert observation.shape == (6, 6, 6) and info["mission"].startswith("use the key")
    agent.reset(seed=3)
    first = agent.act(observation)
    assert agent.predict(observation)[0] == first
    batch, _ = agent.predict(np.stack([observation] * 2), episode_start=np.ones(2, bool))
    assert batch.shape == (2,) and batch[0] == first


def test_a_mission_is_the_goal_that_minigrid_hands_out_and_changes_nothing_where_there_was_but_one() -> None:
    agent, env = hplan.load("minigrid/DoorKey-8x8"), hplan.make("minigrid/DoorKey-8x8")
    observation, info = env.reset(seed=3)
    assert info["goal"] == info["mission"] == "use the key to open the door and then get to the goal"
    agent.reset(goal=info["goal"], seed=3)
    asked = agent.plan(observation)
    agent.reset(seed=3)
    assert agent.plan(observation) == asked
    with pytest.warns(MissionWarning, match="'use the key': play of minigrid.DoorKey-8x8 asked for"):
        assert agent.plan(observation, "use the key") == asked


def test_an_energy_of_the_agent_s_own_takes_the_place_of_a_mission() -> None:
    class Nowhere:
        threshold = 0.0

        def __call__(self, z: Any) -> Any:
            return 1.0 + 0.0 * z.flatten(1).sum(1)

    agent = hplan.load("minigrid/DoorKey-8x8", energy=Nowhere())
    agent.reset(goal="use the key to open the door and then get to the goal")
    assert agent.tree.root.label == "given energy"


def test_a_wrapped_minigrid_shows_the_whole_grid_and_keeps_its_wrappers() -> None:
    class Slow(gymnasium.Wrapper):
        """Every step costs."""

        def step(self, action: Any) -> Any:
            observation, reward, *rest = self.env.step(action)
            return observation, float(reward) - 0.25, *rest

    agent = hplan.load("minigrid/DoorKey-8x8")
    made = gymnasium.make("MiniGrid-DoorKey-8x8-v0")
    env = agent.wrap(Slow(FullyObsWrapper(made)))
    observation, _ = env.reset(seed=4)
    assert observation.shape == (8, 8, 6)
    agent.reset(seed=4)
    paid, over = [], False
    while not over:
        observation, reward, terminated, truncated, info = env.step(agent.act(observation))
        paid.append(reward)
        over = terminated or truncated
    assert info["success"] and set(paid[:-1]) == {-0.25} and paid[-1] > 0
    assert set(made.reset(seed=0)[0]) == {"image", "direction", "mission"}, "the user's own still shows what it showed"


def ends_well(agent: Any, env: gymnasium.Env, observation: Any) -> bool:
    """Act until the episode ends; whether it succeeded."""
    while True:
        observation, _, terminated, truncated, info = env.step(agent.act(observation))
        if terminated or truncated:
            return bool(info["success"])


def test_a_wrapped_maze_tells_its_goal() -> None:
    pytest.importorskip("ogbench")
    agent = hplan.load("ogbench/pointmaze-medium-navigate")
    env = agent.wrap(gymnasium.make("pointmaze-medium-v0"))
    for options, name in ((None, "4"), ({"task_id": 2}, "2")):
        observation, info = env.reset(seed=3, options=options)
        assert (observation.dtype, observation.shape, info["goal_name"]) == (np.float32, (2,), name)
        agent.reset(goal=info["goal"], seed=3)
        assert ends_well(agent, env, observation)
    env.close()


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("visual/DoorKey-8x8", lambda: gymnasium.make("MiniGrid-DoorKey-8x8-v0")),
        ("visual/pointmaze-medium-navigate", lambda: gymnasium.make("pointmaze-medium-v0")),
    ],
)
def test_what_is_wrapped_is_drawn_for_an_agent_of_images(name: str, made: Callable[[], Any]) -> None:
    pytest.importorskip("ogbench")
    agent = hplan.load(name)
    env = agent.wrap(made())
    observation, info = env.reset(seed=3)
    assert env.observation_space == agent.stack.codec.observation_space
    agent.reset(goal=info.get("goal"), seed=3)
    assert ends_well(agent, env, observation)
    env.close()


def test_what_an_agent_of_images_cannot_be_shown_is_told() -> None:
    with pytest.raises(UsageError, match="this environment shows Box"):
        hplan.load("visual/DoorKey-8x8").wrap(gymnasium.make("CartPole-v1"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: gymnasium.make("CartPole-v1"), r"shows Box.*; minigrid/DoorKey-8x8 sees Box\(\(8, 8, 6\), uint8\)"),
        (lambda: gymnasium.make("MiniGrid-Dynamic-Obstacles-8x8-v0"), r"takes Discrete\(3\); .* gives Discrete\(7\)"),
        (lambda: None, "expected a gymnasium.Env, got None"),
        (lambda: DummyVecEnv([Line]), "a vector environment .* is several"),
    ],
)
def test_what_cannot_be_wrapped_is_told(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        hplan.load("minigrid/DoorKey-8x8").wrap(make())


@pytest.mark.parametrize(
    "observation",
    [
        {"image": np.zeros((7, 7, 3), np.uint8), "direction": 0, "mission": ""},
        np.zeros((7, 7, 3), np.uint8),
        np.full((8, 8, 6), 0.5),
        np.full((8, 8, 6), np.nan),
        np.full((8, 8, 6), 11),
        None,
    ],
    ids=["dict", "partial view", "fractions", "nan", "out of bounds", "none"],
)
def test_observations_of_another_space_are_refused_by_name(observation: Any) -> None:
    agent = hplan.load("minigrid/DoorKey-8x8")
    agent.reset()
    for call in (agent.act, agent.plan, agent.predict):
        with pytest.raises(UsageError, match=r"minigrid/DoorKey-8x8: observation .* is outside its space Box"):
            call(observation)


def test_a_constraint_is_something_that_can_be_asked() -> None:
    agent = hplan.load("minigrid/DoorKey-8x8")
    with pytest.raises(UsageError, match="constraint 'lava': expected an energy over level-0 latents"):
        agent.reset(constraints=["lava"])
