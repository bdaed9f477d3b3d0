"""What one step of a shipped agent takes. Episodes are recorded, then acted through again: nothing but the agent runs.

pytest experiments/speed/bench_planning.py --benchmark-timer time.process_time --benchmark-json FILE
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch

import hplan
from hplan.agent import Agent
from hplan.evaluation.episode import begin
from hplan.evaluation.run import SEEDS
from hplan.registry import load_task, make_world, shipped_agents
from hplan.types import Planner, PlanResult
from hplan.worlds.split import SplitEnv

pytestmark = pytest.mark.filterwarnings("ignore::hplan.types.MissionWarning")  # of tasks that nobody played
EPISODES, SEED = 5, 60  # a development seed
ROUNDS = 3
GRIDS = (
    "DoorKey-8x8",
    "DoorKey-16x16",
    "FourRooms",
    "MultiRoom-N4-S5",
    "MultiRoom-N6",
    "MultiRoom-N12-S10",
    "Unlock",
    "UnlockPickup",
    "BlockedUnlockPickup",
    "LockedRoom",
    "KeyCorridorS3R3",
    "KeyCorridorS4R3",
    "KeyCorridorS6R3",
    "LavaCrossingS11N5",
    "Dynamic-Obstacles-8x8",
    "Dynamic-Obstacles-16x16",
    "ObstructedMaze-1Dlhb",
    "ObstructedMaze-2Dlh",
    "ObstructedMaze-2Dlhb",
    "ObstructedMaze-1Q",
    "ObstructedMaze-Full",
)
CASES = [(name, name) for name in shipped_agents() if name != "minigrid/generalist"]
CASES += [("minigrid/generalist", f"minigrid/{grid}") for grid in GRIDS]


class Timed:
    """A planner that counts the processor's seconds in it."""

    def __init__(self, planner: Planner) -> None:
        self.planner, self.seconds = planner, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.planner, name)

    def plan(self, *given: Any, **options: Any) -> PlanResult:
        began = time.process_time()
        result = self.planner.plan(*given, **options)
        self.seconds += time.process_time() - began
        return result


@dataclass(frozen=True)
class Episode:
    """What an agent was told when it began, what it saw at each step, and what it spent."""

    told: dict[str, Any]
    seen: list[Any]
    evaluations: int
    success: bool


class Listener:
    """Takes what an actor is told."""

    def reset(self, **told: Any) -> None:
        self.told = told


def record(agent: Agent, env: SplitEnv, seed: int) -> Episode:
    """Act until the episode ends."""
    listener = Listener()
    observation, _ = begin(listener, env, seed)  # type: ignore[arg-type]
    agent.reset(**listener.told)
    seen, success, over = [], False, False
    while not over:
        seen.append(observation)
        observation, _, terminated, truncated, info = env.step(agent.act(observation))
        success, over = success or bool(info["success"]), terminated or truncated
    return Episode(listener.told, seen, agent.evaluations, success)


def again(agent: Agent, episodes: list[Episode]) -> list[list[float]]:
    """Act through them once more, each as if nothing had been looked up before. The processor's seconds of each step,
    of each episode."""
    times = []
    for episode in episodes:
        for level in agent.stack.levels:
            level.train(level.training)  # which forgets
        agent.reset(**episode.told)
        times.append([])
        for observation in episode.seen:
            began = time.process_time()
            agent.act(observation)
            times[-1].append(time.process_time() - began)
        assert agent.evaluations == episode.evaluations, "it does something else the second time"
    return times


def encoding(agent: Agent, episodes: list[Episode]) -> float:
    """The processor's seconds that it takes to see all of them, by every level."""
    stack = agent.stack
    began = time.process_time()
    for episode in episodes:
        here = stack.conditioned(episode.told.get("context"))
        seen = [stack.codec.encode(observation) for observation in episode.seen]
        here = here.begun(seen[0])
        for i, one in enumerate(seen):
            here.encode(one, seen[max(i - stack.history + 1, 0) : i][::-1])
    return time.process_time() - began


@pytest.fixture(
    scope="module", params=CASES, ids=[task if name == task else f"{task} (generalist)" for name, task in CASES]
)
def recorded(request: pytest.FixtureRequest) -> Iterator[tuple[Agent, list[Episode]]]:
    torch.set_num_threads(1)
    name, task = request.param
    agent, env = hplan.load(name), make_world(load_task(task), split="eval")
    try:
        yield agent, [record(agent, env, SEED * SEEDS + i) for i in range(EPISODES)]
    finally:
        env.close()


def test_steps(recorded: tuple[Agent, list[Episode]], benchmark: Any) -> None:
    agent, episodes = recorded
    planners = agent.planners
    timed = agent.planners = tuple(Timed(each) for each in planners)
    times = again(agent, episodes)  # also what warms up
    agent.planners = planners
    whole = sum(map(sum, times))
    benchmark.extra_info |= {
        "steps": sum(map(len, times)),
        "successes": sum(each.success for each in episodes),
        "episodes": len(episodes),
        "first_ms": round(1e3 * sum(each[0] for each in times) / len(times), 2),
        "longest_ms": round(1e3 * max(map(max, times)), 2),
        "seeing": round(encoding(agent, episodes) / whole, 3),  # share of all the time
        "share": [round(each.seconds / whole, 3) for each in timed],  # of all the time, by level
    }
    benchmark.pedantic(again, args=(agent, episodes), rounds=ROUNDS)
