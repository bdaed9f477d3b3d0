"""What variables depend on is found from play, and holds for combinations that play never showed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from discrete_worlds import Deliveries, Detour, InOrder, Switches

import hplan
from hplan.codec import Codec
from hplan.levels.level import Level
from hplan.levels.tables import ENDED, SUCCEEDED
from hplan.planning.energy import Success
from hplan.planning.value_iteration import ValueIteration
from hplan.play.play import Play
from hplan.training.adapt import adapt
from hplan.training.counting import are_variables, table_level
from hplan.training.dependencies import Telling
from hplan.types import ActionSpec, Budget, Episode, ObservationSpec, UsageError

BUDGET = Budget(10_000, 100)


def played(env: gym.Env, steps: int, *, without: Any = None, seed: int = 0) -> Play:
    """Random play; an episode is cut before it shows an observation that `without(env)` rules out."""
    rng, codec, episodes, done = (
        np.random.default_rng(seed),
        Codec.of(env.observation_space, env.action_space, "env"),
        [],
        0,
    )
    while done < steps:
        first = codec.encode(env.reset(seed=int(rng.integers(2**31)))[0])
        seen, actions, success, terminated = [first], [], [], False
        while not terminated and len(actions) < 60 and not (without and without(env)):
            action = codec.random_action(rng)
            observation, _, terminated, _, info = env.step(codec.decode(action))
            if without and without(env):
                terminated = False
                break
            actions.append(action)
            success.append(info["success"])
            seen.append(codec.encode(observation))
        if actions:
            plain = np.zeros(len(actions), np.float32)
            episodes.append(
                Episode(
                    np.array(seen),
                    np.array(actions),
                    plain,
                    np.array(success),
                    plain > 0,
                    terminated,
                    seed=len(episodes),
                )
            )
        done += max(len(actions), 1)
    return Play.of(episodes, codec.observation_spec, codec.action_spec)


def learned(play: Play) -> tuple[Level, dict[str, Any]]:
    facts: dict[str, Any] = {}
    return table_level(*play.split(0.15, 0), 0.99, facts).eval(), facts


def reads(level: Level, variable: int, action: int) -> set[int]:
    """Columns that a variable is told from, after that action: those before, then those after."""
    return set(torch.nonzero(level.dynamics.tables[variable].weights[action])[:, 0].tolist())


def agrees(level: Level, env: Any, set_state: Any, states: list[Any]) -> float:
    """Share of these states and all actions after which the level predicts what the world does, status included."""
    codec, right = Codec.of(env.observation_space, env.action_space, "env"), []
    for state in states:
        for action in range(env.action_space.n):
            env.reset(seed=0)
            set_state(env, state)
            before = level.encode(torch.from_numpy(codec.encode(observe(env)))[None])
            observation, _, terminated, _, info = env.step(action)
            after = level.encode(torch.from_numpy(codec.encode(observation))[None])
            after[:, 0, -1] = ENDED * terminated + SUCCEEDED * info["success"]
            right.append(bool((level.predict(before, torch.tensor([action])) == after).all()))
    return float(np.mean(right))


def observe(env: Any) -> Any:
    return env.on.copy() if isinstance(env, Switches) else env.seen()


def test_switches_depend_on_themselves_and_the_one_before() -> None:
    level, facts = learned(played(Switches(), 20_000))
    assert facts["tables"]["variables"] == Switches.COUNT and facts["certainty"] == 1
    for switch in range(1, Switches.COUNT):
        assert reads(level, switch, switch) == {switch, switch - 1}
        assert reads(level, switch, (switch + 3) % Switches.COUNT) == set(), "it stays"
    columns = 1 + Switches.COUNT
    told = {column % columns for column in reads(level, Switches.COUNT, Switches.COUNT)}
    assert told == {0, Switches.COUNT - 2, Switches.COUNT - 1}, "a conjunction of three"


def test_switches_that_play_never_combined_are_predicted_and_planned_with() -> None:
    env = Switches()
    held = lambda world: bool(world.on[2] and world.on[5] and not world.on[8])  # noqa: E731  # an eighth of all
    level, _ = learned(played(env, 20_000, without=held))
    rng = np.random.default_rng(1)
    states = [s for s in rng.integers(2, size=(400, Switches.COUNT)).astype(np.int8) if s[2] and s[5] and not s[8]]

    def put(world: Any, state: Any) -> None:
        world.on = state.copy()

    assert agrees(level, env, put, states[:25]) == 1


def test_a_dict_of_place_load_and_door_is_known_where_play_never_was() -> None:
    env = Deliveries()
    held = lambda world: (world.place == 10 and world.load == 2) or (world.place == 5 and world.door)  # noqa: E731
    level, facts = learned(played(env, 30_000, without=held))
    assert facts["tables"]["variables"] == 3

    def put(world: Any, state: Any) -> None:
        world.place, world.load, world.door = state

    assert agrees(level, env, put, [(5, load, 1) for load in range(3)] + [(10, 2, 1)]) == 1


@pytest.mark.parametrize("seed", range(3))
def test_deliveries_are_made_in_as_few_steps_as_can_be(seed: int) -> None:
    env = Deliveries()
    level, _ = learned(played(env, 30_000, seed=seed))
    codec, planner = Codec.of(env.observation_space, env.action_space, "env"), ValueIteration()
    assert level.success is not None
    for episode in range(10):
        observation, _ = env.reset(seed=episode)
        least = env.shortest()
        start = level.encode(torch.from_numpy(codec.encode(observation))[None])[0]
        found = planner.plan(level, start, Success(level.success), budget=BUDGET)
        assert found.reached and len(found) == least
        ends = [env.step(int(action))[2:] for action in found.macros]
        assert ends[-1][0] and ends[-1][2]["success"]


def test_an_order_is_kept_and_an_end_without_success_avoided_whatever_the_hand_does() -> None:
    env = InOrder()
    level, facts = learned(played(env, 30_000))
    assert level.outcomes is not None and facts["certainty"] < 0.95
    assert reads(level, 0, 0) == {0}, "the hand moves by itself"
    codec, planner = Codec.of(env.observation_space, env.action_space, "env"), ValueIteration()
    assert level.success is not None
    for episode in range(20):
        observation, _ = env.reset(seed=episode)
        done, info = False, {}
        while not done:
            start = level.encode(torch.from_numpy(codec.encode(observation))[None])[0]
            found = planner.plan(level, start, Success(level.success), budget=BUDGET)
            observation, _, done, _, info = env.step(int(found.macros[0]))
        assert info["success"]


def test_outcomes_that_come_together_do_so() -> None:
    """A coin shows the same on both sides: two variables, each even, and never apart."""
    rng = np.random.default_rng(0)
    coins = rng.integers(2, size=4001)
    seen = np.stack([coins, coins, rng.integers(2, size=4001)], -1).astype(np.uint8)[:, None, None]
    parts = [slice(0, 2000), slice(2000, 4000)]
    plain = np.zeros(1999, np.float32)
    episodes = [
        Episode(seen[p], np.zeros(1999, np.int64), plain, plain > 0, plain > 0, False, seed=i)
        for i, p in enumerate(parts)
    ]
    level, _ = learned(Play.of(episodes, ObservationSpec("symbols", (1, 1, 3), (2, 2, 2)), ActionSpec("discrete", 1)))
    ends, chances = level.outcomes(level.encode(torch.from_numpy(seen[:1])), torch.tensor([0]))  # type: ignore[misc]
    together = ends[0, :, 0, 0] == ends[0, :, 0, 1]
    assert float(chances[0][together].sum()) == pytest.approx(1.0)


def test_two_causes_that_tell_nothing_alone_are_found_together() -> None:
    rng = np.random.default_rng(0)
    columns = rng.integers(2, size=(2000, 5))
    told = Telling(columns, columns[:, 1] ^ columns[:, 3], dict.fromkeys(range(5), 2))
    assert set(told.search([0, 1, 2, 3, 4])[0]) == {1, 3}
    noise = Telling(columns, rng.integers(2, size=2000), dict.fromkeys(range(5), 2))
    assert noise.search([0, 1, 2, 3, 4])[0] == (), "nothing tells noise"


def test_what_came_three_times_is_told_from_what_it_takes() -> None:
    rng = np.random.default_rng(0)
    columns = np.stack([rng.integers(12, size=20_000), rng.integers(3, size=20_000), rng.integers(40, size=20_000)], 1)
    rare = np.zeros(20_000, np.int64)
    columns[:3] = [[7, 2, 5], [7, 2, 19], [7, 2, 33]]
    rare[:3] = 1
    columns[3:][(columns[3:, 0] == 7) & (columns[3:, 1] == 2), 1] = 1
    assert Telling(columns, rare, {0: 12, 1: 3, 2: 40}).search([0, 1, 2])[0] in ((0, 1), (1, 0))


def test_a_row_of_cells_that_say_their_places_is_one_of_variables_and_a_grid_is_not() -> None:
    play = played(Switches(), 200)
    row = torch.cat(
        [play.observations.movedim(-1, -2), torch.arange(10).view(1, 1, 10, 1).expand(len(play), -1, -1, -1)], -1
    )
    as_row = replace(play, observations=row, observation_spec=ObservationSpec("symbols", (1, 10, 2), (2, 10)))
    assert are_variables(play) and are_variables(as_row)
    other = replace(as_row, observations=row.flip(2))
    assert not are_variables(other)
    assert not are_variables(replace(play, observations=play.observations.view(-1, 2, 5, 1)))


@pytest.mark.training
def test_an_agent_of_variables_is_kept_on_disk_and_looks_its_policy_up(tmp_path: Path) -> None:
    task = f"gym:{Deliveries.__module__}:Deliveries-v0"
    hplan.learn(task, tmp_path, steps=20_000, seed=50)
    result = hplan.evaluate(hplan.load(tmp_path), task, episodes=20, seed=50)
    assert result.success_rate == 1
    assert result.predictor_evals_per_step == 0
    assert result.levels == 1 and result.train["gradient_steps"] == 0
    with pytest.raises(UsageError, match="a few discrete variables are planned as a whole, on one level"):
        hplan.learn(task, tmp_path / "two", steps=2_000, levels=2)


@pytest.mark.training
def test_costs_alone_are_kept_as_low_as_can_be(tmp_path: Path) -> None:
    agent = hplan.learn("gym:CliffWalking-v1", tmp_path, steps=10_000, seed=50, goal="reward")
    assert hplan.evaluate(agent, "gym:CliffWalking-v1", episodes=3, seed=50).return_mean == -13
    with pytest.raises(UsageError, match="solved for them"):
        adapt(tmp_path, tmp_path / "adapted", steps=10)


@pytest.mark.training
@pytest.mark.parametrize(("name", "aims"), [("Blackjack-v1", True), ("FrozenLake-v1", False)])
def test_a_game_that_can_be_drawn_is_played_for_what_it_pays(name: str, aims: bool, tmp_path: Path) -> None:
    agent = hplan.learn(f"gym:{name}", tmp_path, steps=5_000, seed=50)
    assert (agent.stack.levels[0].returns is not None) == aims
    assert (agent.stack.levels[0].success is None) == aims


HALF_WAY = {  # in canonical form
    "one": lambda seen: seen[:, 0, 0, 0] == 2,
    "two": lambda seen: (seen[:, 0, 0, 0] == 0) & (seen[:, 0, 0, 1] == 2),
    "row": lambda seen: (seen[:, 0, 0, 0] == 0) & (seen[:, 0, 1, 0] == 2),
}


@pytest.mark.training
@pytest.mark.parametrize("spread", HALF_WAY)
def test_what_is_forbidden_is_gone_round_whether_it_is_given_or_learned(spread: str, tmp_path: Path) -> None:
    def way(agent: Any) -> list[tuple[int, int]]:
        env, ended, places = Detour(spread), False, []
        seen, _ = env.reset(seed=60)
        while not ended and len(places) < 10:
            seen, _, ended, _, _ = env.step(agent.act(seen))
            places.append((env.row, env.column))
        return places

    plain = hplan.learn(lambda: Detour(spread, mined=False), tmp_path / "plain", steps=3000, seed=50)
    mined = hplan.learn(lambda: Detour(spread), tmp_path / "mined", steps=3000, seed=50)
    plain.reset()
    assert len(way(plain)) == 4
    plain.reset(constraints=[HALF_WAY[spread]])
    mined.reset()
    for agent in (plain, mined):
        places = way(agent)
        assert len(places) == 6 and places[-1] == (0, 4) and (0, 2) not in places
    plain.reset(constraints=[lambda seen: torch.ones(len(seen))])
    with pytest.raises(UsageError, match="forbids the observation that the episode begins with"):
        plain.act(Detour(spread).reset()[0])


class Names(gym.Env):
    """Thirty states with names of five digits, of which any four tell nothing of what follows."""

    observation_space = gym.spaces.MultiDiscrete([10] * 5)
    action_space = gym.spaces.Discrete(3)
    DIGITS = np.random.default_rng(3).integers(0, 10, (30, 5))
    FOLLOWING = np.random.default_rng(4).integers(0, 30, (30, 3))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(1, 30))
        return self.DIGITS[self.state].copy(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.state = int(self.FOLLOWING[self.state, action])
        won = self.state == 0
        return self.DIGITS[self.state].copy(), float(won), won, False, {"success": won}


def test_a_row_of_cells_may_be_one_variable() -> None:
    level, facts = learned(played(Names(), 3000, seed=50))
    assert facts["tables"]["variables"] == 1
    codec = Codec.of(Names.observation_space, Names.action_space, "env")
    seen = torch.from_numpy(np.stack([codec.encode(digits) for digits in Names.DIGITS]))
    assert torch.equal(level.encoder.numbers(level.encode(seen)), seen.long())
    z, after = level.encode(seen), seen[Names.FOLLOWING[:, 0]].long()
    known = level.dynamics.known(z)[:, 0]
    assert known.sum() > 20
    assert torch.equal(level.encoder.numbers(level.predict(z, torch.zeros(30, dtype=torch.long)))[known], after[known])
    strange = level.encode(torch.full((1, 1, 5, 2), 9))
    assert (level.encoder.numbers(strange)[..., 0] == -1).all()
