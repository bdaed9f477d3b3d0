"""The agent on a corridor with known optima, and on a grid: acting, planning without side effects, SB3's protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from by_name import begin
from control.corridor import stack as corridor
from gymnasium import spaces
from levels.small_levels import cells_level, map_stack
from torch import Tensor

import hplan
from hplan.agent import Agent, load
from hplan.codec import Codec
from hplan.levels.calibration import Calibration
from hplan.levels.stack import Stack
from hplan.planning.cem import CrossEntropy
from hplan.planning.choice import Planning, search
from hplan.planning.novelty import NoveltySearch
from hplan.planning.search import BestFirstSearch
from hplan.registry import load_task, make_world
from hplan.testing import check_agent
from hplan.types import ForbiddenWarning, MacroSpec, UsageError

CELL = Codec.of(spaces.Discrete(256), spaces.Discrete(3), "toy/Corridor", action_names=("back", "stay", "on"))


class Cells:
    """Level 0 of the corridor for observations that are one symbol."""

    def __init__(self, level: Any) -> None:
        self._level = level

    def __getattr__(self, name: str) -> Any:
        return getattr(self._level, name)

    def encode(self, below: Tensor) -> Tensor:
        return below.flatten(1).float()


def walker(levels: int = 3, **options: Any) -> Agent:
    """It has seen no success, so it needs a goal."""
    finest, *others = corridor(levels)
    stack = Stack(
        task="toy/Corridor",
        codec=CELL,
        levels=(Cells(finest), *others),
        calibration=(Calibration(np.full((1, 99), 0.5, np.float32)),) * levels,
        tolerance=(0.0,) * levels,
    )
    return Agent(stack, **options)


def walk(agent: Agent, at: int, steps: int) -> list[int]:
    places = [at]
    for _ in range(steps):
        places.append(min(max(places[-1] + agent.act(places[-1]) - 1, 0), 255))
    return places


class Energy:
    """To be at a cell, said by the caller over level-0 latents."""

    threshold = 0.0

    def __init__(self, cell: int) -> None:
        self.cell = cell

    def __call__(self, z: Tensor) -> Tensor:
        return (z[:, 0] - self.cell).abs()


class OnlyBelow(Energy):
    """A constraint over level-0 latents: cells from this one on are forbidden."""

    threshold = -1.0

    def __call__(self, z: Tensor) -> Tensor:
        return z[:, 0] - self.cell


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("goal", [np.array(70), 70, np.int32(70), Energy(70)], ids=["array", "int", "number", "energy"])
def test_it_walks_the_shortest_way_to_an_observation_or_an_energy(levels: int, goal: Any) -> None:
    agent = walker(levels)
    agent.reset(goal=goal, seed=0)
    assert walk(agent, 40, 30) == list(range(40, 71))
    assert agent.evaluations > 0
    assert agent.last_repair is None
    assert set(agent.planner_calls) == set(agent.repairs) == set(agent.thresholds) == set(range(levels))
    top = 0 if isinstance(goal, Energy) else levels - 1
    assert sum(agent.planner_calls.values()) >= 1
    assert all(calls == 0 for k, calls in agent.planner_calls.items() if k > top)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_goal_behind_what_is_forbidden_is_refused_and_says_so(levels: int) -> None:
    agent = walker(levels)
    agent.reset(goal=70, constraints=[OnlyBelow(60)])
    with pytest.warns(ForbiddenWarning, match="refused"):
        places = walk(agent, 40, 40)
    assert max(places) < 60
    assert agent.tree.root.cause == "forbidden"
    assert "(forbidden)" in str(agent.tree)
    assert agent.breaks(60)
    assert not agent.breaks(59)


def test_without_its_guard_it_goes_there_and_still_tells() -> None:
    agent = walker(1, guard=False, forbid=[OnlyBelow(60)])
    agent.reset(goal=70)
    places = walk(agent, 40, 30)
    assert places[-1] == 70
    assert sum(agent.breaks(place) for place in places) == 11


def test_a_constraint_that_forbids_the_start_is_a_wrong_call() -> None:
    agent = walker(1)
    agent.reset(goal=70, constraints=[OnlyBelow(60)])
    with pytest.raises(UsageError, match="number 1 of those given forbids the observation"):
        agent.act(65)


def test_reset_begins_anew() -> None:
    agent = walker()
    agent.reset(goal=70)
    first = walk(agent, 40, 10)
    agent.reset(goal=70)
    assert (agent.evaluations, agent.surprise, agent.last_repair) == (0, dict.fromkeys(range(3), 0.0), None)
    assert walk(agent, 40, 10) == first
    agent.reset(goal=10)
    assert walk(agent, 40, 30) == list(range(40, 9, -1))


def test_planning_changes_nothing() -> None:
    one, other = walker(), walker()
    for agent in (one, other):
        agent.reset(goal=100)
    for _ in range(5):
        tree = one.plan(20)
        assert len(tree) > 1
        before = one.tree
        assert one.plan(200, goal=3) != before
        assert one.tree is before
    assert walk(one, 20, 30) == walk(other, 20, 30)
    assert one.evaluations == other.evaluations
    assert one.plan(50) == walker().plan(50, goal=100)


def test_a_push_is_a_surprise_and_is_repaired() -> None:
    agent = walker(2)
    agent.reset(goal=60)
    walk(agent, 30, 3)
    agent.act(32)  # one cell back, in the block that level 1 is in
    assert agent.last_repair is not None
    assert (agent.last_repair.level, agent.last_repair.cause) == (0, "surprise")
    assert agent.surprise[0] > agent.thresholds[0]
    assert agent.repairs == {0: 1, 1: 0}


def test_a_plan_that_holds_in_spite_of_a_surprise_is_kept() -> None:
    agent = walker(2)
    agent.reset(goal=60)
    walk(agent, 32, 1)
    calls = dict(agent.planner_calls)
    assert agent.act(34) == 2, "one cell on: the rest of the plan still leads to the next block"
    assert agent.last_repair is not None
    assert (agent.last_repair.level, agent.last_repair.cause, agent.last_repair.dropped) == (0, "surprise", 0)
    assert agent.repairs == {0: 0, 1: 0}
    assert agent.planner_calls == calls


def test_without_success_in_play_it_asks_for_a_goal() -> None:
    agent = walker()
    for call in (lambda: agent.act(3), lambda: agent.plan(3), lambda: agent.predict(3)):
        with pytest.raises(UsageError, match=r"no success in play.* give it a goal"):
            call()


@pytest.mark.parametrize("wrong", [np.zeros(2), np.zeros((2, 3)), np.array([]), {"image": 1}, None, "left"])
def test_an_observation_of_another_shape_says_what_it_sees(wrong: Any) -> None:
    agent = walker()
    agent.reset(goal=5)
    no_goal = wrong is None or isinstance(wrong, str)  # but none at all, or a mission
    for call in (agent.act, agent.plan, lambda o: agent.act(o) if no_goal else agent.reset(goal=o)):
        with pytest.raises(UsageError, match=r"is outside its space Discrete\(256\)"):
            call(wrong)


def test_predict_speaks_for_a_batch_with_one_controller_each() -> None:
    agent = walker()
    agent.reset(goal=20)
    places, state = np.array([10, 30, 20]), None
    for step in range(10):
        starts = np.full(3, step == 0)
        actions, state = agent.predict(places, state=state, episode_start=starts, deterministic=True)
        assert actions.shape == (3,)
        places = places + actions - 1
    assert places.tolist() == [20, 20, 20]
    again, _ = agent.predict(np.array([90, 30, 20]), state=state, episode_start=np.array([True, True, False]))
    assert again[:2].tolist() == [0, 0]


def test_predict_gives_a_batch_of_one_as_a_batch_and_an_observation_as_an_action() -> None:
    agent = walker()
    agent.reset(goal=20)
    single, _ = agent.predict(10)
    assert single == 2 and np.shape(single) == ()
    action, _ = agent.predict(np.array([10]), episode_start=np.array([True]))  # as evaluate_policy does
    assert np.shape(action) == (1,) and action[0] == 2
    action, state = agent.predict(np.array([10]))
    assert np.shape(action) == (1,) and len(state) == 1


def test_levels_info_and_the_flat_agent() -> None:
    stack = walker(3).stack
    flat = Agent(stack.lowest(1))
    assert [entry["level"] for entry in walker(3).levels_info] == [0, 1, 2]
    flat.reset(goal=70)
    assert walk(flat, 40, 30)[-1] == 70
    assert set(flat.planner_calls) == {0}


def test_planners_follow_what_the_level_is() -> None:
    class Continuous:
        macro = MacroSpec("continuous", 1, low=(-1.0,), high=(1.0,))
        index, outcomes, process, possible, returns = 0, None, None, None, None

    assert isinstance(search(Continuous(), Planning()), CrossEntropy)
    assert type(search(corridor(1)[0], Planning())) is BestFirstSearch
    eventful = corridor(2)[1]
    eventful.possible = lambda z: (z, z, z)  # type: ignore[assignment]
    assert isinstance(search(eventful, Planning()), NoveltySearch)


def doorkey() -> Agent:
    """An untrained agent that knows the cells of one layout of DoorKey-5x5: it mostly guesses, always the same way."""
    world = make_world(load_task("minigrid/DoorKey-5x5"), split="train")
    spec = world.codec.observation_spec
    cells = np.unique(begin(world, 0).observation.reshape(-1, spec.shape[-1]), axis=0)
    level = cells_level(0, torch.from_numpy(cells), spec.cardinalities, world.codec.action_spec, wild=False)
    stack = Stack(
        task="minigrid/DoorKey-5x5",
        codec=world.codec,
        levels=(level,),
        calibration=(Calibration(np.full((1, 99), 0.5, np.float32)),),
        tolerance=(0.0,),
    )
    world.close()
    return Agent(stack)


@pytest.mark.filterwarnings("ignore::hplan.types.SymbolWarning")  # its vocabulary is made up
def test_it_passes_the_public_check() -> None:
    check_agent(doorkey(), steps=8)


@pytest.mark.filterwarnings("ignore::hplan.types.SymbolWarning")  # its vocabulary is made up
def test_the_same_seed_gives_the_same_actions_and_another_one_others() -> None:
    agent = doorkey()
    world = make_world(load_task(agent.task), split="eval")
    observation = begin(world, 0).observation
    runs = []
    for seed in (0, 0, 1):
        agent.reset(seed=seed)
        runs.append([agent.act(observation) for _ in range(12)])
    assert runs[0] == runs[1] != runs[2]
    world.close()


def test_saved_and_loaded_by_its_folder_or_cut_to_one_level(tmp_path: Any) -> None:
    Agent(map_stack()).save(tmp_path)
    agent = hplan.load(tmp_path)
    assert (agent.task, agent.name, len(agent.stack.levels)) == ("toy/Grid", str(tmp_path), 2)
    assert agent.train_info == {"env_steps": 10, "device": "cpu"}
    assert len(load(tmp_path, method="flat").stack.levels) == len(load(tmp_path, levels=1).stack.levels) == 1
    assert load(tmp_path, replan="never").replan == "never"
    with pytest.raises(UsageError, match="--levels 5"):
        load(tmp_path, levels=5)
    with pytest.raises(UsageError, match="neither a run directory nor a shipped agent"):
        load("no/such-agent")
