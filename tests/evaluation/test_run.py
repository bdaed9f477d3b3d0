"""`evaluate` on a toy: figures that are known, workers that change nothing, and errors that name the place."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from toy_agent import BROKEN, CORRIDOR, LENGTH, Corridor, ToyAgent, UnsendableAgent

import hplan
from hplan.evaluation.run import SEEDS, evaluate
from hplan.types import HplanError, Result, UsageError


def deterministic(result: Result) -> dict[str, object]:
    """Everything but times."""
    figures = asdict(result)
    figures["plan_ms_per_step"] = None
    figures["records"] = [{**record, "ms": None} for record in result.records]
    return figures


def test_a_careful_agent_is_counted_right() -> None:
    result = evaluate(ToyAgent(care=1.0), CORRIDOR, episodes=20, seed=3)
    starts = [LENGTH - record["steps"] for record in result.records]
    assert set(starts) == {0, 1, 2}
    assert [record["seed"] for record in result.records] == [3 * SEEDS + i for i in range(20)]
    assert (result.successes, result.success_rate, result.return_mean) == (20, 1.0, 1.0)
    assert result.steps_mean == result.steps_success_mean == LENGTH - sum(starts) / 20
    assert result.predictor_evals_per_step == 10
    assert result.planner_calls == {"0": result.steps_mean}
    assert result.repairs == {"0": 0.0}
    assert result.constraint_violations == 0
    assert result.plan_ms_per_step > 0
    assert (result.method, result.levels, result.replan, result.agent) == ("hierarchical", 2, "surprise", "toy")
    assert result.train == {"env_steps": 7, "gradient_steps": 8, "wall_s": 1.5, "device": "cpu", "seed": 0}
    assert result.task == "toy/Corridor"


def test_an_agent_that_stays_fails_at_the_limit_and_breaks_the_rule() -> None:
    result = evaluate(ToyAgent(care=0.0, levels=1), CORRIDOR, episodes=3)
    assert (result.successes, result.steps_mean, result.method) == (0, 12.0, "flat")
    assert result.steps_success_mean != result.steps_success_mean, "no success, no mean"
    assert result.constraint_violations >= 10
    assert result.repairs == {"0": 12.0}


def test_episodes_do_not_depend_on_each_other() -> None:
    agent = ToyAgent()
    first = deterministic(evaluate(agent, CORRIDOR, episodes=8, seed=1))
    assert first == deterministic(evaluate(agent, CORRIDOR, episodes=8, seed=1))
    assert first != deterministic(evaluate(agent, CORRIDOR, episodes=8, seed=2))
    assert first["records"][:3] == deterministic(evaluate(agent, CORRIDOR, episodes=3, seed=1))["records"]  # type: ignore[index]


@pytest.mark.slow
def test_workers_change_nothing() -> None:
    one, two = (evaluate(ToyAgent(), CORRIDOR, episodes=5, workers=count) for count in (1, 2))
    assert deterministic(one) == deterministic(two)


@pytest.mark.slow
def test_an_error_in_a_worker_reaches_the_caller() -> None:
    with pytest.raises(HplanError, match=r"toy/Broken, seed 0, step 2: .*the floor gave way"):
        evaluate(ToyAgent(), BROKEN, episodes=2, workers=2)


def test_progress_is_told_after_every_episode() -> None:
    told: list[tuple[str, int, int, dict[str, float]]] = []
    evaluate(ToyAgent(care=1.0), CORRIDOR, episodes=3, progress=lambda *state: told.append(state))
    assert told == [("evaluate", i, 3, {"success": 1.0}) for i in (1, 2, 3)]


def test_random_actions_belong_to_the_task_and_have_no_level() -> None:
    one = evaluate(ToyAgent(care=1.0), CORRIDOR, episodes=20, method="random")
    other = evaluate(ToyAgent(care=0.0), CORRIDOR, episodes=20, method="random")
    assert deterministic(one) == deterministic(other)
    assert 0 < one.successes < 20
    assert (one.levels, one.predictor_evals_per_step, one.planner_calls, one.train) == (0, 0.0, {}, {})


def test_an_environment_factory_is_a_task() -> None:
    assert hplan.evaluate(ToyAgent(care=1.0), Corridor, episodes=2).task == "Corridor"


def test_a_failing_environment_is_named_with_seed_and_step() -> None:
    with pytest.raises(HplanError, match=rf"toy/Broken, seed {SEEDS}, step 2: .*the floor gave way"):
        evaluate(ToyAgent(), BROKEN, episodes=4, seed=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "clever"}, "method is 'clever'; expected 'hierarchical', 'flat', 'random' or 'oracle'"),
        ({"method": "flat"}, "this agent has 2: use hplan.load"),
        ({"method": "oracle"}, "oracle"),
        ({"episodes": 0}, "episodes is 0; expected 1 or more"),
        ({"seed": -1}, "seed is -1; expected 0 or more"),
        ({"workers": 0}, "workers is 0; expected 1 or more"),
    ],
)
def test_wrong_calls_say_what_is_wrong(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        evaluate(ToyAgent(), CORRIDOR, **options)  # type: ignore[arg-type]


def test_an_agent_that_cannot_be_sent_says_so() -> None:
    with pytest.raises(UsageError, match="cannot be sent to 2 workers"):
        evaluate(UnsendableAgent(), CORRIDOR, episodes=2, workers=2)
