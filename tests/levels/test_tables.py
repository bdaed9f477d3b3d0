"""Tables of counts against worlds that are written down, and value iteration over them against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hplan.levels.level import Level
from hplan.levels.tables import ENDED, SAME, SUCCEEDED, Conditional
from hplan.objectives.collapse import examine
from hplan.planning.energy import NearLatent, Return, Success
from hplan.planning.value_iteration import ValueIteration
from hplan.play.play import Play
from hplan.testing import check_model
from hplan.training.counting import table_level
from hplan.types import ActionSpec, Budget, Episode, ObservationSpec

ON, OFF = 0, 1  # actions of the walk: one place on, one place back


def walk(
    episodes: int, *, places: int = 6, slip: float = 0.0, pays: float = 0.0, never: tuple[int, ...] = (), seed: int = 0
) -> Play:
    """Play of a walk over places in a row: the last is success and an end, the first an end; each step pays `pays`."""
    rng, found = np.random.default_rng(seed), []
    starts = [place for place in range(1, places - 1) if place not in never]
    for _ in range(episodes):
        seen, actions, place = [int(rng.choice(starts))], [], 0
        while len(actions) < 40 and 0 < seen[-1] < places - 1:
            action = int(rng.integers(2))
            on = (action == ON) != (rng.random() < slip)
            place = seen[-1] + (1 if on else -1)
            if place in never:
                break
            actions.append(action)
            seen.append(place)
        if not actions:
            continue
        success = np.zeros(len(actions), bool)
        success[-1] = seen[-1] == places - 1 and not pays
        found.append(
            Episode(
                observations=np.array(seen, np.uint8).reshape(-1, 1, 1, 1),
                actions=np.array(actions),
                rewards=np.full(len(actions), pays, np.float32),
                success=success,
                violation=np.zeros(len(actions), bool),
                terminated=seen[-1] in (0, places - 1),
                seed=len(found),
            )
        )
    return Play.of(found, ObservationSpec("symbols", (1, 1, 1), (places + 1,)), ActionSpec("discrete", 2))


def learned(play: Play, discount: float = 0.9) -> Level:
    return table_level(*play.split(0.15, 0), discount, {}).eval()


def at(level: Level, *places: int) -> Tensor:
    return level.encode(torch.tensor(places).view(-1, 1, 1, 1))


BUDGET = Budget(10_000, 50)


def test_counts_are_chances_and_what_was_never_met_stays() -> None:
    macro, columns = torch.tensor([0, 0, 0, 0, 1]), torch.tensor([[0], [0], [0], [2], [0]])
    table = Conditional.fitted(
        torch.ones(2, 1).long(), torch.tensor([0, 3]), macro, columns, torch.tensor([5, 5, 7, 1, 4])
    )
    rows = table.rows(torch.tensor([0, 1, 1, 0]), torch.tensor([[0], [0], [2], [2]]))
    assert rows[2] == -1, "action 1 at 2 was never met"
    which, values, chance = table.branches(rows)
    assert which.tolist() == [0, 0, 1, 2, 3]
    assert values.tolist() == [5, 7, 4, SAME, 1]
    assert chance.tolist() == pytest.approx([2 / 3, 1 / 3, 1, 1, 1])
    assert table.chance(rows, torch.tensor([7, 7, 9, 1])).tolist() == pytest.approx([1 / 3, 0, 0, 1])


def test_a_certain_walk_is_known_by_heart_and_planned_to_its_end() -> None:
    level = learned(walk(200))
    check_model(level, torch.arange(6).view(-1, 1, 1, 1))
    assert level.outcomes is None and level.process is not None
    assert level.success is not None
    found = ValueIteration().plan(level, at(level, 1)[0], Success(level.success), budget=BUDGET)
    assert found.macros.tolist() == [ON] * 4 and found.reached
    assert found.latents[-1, 0].tolist() == [5, ENDED | SUCCEEDED]
    assert found.evaluations == 0, "it is looked up"


def test_an_observation_that_play_never_went_on_from_says_how_it_ended() -> None:
    level = learned(walk(200))
    assert at(level, 0, 3, 5)[:, 0, 1].tolist() == [ENDED, 0, ENDED | SUCCEEDED]
    assert level.success is not None and (level.success(at(level, 0, 3, 5)) > 0).tolist() == [False, False, True]
    assert torch.equal(level.predict(at(level, 0), torch.tensor([ON])), at(level, 0)), "what has ended stays"
    found = ValueIteration().plan(level, at(level, 2)[0], NearLatent(level, at(level, 5)[0], 0.0), budget=BUDGET)
    assert found.reached and len(found) == 3


def test_what_play_never_met_is_known_as_such_and_anything_may_be_tried_there() -> None:
    level = learned(walk(200))
    assert level.success is not None
    strange = at(level, 6)
    assert torch.equal(level.prior(strange), torch.zeros(1, 2))
    assert torch.equal(level.predict(strange, torch.tensor([0])), strange)
    found = ValueIteration().plan(level, strange[0], Success(level.success), budget=BUDGET)
    assert not found.reached and len(found) == 0


def test_chances_of_a_slippery_walk_are_those_of_the_gamblers_ruin() -> None:
    slip = 0.3
    level = learned(walk(8000, slip=slip))
    assert level.outcomes is not None and level.success is not None and level.process is not None
    ends, chances = level.outcomes(at(level, 2), torch.tensor([ON]))
    assert dict(zip(ends[0, :, 0, 0].tolist(), chances[0].tolist(), strict=True)) == pytest.approx(
        {3: 1 - slip, 1: slip}, abs=0.03
    )
    planner = ValueIteration()
    found = planner.plan(level, at(level, 2)[0], Success(level.success), budget=BUDGET)
    assert found.macros.tolist() == [ON] and not found.reached, "what comes then depends on how it ended"
    ratio = slip / (1 - slip)
    expected = [(1 - ratio**place) / (1 - ratio**5) for place in range(1, 5)]
    assert planner._kept is not None
    values = planner._kept[1].values[level.process.number(at(level, 1, 2, 3, 4))]
    assert values.tolist() == pytest.approx(expected, abs=0.03)


def test_rewards_without_success_are_solved_for_exactly() -> None:
    level = learned(walk(400, pays=-1.0), discount=0.9)
    assert level.success is None and level.returns is not None
    values = level.returns.value(at(level, 1, 2, 3, 4, 5)).tolist()
    assert values == pytest.approx([-1, -1.9, -1.9, -1, 0], abs=1e-5), "to the nearer end"
    assert level.returns.step(at(level, 4), torch.tensor([ON]), at(level, 5)) == (-1.0, 1.0)
    found = ValueIteration().plan(level, at(level, 2)[0], Return(level.returns), budget=BUDGET)
    assert found.macros.tolist() == [OFF, OFF]


def test_rewards_are_planned_for_by_chance_too() -> None:
    level = learned(walk(8000, slip=0.3, pays=-1.0), discount=0.99)
    assert level.returns is not None
    one, two = 0.0, 0.0  # by hand: at 1 and 4 the end is one step off, at 2 and 3 two
    for _ in range(2000):
        one, two = -1 + 0.99 * 0.3 * two, -1 + 0.99 * (0.7 * one + 0.3 * two)
    assert level.returns.value(at(level, 1, 2, 3, 4)).tolist() == pytest.approx([one, two, two, one], abs=0.1)


def test_the_policy_is_kept_while_the_goal_is_the_same_and_found_anew_for_another() -> None:
    level, planner = learned(walk(200)), ValueIteration()
    goals = [NearLatent(level, at(level, place)[0], 0.0) for place in (4, 4, 1)]
    plans, kept = [], []
    for goal in goals:
        plans.append(planner.plan(level, at(level, 2)[0], goal, budget=BUDGET).macros.tolist())
        kept.append(planner._kept)
    assert plans == [[ON, ON], [ON, ON], [OFF]]
    assert kept[0] is kept[1] is not kept[2]


def test_a_step_that_was_met_once_in_a_world_of_chance_is_not_counted_on() -> None:
    play = walk(3000, slip=0.3)
    rows = torch.nonzero((play.observations[:, 0, 0, 0] == 2) & (play.remaining > 0) & (play.actions == ON))[:, 0]
    few = play.actions.clone()
    few[rows[1:]] = OFF  # so that going on from 2 was met once, and going back ended in many ways
    level = learned(Play(**{**vars(play), "actions": few}))
    assert (level.prior(at(level, 2)) > -1).tolist() == [[False, True]]
    assert (level.prior(at(level, 3)) > -1).tolist() == [[True, True]]


def test_tables_are_examined_like_other_levels() -> None:
    level = learned(walk(200))
    health = examine(level, at(level, 1, 2, 2, 3, 4))
    assert health.symptoms == {}
    assert health.rank == pytest.approx(3.0, abs=0.05) and health.rank_of == 3, "four states, all apart"
