"""Agents that plan on landmark graphs: chosen by a setting, the same by seed, and learning only where asked to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from levels.line_levels import edges, line_level

from hplan.agent import Agent, load
from hplan.codec import Codec
from hplan.control.experience import Experience
from hplan.control.memory import FailureMemory
from hplan.evaluation.run import evaluate
from hplan.levels.calibration import Calibration
from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.levels.stack import Stack
from hplan.planning.choice import Planning, chosen_planner
from hplan.planning.energy import NearLatent
from hplan.planning.landmark_graph import LandmarkGraph
from hplan.planning.search import BestFirstSearch
from hplan.types import Budget, UsageError

PLACES = tuple(float(n) for n in range(0, 41, 4))
KNOWN = edges(11, *((n, n + 1, 1.0, 1, 8, 0) for n in range(10)))


def stack(known: dict[int, LandmarkEdges]) -> Stack:
    """A line of 40 positions whose level 1 knows the ways of `known`."""
    return Stack(
        task="toy/Line",
        codec=Codec.of(spaces.Box(-np.inf, np.inf, (1,)), spaces.Box(-1.0, 1.0, (1,)), "toy/Line"),
        levels=(line_level(0), line_level(1, 4, PLACES)),
        calibration=(Calibration(np.full((1, 999), 0.9, np.float32)),) * 2,
        tolerance=(1.0, 0.5),
        edges=known,
    )


def walker(**options: Any) -> Agent:
    return Agent(stack({1: KNOWN}), planner=chosen_planner("graph", Planning({1: KNOWN})), **options)


def walk(agent: Agent, start: float, goal: float, steps: int = 60) -> list[float]:
    """Positions of an episode up to the goal."""
    agent.reset(goal=np.array([goal], np.float32), seed=0)
    path = [start]
    while len(path) <= steps and abs(path[-1] - goal) > 1:
        path.append(path[-1] + float(agent.act(np.array([path[-1]], np.float32))[0]))
    return path


def known_to(agent: Agent) -> LandmarkEdges:
    planner = agent.planners[1]
    assert isinstance(planner, LandmarkGraph)
    return planner.edges


def test_it_walks_along_the_graph() -> None:
    agent = walker()
    path = walk(agent, 0.0, 40.0)
    assert abs(path[-1] - 40) <= 1
    assert agent.planner_calls[1] == 1, "one plan for the whole way"


def test_the_same_seed_gives_the_same_steps_whatever_came_before() -> None:
    agent = walker()
    first = walk(agent, 0.0, 30.0)
    walk(agent, 20.0, 40.0)
    assert walk(agent, 0.0, 30.0) == first
    assert known_to(agent) is KNOWN


def test_an_agent_that_remembers_knows_more_after_an_episode(tmp_path: Path) -> None:
    agent = walker(remember=True)
    walk(agent, 0.0, 40.0)
    agent.reset(goal=np.zeros(1, np.float32))
    learned = known_to(agent)
    assert int(learned.crossings.sum()) > int(KNOWN.crossings.sum())
    assert agent.stack.edges[1] is KNOWN, "what was trained is still as it was"
    agent.save(tmp_path)
    assert Stack.load(tmp_path).edges[1].crossings.tolist() == learned.crossings.tolist()


def test_it_knows_a_way_back_once_it_has_gone_it() -> None:
    agent = walker(remember=True)
    level, start = agent.stack.levels[1], torch.tensor([40.0])
    home = NearLatent(level, torch.zeros(1), 0.5)
    assert not agent.planners[1].plan(level, start, home, budget=Budget(1, 99)).reached
    agent.reset(goal=np.array([40.0], np.float32))
    for position in np.arange(40.0, -1.0, -1.0, np.float32):
        agent.act(position[None])  # somebody carries it
    assert not agent.planners[1].plan(level, start, home, budget=Budget(1, 99)).reached
    agent.reset(goal=np.zeros(1, np.float32))
    assert agent.planners[1].plan(level, start, home, budget=Budget(1, 99)).reached


def test_subgoal_steps_that_failed_become_dearer_from_where_they_began() -> None:
    level, planner = line_level(1, 4, PLACES), LandmarkGraph(torch.tensor(PLACES)[:, None], KNOWN)
    memory = FailureMemory(level)
    for _ in range(3):
        memory = memory.add(torch.tensor([8.5]), torch.tensor([12.0]))  # beside landmark 2, to landmark 3
    memory = memory.add(torch.tensor([8.5]), torch.tensor([0.0]))  # where no edge leads
    experience = Experience()
    experience.add((torch.zeros(1), torch.tensor([8.5])), torch.zeros(1))
    (taught,) = experience.taught((level,), (planner,), (memory,))
    assert isinstance(taught, LandmarkGraph)
    assert taught.edges.failures.tolist() == [0, 0, 3, *[0] * 7]


def test_what_has_no_graph_learns_nothing() -> None:
    search, level = BestFirstSearch(), line_level(1, 4, PLACES)
    experience = Experience()
    experience.add((torch.zeros(1), torch.zeros(1)), torch.zeros(1))
    assert experience.taught((level,), (search,), (FailureMemory(level),)) == (search,)


def test_a_graph_is_asked_for_by_name_and_has_to_be_there(tmp_path: Path) -> None:
    stack({1: KNOWN}).save(tmp_path / "known")
    stack({}).save(tmp_path / "unknown")
    agent = load(tmp_path / "known", planner="graph", settings={"uncertainty_weight": 0.5})
    assert isinstance(agent.planners[1], LandmarkGraph) and agent.planners[1].uncertainty_weight == 0.5
    assert isinstance(load(tmp_path / "known").planners[1], BestFirstSearch)
    with pytest.raises(UsageError, match="no level of this agent has a landmark graph"):
        load(tmp_path / "unknown", planner="graph")
    with pytest.raises(UsageError, match="no level of this agent has a landmark graph"):
        load(tmp_path / "known", method="flat", planner="graph")
    with pytest.raises(UsageError, match="expected one of auto, search, graph"):
        load(tmp_path / "known", planner="nobody")


def test_only_graphs_remember_and_only_in_turn() -> None:
    with pytest.raises(UsageError, match="only landmark graphs"):
        Agent(stack({}), remember=True)
    with pytest.raises(UsageError, match="in turn: use 1 worker"):
        evaluate(walker(remember=True), episodes=2, workers=2)
