"""One episode: the trace tells what the record counts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from gymnasium import spaces
from toy_agent import CORRIDOR, ToyAgent

from hplan.codec import Codec
from hplan.evaluation.baselines import Actor, RandomActor
from hplan.evaluation.episode import run_episode, trace_episode
from hplan.registry import make_world

LOW, HIGH = np.array([-1.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32)
SEEN = spaces.Discrete(2)
CONTINUOUS, THREE = Codec.of(SEEN, spaces.Box(LOW, HIGH), "toy"), Codec.of(SEEN, spaces.Discrete(3), "toy")


@pytest.mark.parametrize("seed", range(4))
def test_trace_and_record_are_the_same_episode(seed: int) -> None:
    world, agent = make_world(CORRIDOR, split="eval"), ToyAgent()
    record = run_episode(agent, world, seed)
    steps = list(trace_episode(agent, world, seed))
    assert [step.step for step in steps] == list(range(record.steps + 1))
    assert steps[-1].evaluations == record.evaluations == 10 * record.steps
    assert steps[-1].success == record.success
    assert sum(step.reward for step in steps) == record.reward
    assert all(step.action in "01" for step in steps[:-1])
    assert steps[-1].action == ""


def test_the_last_repair_stays_in_view() -> None:
    agent = ToyAgent(care=0.5)
    steps = list(trace_episode(agent, make_world(CORRIDOR, split="eval"), seed=1))
    repaired = [step.repair for step in steps if step.surprise[0] == 1.0]
    assert repaired
    for before, step in pairwise(steps):
        fresh = step.surprise[0] == 1.0 and step.action != ""
        assert step.repair == (step.repair if fresh else before.repair)
    assert steps[-1].repair == [step.repair for step in steps if step.repair][-1]


def test_repairs_are_counted_by_cause() -> None:
    record = run_episode(ToyAgent(care=0.5), make_world(CORRIDOR, split="eval"), seed=1)
    assert record.repairs["0"] > 0
    assert record.causes == {"surprise": record.repairs["0"]}
    assert run_episode(ToyAgent(care=1.0), make_world(CORRIDOR, split="eval"), seed=1).causes == {}


def test_random_actions_stay_in_their_space_and_follow_their_seed() -> None:
    observation = np.zeros(2, np.float32)
    for codec in (CONTINUOUS, THREE):
        actor = RandomActor(codec)
        assert isinstance(actor, Actor)
        runs = []
        for seed in (5, 5, 6):
            actor.reset(seed=seed)
            runs.append([actor.act(observation) for _ in range(50)])
        assert np.array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0], runs[2])
        if codec is THREE:
            assert set(runs[0]) == {0, 1, 2}
        else:
            actions = np.array(runs[0])
            assert actions.dtype == np.float32
            assert (actions >= LOW).all() and (actions <= HIGH).all()
            assert (np.ptp(actions, axis=0) > [1.6, 3.2]).all()


def test_actions_in_words() -> None:
    assert Codec.of(SEEN, spaces.Discrete(2, start=4), "toy", action_names=("left", "right")).name(5) == "right"
    assert THREE.name(1) == "1"
    assert CONTINUOUS.name(np.array([0.5, -1], np.float32)) == "(+0.50, -1.00)"
    assert Codec.of(SEEN, spaces.MultiBinary(2), "toy").name(np.array([0, 1])) == "(0, 1)"
