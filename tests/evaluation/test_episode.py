"""One episode: the trace tells what the record counts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from toy_agent import CORRIDOR, ToyAgent

from hplan.evaluation.baselines import Actor, RandomActor
from hplan.evaluation.episode import action_text, run_episode, trace_episode
from hplan.registry import make_world
from hplan.types import ActionSpec

CONTINUOUS = ActionSpec("continuous", 2, (-1.0, 0.0), (1.0, 4.0), ("x", "y"))


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
    for spec in (CONTINUOUS, ActionSpec("discrete", 3)):
        actor = RandomActor(spec)
        assert isinstance(actor, Actor)
        runs = []
        for seed in (5, 5, 6):
            actor.reset(seed=seed)
            runs.append([actor.act(observation) for _ in range(50)])
        assert np.array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0], runs[2])
        if spec.kind == "discrete":
            assert set(runs[0]) == {0, 1, 2}
        else:
            actions = np.array(runs[0])
            assert actions.dtype == np.float32
            assert (actions >= spec.low).all() and (actions <= spec.high).all()
            assert (np.ptp(actions, axis=0) > [1.6, 3.2]).all()


def test_actions_in_words() -> None:
    assert action_text(1, ActionSpec("discrete", 2, names=("left", "right"))) == "right"
    assert action_text(1, ActionSpec("discrete", 2)) == "1"
    assert action_text(np.array([0.5, -1], np.float32), CONTINUOUS) == "(+0.50, -1.00)"
