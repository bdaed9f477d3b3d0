"""Rewards over maps: what events pay, and plans for as much of it as there is time for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, permutations
from pathlib import Path

import pytest
import torch
from coins import COIN, LIMIT, MOVES, THORN, WALL, Coins
from key_door import EDITS, KEY, SIGNS, State, key_door_level, read
from levels.plays import play_of
from torch import Tensor

import hplan
from hplan.agent import Agent
from hplan.levels.heads.event_returns import count_returns, on_average
from hplan.levels.level import Level
from hplan.planning.energy import Return
from hplan.planning.lookahead import Lookahead
from hplan.planning.novelty import NoveltySearch
from hplan.registry import make_world, task_from_factory
from hplan.types import Budget, NoSuccessWarning

FAR = 0.9
BUDGET = Budget(evaluations=5000, horizon=64)


def paying(living: float = 0.0, **paid: tuple[float, float]) -> Level:
    """The world of `key_door`, whose events pay (what, and how often they end it): `take`, `drop`, `unlock`, ..."""
    level = key_door_level()
    head = level.made_anew("returns", kind="events", types=len(EDITS), far=FAR)
    for name, (reward, ends) in paid.items():
        number = ("take", "drop", "unlock").index(name)
        head.reward[number], head.ends[number] = reward + living, ends
    head.usual.fill_(living)
    return level


def planned(level: Level, drawing: str, at: tuple[int, int]) -> list[tuple[str, int]]:
    """What is done to which cells."""
    z = State(read(drawing), at, pose=1).coarse
    assert level.returns is not None
    result = Lookahead(NoveltySearch()).plan(level, z, Return(level.returns), budget=BUDGET)
    kinds = [divmod(int(macro), z.numel()) for macro in result.macros]
    return [(SIGNS[EDITS[kind][0]], cell) for kind, cell in kinds]


def test_what_pays_is_done_the_nearest_first_and_what_costs_is_not() -> None:
    level = paying(take=(1.0, 0.0), drop=(-2.0, 0.0))
    assert planned(level, "..k..", (0, 1)) == [("k", 2)]
    assert planned(level, "k....k", (0, 3))[0] == ("k", 5), "two steps away, and not three"
    assert planned(paying(take=(-1.0, 0.0)), "..k..", (0, 1)) == [], "nothing is better"


def test_a_cost_is_paid_where_more_comes_of_it() -> None:
    """Only who has the key unlocks the door."""
    for pays, way in ((2.0, [("k", 1), ("d", 3)]), (0.5, [])):
        assert planned(paying(take=(-1.0, 0.0), unlock=(pays, 0.0)), ".k.d.", (0, 0)) == way


def test_an_end_loses_what_living_pays_and_saves_what_it_costs() -> None:
    assert planned(paying(take=(1.0, 1.0), living=0.5), ".k...", (0, 0)) == []
    assert planned(paying(take=(-1.0, 1.0), living=-0.5), ".k...", (0, 0)) == [("k", 1)]


def test_worth_is_that_of_the_formula() -> None:
    """Two steps to beside the key, and one to take it."""
    level = paying(take=(3.0, 0.25), living=0.5)
    z = State(read("...k."), (0, 0), pose=1).coarse[None]
    macro = torch.tensor([EDITS.index((KEY, 0, 1, 2, 0)) * 5 + 3])
    assert level.returns is not None
    reward, ends = level.returns.step(z, macro, level.predict(z, macro))
    assert float(reward) == pytest.approx(FAR**2 * (3.5 - 0.5 - FAR * 0.25 * 0.5 / (1 - FAR)))
    assert float(ends) == pytest.approx(1 - FAR**3 * 0.75)


def test_what_chance_decides_is_worth_its_mean() -> None:
    """The first may end as itself or as the third, the second as itself."""
    group, chance = torch.tensor([0, 1, 0]), torch.tensor([0.25, 1.0, 0.75])
    found = on_average(torch.tensor([1.0, 5.0, -1.0]), group, chance)
    assert found.tolist() == [-0.5, 5.0, -0.5]


def counted(rewards: Tensor, terminated: Tensor) -> tuple[Level, float]:
    """Level 1 of `key_door` after play that took a key, n times, between two steps that did nothing."""
    level, count = key_door_level(), len(rewards) // 3
    before, after = (State(read("..k.."), (0, 1), pose=1, key=has) for has in (False, True))
    gone = State(read("....."), (0, 1), pose=1, key=True)
    assert after.key
    episode = [before.coarse, before.coarse, gone.coarse, gone.coarse]
    maps = torch.stack(episode * count)
    remaining = torch.tensor([3, 2, 1, 0]).repeat(count)
    play = play_of(maps, torch.zeros(len(maps), dtype=torch.long), remaining)
    padded = torch.zeros(len(maps))
    padded[remaining > 0] = rewards
    ends = torch.zeros(len(maps), dtype=torch.bool)
    ends[torch.nonzero(remaining == 0)[:, 0]] = terminated
    return level, count_returns(level, replace(play, rewards=padded, terminated=ends), maps, FAR)


def test_what_events_pay_is_told_from_play_and_what_else_pays_is_no_reason_to_aim() -> None:
    level, told = counted(torch.tensor([0.0, 1.0, 0.0] * 4), torch.zeros(4, dtype=torch.bool))
    assert told == 1.0 and level.returns_head.reward[0] == 1.0
    level, told = counted(torch.tensor([1.0, 0.0, 0.0] * 4), torch.zeros(4, dtype=torch.bool))
    assert told < 0.5 and level.returns is None


def test_where_all_steps_cost_alike_it_is_ends_that_pay() -> None:
    level, told = counted(torch.full((12,), -1.0), torch.zeros(4, dtype=torch.bool))
    assert told == 1.0 and level.returns_head.usual == -1.0


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    with pytest.warns(NoSuccessWarning, match="as much reward as can be had"):
        return hplan.learn(Coins, tmp_path_factory.mktemp("coins") / "run", steps=8000, seed=50)


def most(world: Coins) -> int:
    """Coins that the limit of steps leaves time for, without a thorn."""

    def away(start: tuple[int, int]) -> dict[tuple[int, int], int]:
        steps, edge = {start: 0}, [start]
        for row, column in edge:
            for down, right in MOVES:
                cell = row + down, column + right
                inside = 0 <= cell[0] < world.size and 0 <= cell[1] < world.size
                if inside and world.ground[cell] not in (WALL, THORN) and cell not in steps:
                    steps[cell] = steps[row, column] + 1
                    edge.append(cell)
        return steps

    coins = [(int(row), int(column)) for row, column in zip(*(world.ground == COIN).nonzero(), strict=True)]
    steps = {place: away(place) for place in [world.at, *coins]}
    return max(
        count
        for count in range(len(coins) + 1)
        for order in permutations(coins, count)
        if sum(steps[a].get(b, LIMIT + 1) for a, b in pairwise([world.at, *order])) <= LIMIT
    )


@pytest.mark.training
def test_all_coins_are_had_and_no_thorn_on_layouts_never_seen(collector: Agent) -> None:
    """Also when all is collected and there is nothing to do but to wait."""
    assert len(collector.stack.levels) == 2
    result, env = hplan.evaluate(collector, Coins, episodes=10, seed=60), make_world(task_from_factory(Coins), "eval")
    for record in result.records:
        env.reset(seed=record["seed"])
        assert record["reward"] == most(env.unwrapped)


@pytest.mark.training
def test_it_is_saved_with_its_rewards(collector: Agent, tmp_path: Path) -> None:
    collector.save(tmp_path / "agent")
    again = hplan.load(tmp_path / "agent")
    assert again.stack.paid
    assert torch.equal(again.stack.levels[1].returns_head.reward, collector.stack.levels[1].returns_head.reward)
