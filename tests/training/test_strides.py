"""Levels of strides: the rule for strides and depth on worlds whose travel time and whose model's errors are known;
what chance decided, the time-shuffled control, and a level that is left out."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from levels.line_levels import Known, line_level
from levels.plays import play_of
from training.box import PLANE, Square

import hplan
from hplan.levels.heads import policy, uncertainty
from hplan.levels.level import Level
from hplan.levels.stage import Stages
from hplan.play.play import Play
from hplan.training import strides, told, vectors
from hplan.training.depth import reliable_horizon, travel_time, worth_a_level
from hplan.training.fit import Run
from hplan.training.learn import learn, train
from hplan.training.strides import (
    Strides,
    cut,
    out_of_order,
    unpredictable,
)
from hplan.training.train import Trained, run_stages
from hplan.training.vectors import StrideSettings, base_level, level_stages
from hplan.types import CollapseWarning, UsageError


def line(drift: float) -> Level:
    """A level 0 over positions on a line that predicts every step `drift` too long."""
    level = line_level(0)
    level.dynamics = Known(lambda level, z, macro: z + macro + drift)
    return level


def walk(length: int, episodes: int = 4) -> Play:
    """Episodes that go from 0 to `length` in steps of one."""
    below = torch.arange(length + 1.0).repeat(episodes)[:, None]
    return play_of(below, torch.ones(len(below), 1), torch.arange(length, -1, -1).repeat(episodes))


def still(length: int) -> Play:
    """One episode of a place that is never left."""
    return play_of(torch.zeros(length + 1, 1), torch.zeros(length + 1, 1), torch.arange(length, -1, -1))


# ------------------------------------------------------------------------------------------- how long, and how many


@pytest.mark.parametrize(("drift", "steps"), [(0.0, 16), (0.2, 2), (0.09, 5), (0.7, 1)])
def test_a_level_is_reliable_until_its_error_is_half_a_step(drift: float, steps: int) -> None:
    assert reliable_horizon(line(drift), walk(40)) == steps


def sensed(play: Play, noise: float) -> Play:
    """The same, by a sensor that is off by so much at every step, to either side."""
    sign = torch.tensor([1.0, -1.0])[torch.randint(2, play.below.shape, generator=torch.Generator().manual_seed(0))]
    return play.with_latents(play.below + noise * sign)


@pytest.mark.parametrize(("drift", "steps"), [(0.0, 16), (0.03, 9)])
def test_noise_of_a_sensor_is_no_error_that_grows(drift: float, steps: int) -> None:
    """Both ends are off by 0.4 steps: a tenth of the windows by 0.8, of one step by 0.77, since the others seem not to
    move. From there the error grows by drift: sqrt(1.07 ** 2 - 0.77 ** 2) is no more than what noise does."""
    assert reliable_horizon(line(drift), sensed(walk(40, episodes=40), 0.4)) == steps


def test_noise_below_half_a_step_does_not_add_up_either() -> None:
    """A tenth of the windows is off by 0.4 and the drift: sqrt(0.66 ** 2 - 0.43 ** 2) is half a step."""
    assert reliable_horizon(line(0.03), sensed(walk(40, episodes=40), 0.2)) == 8


def test_what_nobody_predicts_is_no_noise() -> None:
    """Out of order, an episode ends anywhere, however long it is."""
    play = walk(40, episodes=40)
    assert reliable_horizon(line(0.0), play.with_latents(play.below[out_of_order(play, 0)])) == 1


def test_where_most_of_play_hovers_the_rest_tells_how_long_ways_are() -> None:
    """Seven of ten episodes go to and fro by half a step, by a sensor that is off by 0.2."""
    ways, hovering = torch.arange(41.0).repeat(3), 0.5 * (torch.arange(41.0) % 2).repeat(7)
    acts = torch.cat([torch.ones(3 * 41), 0.5 - (torch.arange(41.0) % 2).repeat(7)])
    play = play_of(torch.cat([ways, hovering])[:, None], acts[:, None], torch.arange(40, -1, -1).repeat(10))
    assert reliable_horizon(line(0.0), sensed(play, 0.2)) == 16


def test_without_evidence_a_level_is_reliable_for_one_step() -> None:
    long = line(0.0)
    long.stride = 50.0
    assert reliable_horizon(long, walk(40)) == 1, "no episode is long enough for one step"
    assert reliable_horizon(line(0.0), still(40)) == 1, "no step goes anywhere"


def test_travel_time_is_that_of_a_long_trip() -> None:
    there = travel_time(walk(100), seed=0)
    assert 60 <= there <= 100  # nine trips in ten along a line of 100 steps are shorter than 69, one way only


def test_travel_time_stitches_episodes() -> None:
    """No episode is longer than 30 steps, and yet the far end is 90 away."""
    starts = range(0, 61, 10)
    below = torch.cat([torch.arange(s, s + 31.0) for s in starts])[:, None]
    play = play_of(below, torch.ones(len(below), 1), torch.arange(30, -1, -1).repeat(len(starts)))
    assert travel_time(play, seed=0) > 45


def test_a_place_that_is_never_left_takes_a_step() -> None:
    assert travel_time(still(10), seed=0) == 1.0


def rule(play: Play, count: int | None = None) -> Strides:
    return Strides(StrideSettings(), play, play, count=count, seed=0)


@given(st.floats(1, 1e5), st.integers(1, 16))
def test_ratios_stay_within_what_is_reliable_and_balanced(trip: float, reliable: int) -> None:
    ratio = rule(still(2)).next_ratio(trip, reliable)
    assert ratio == 2 or (ratio <= reliable and ratio <= trip**0.5 + 0.5)


def test_short_trips_need_no_level_and_long_ones_do() -> None:
    next_ratio = rule(still(2)).next_ratio
    assert not worth_a_level(16, next_ratio(16, 16))
    assert worth_a_level(340, next_ratio(340, 7))
    assert not worth_a_level(10, 3)


@pytest.mark.parametrize(
    ("kind", "trip", "reliable", "more"),
    [
        ("continuous", 13.0, 9, True),
        ("discrete", 13.0, 9, False),
        ("continuous", 8.0, 9, False),
        ("continuous", 13.0, 1, False),
    ],
)
def test_a_trip_that_no_plan_is_as_long_as_is_worth_a_level(kind: str, trip: float, reliable: int, more: bool) -> None:
    """Sampled plans have eight steps; a search finds its way over more."""
    found = rule(walk(40))
    found.trip, found.reliable = trip, [reliable]
    level: Any = SimpleNamespace(index=0, macro=SimpleNamespace(kind=kind), returns=None)
    assert found.finish(level) and found.over is not more


def test_play_too_short_for_as_many_levels_is_refused_and_enough_for_as_many_as_fit() -> None:
    """Its one episode has 40 steps: two of level 1, of 16 each, and none of what would be longer than twice that."""
    for count, kept in ((None, True), (1, True), (2, True)):
        found = rule(walk(40), count)
        found.trip, found.reliable = 1000.0, [16]
        assert found.finish(line_level(0)) is kept
        assert (found.stride, found.over) == (1 if count == 1 else 16, count == 1) or count == 1
    above = rule(walk(40), 3)
    above.trip, above.stride, above.reliable = 1000.0, 16, [16, 16]
    with pytest.raises(
        UsageError, match="a step of level 1 lasts 16 environment steps, and the longest episode of pla"
    ):
        above.finish(line_level(1, stride=16))


# ------------------------------------------------------------------------------------------------------- chance

EPISODES, STEPS = 60, 80
PAD, EXITS = torch.tensor([5.0, 5.0]), torch.tensor([[1.0, 1.0], [9.0, 1.0], [1.0, 9.0], [9.0, 9.0]])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is trained, and what is trained on frozen latents plays no part here."""
    monkeypatch.setattr(vectors, "SUPPORT_STEPS", 5)
    monkeypatch.setattr(vectors, "SQUARED", 100)
    monkeypatch.setattr(told, "LOST", float("inf"))  # latents tell nothing yet
    monkeypatch.setattr(uncertainty, "STEPS", 5)
    monkeypatch.setattr(policy, "STEPS", 5)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Level, Play, float]]:
    """What levels were trained on, and with which weight of slowness, in order."""
    found: list[tuple[Level, Play, float]] = []

    def recording(level: Level, play: Play, *args: Any, slow: float = 0.0, **options: Any) -> Stages:
        found.append((level, play, slow))
        return level_stages(level, play, *args, slow=slow, **options)

    monkeypatch.setattr(strides, "level_stages", recording)
    return found


def play_on_a_field(radius: float) -> Play:
    """A point that wanders on a field of 10 by 10, at most 0.3 a step. Who comes within `radius` of the middle is at
    one of the four corners next."""
    generator = torch.Generator().manual_seed(0)
    at = 10 * torch.rand(EPISODES, 2, generator=generator)
    at = torch.where((at - PAD).norm(dim=1, keepdim=True) < radius, at + 4, at)
    heading = torch.rand(EPISODES, 2, generator=generator) * 2 - 1
    observations, actions = [at], []
    for _ in range(STEPS):
        turn = torch.rand(EPISODES, 1, generator=generator) < 0.1
        heading = torch.where(turn, torch.rand(EPISODES, 2, generator=generator) * 2 - 1, heading)
        at = (at + 0.3 * heading).clamp(0, 10)
        corner = EXITS[torch.randint(len(EXITS), (EPISODES,), generator=generator)]
        at = torch.where((at - PAD).norm(dim=1, keepdim=True) < radius, corner, at)
        actions.append(heading.clone())
        observations.append(at)
    actions.append(torch.zeros_like(heading))
    remaining = torch.arange(STEPS, -1, -1).repeat(EPISODES)
    return play_of(torch.stack(observations, 1).flatten(0, 1), torch.stack(actions, 1).flatten(0, 1), remaining)


def trained(play: Play, out: Path, levels: Any, **settings: Any) -> Trained:
    sizes = {"batch": 64, "latent": 6, "hidden": 32, "codes": 4, "ratio": 4}
    return train(play, Strides, StrideSettings(**sizes | settings), levels=levels, run=Run(0, out))


def jumps(play: Play) -> torch.Tensor:
    """(N,) bool: the transitions that are longer than any step."""
    far = torch.zeros(len(play), dtype=torch.bool)
    far[:-1] = (play.observations[1:] - play.observations[:-1]).norm(dim=1) > 1
    return far & (torch.bincount(play.episode).cumsum(0)[play.episode] - 1 > torch.arange(len(play)))


@pytest.mark.training
@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("radius", [0.0, 1.0], ids=["certain", "with a pad"])
def test_what_level_0_cannot_predict_is_exactly_what_chance_decides(radius: float, tmp_path: Path) -> None:
    play = play_on_a_field(radius)
    parts = base_level(PLANE, play.action_spec, latent=6, hidden=32).parts
    torch.manual_seed(0)
    level = Level(index=0, parts=parts | {"encoder": parts["encoder"] | {"octaves": 3}})
    settings = StrideSettings(base_steps=400, batch=64)
    run_stages(level_stages(level, play, settings, rollout=2, seed=0), Run(0, tmp_path))
    assert bool(jumps(play).any()) == (radius > 0)
    assert torch.equal(unpredictable(level, play), jumps(play))


@pytest.mark.training
@pytest.mark.usefixtures("short")
def test_levels_above_never_see_it_and_the_metadata_counts_it(
    tmp_path: Path, seen: list[tuple[Level, Play, float]]
) -> None:
    found = trained(play_on_a_field(1.0), tmp_path, 3, base_steps=800, above_steps=5)
    (_, play, _), *above = seen
    taken = jumps(play)
    assert 0 < found.facts["chances"] == int(taken.sum())
    for stride, (level, part, _) in zip((4, 16), above, strict=True):
        assert level.stride == stride
        assert bool(taken[play.starts(stride)[:, None] + torch.arange(stride)].any())
        assert not bool(taken[part.starts(stride)[:, None] + torch.arange(stride)].any())


@given(st.lists(st.booleans(), min_size=12, max_size=12), st.integers(1, 5))
def test_no_window_has_chance_inside_and_no_other_is_lost(chance: list[bool], horizon: int) -> None:
    play = play_of(torch.zeros(12, 1), torch.zeros(12, 1), torch.tensor([5, 4, 3, 2, 1, 0] * 2))
    kept = torch.nonzero(cut(play, torch.tensor(chance)).remaining >= horizon)[:, 0].tolist()
    assert kept == [row for row in play.starts(horizon).tolist() if not any(chance[row : row + horizon])]


# -------------------------------------------------------------------------------------------- time-shuffled control


def test_every_episode_keeps_its_rows_in_another_order() -> None:
    remaining = torch.cat([torch.arange(n, -1, -1) for n in (49, 0, 29)])
    play = play_of(torch.zeros(len(remaining), 1), torch.zeros(len(remaining), 1), remaining)
    order = out_of_order(play, seed=3)
    for rows in (slice(0, 50), slice(50, 51), slice(51, 81)):
        assert sorted(order[rows].tolist()) == list(range(81))[rows]
    assert (order != torch.arange(81)).sum() > 60
    assert torch.equal(order, out_of_order(play, seed=3))
    assert not torch.equal(order, out_of_order(play, seed=4))


@pytest.mark.training
@pytest.mark.usefixtures("short")
def test_level_0_learns_from_what_was_and_the_level_above_from_what_was_not(
    tmp_path: Path, seen: list[tuple[Level, Play, float]]
) -> None:
    play = play_on_a_field(0.0)
    for shuffle in (False, True):
        trained(play, tmp_path / str(shuffle), 2, base_steps=20, above_steps=5, shuffle=shuffle)
    base, above, base_too, shuffled = (part for _, part, _ in seen)
    assert torch.equal(base.below, base_too.below)
    assert not torch.equal(above.below, shuffled.below)
    assert torch.equal(shuffled.remaining, above.remaining)
    assert torch.equal(above.below[out_of_order(above, seed=0)], shuffled.below)


# ------------------------------------------------------------------------------------------------ what is left out


@pytest.mark.training
@pytest.mark.usefixtures("short")
def test_a_level_that_could_only_be_slow_by_shrinking_does_without(
    tmp_path: Path, seen: list[tuple[Level, Play, float]]
) -> None:
    play, lengths = play_on_a_field(0.0), {"base_steps": 100, "above_steps": 100, "slow": 1e4}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*shrink to a point")  # it is the one that is kept that is looked at
        found = trained(play, tmp_path, 2, **lengths)
    assert [(level.index, slow) for level, _, slow in seen] == [(0, 0.0), (1, 1e4), (1, 0.0)]
    assert {"level1", "level1-again"} <= found.curves.keys()
    base, level = found.levels
    assert float(level.encode(base.encode(play.below)).std(0).median()) > 0.1
    again = trained(play, tmp_path, 2, **lengths)  # all of it is loaded
    assert all(torch.equal(a, b) for a, b in zip(level.parameters(), again.levels[1].parameters(), strict=True))
    with pytest.warns(CollapseWarning, match="^level 1 collapsed: .*shrink to a point"):
        alone = trained(play, tmp_path, "auto", **lengths)
    assert alone.facts["left_out"] == 4
    assert len(alone.levels) == 1 and "level1" not in alone.curves  # whose steps lead anywhere is not worth a level


# ------------------------------------------------------------------------------------------------ landmark graphs


@pytest.mark.training
@pytest.mark.usefixtures("short")
def test_a_trained_agent_keeps_graphs_of_all_levels_above_0_and_plans_on_them(tmp_path: Path) -> None:
    settings = {"base_steps": 60, "above_steps": 30, "batch": 32, "hidden": 16, "ratio": 4}
    learn(Square, tmp_path, steps=3000, levels=3, settings=settings, device="cpu")
    agent = hplan.load(tmp_path, planner="graph")
    assert agent.stack.edges.keys() == {1, 2}
    for k, found in agent.stack.edges.items():
        level = agent.stack.levels[k]
        assert level.landmarks is not None
        assert len(found) > 0 and found.count <= len(level.landmarks.unique(dim=0))
        assert max(found.start.max(), found.end.max()) < found.count and found.macros.max() < level.macro.size
        assert (found.steps >= 1).all() and (found.start != found.end).all()
    there, here = np.array([0.9, 0.9], np.float32), np.array([0.1, 0.1], np.float32)
    agent.reset(goal=there)
    assert np.isfinite(agent.act(here)).all()
    assert agent.planner_calls[1] > 0
