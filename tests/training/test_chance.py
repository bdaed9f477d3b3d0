"""Long steps that come out the same each time are no chance, and are learned; those that do not, are."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from levels.plays import play_of

import hplan
from hplan.play.play import load_play
from hplan.training.chance import leaps as leaps_of
from hplan.training.chance import ordinary, repeatable


@pytest.mark.parametrize("continuous", [False, True])
def test_what_comes_out_the_same_from_nearby_is_no_chance(continuous: bool) -> None:
    """A flag turns where the number is large and the action is 1; elsewhere that action jumps to either side."""
    generator = torch.Generator().manual_seed(0)
    count = 20_000
    at, acts = torch.rand(count, generator=generator), torch.randint(40, (count,), generator=generator)
    acts = (acts == 1).long()
    turned, leaps = (acts == 1) & (at > 0.8), (acts == 1) & (at < 0.2)
    side = torch.randint(2, (count,), generator=generator) * 6.0 - 3.0
    begin = torch.stack([at, torch.zeros(count)], 1)
    end = torch.stack([at + 0.01 + side * leaps, turned.float()], 1)
    seen = torch.stack([begin, end], 1).flatten(0, 1)
    actions = acts.repeat_interleave(2)
    play = play_of(seen, actions[:, None].float() if continuous else actions, torch.tensor([1, 0]).repeat(count))
    found = torch.zeros(2 * count, dtype=torch.bool)
    found[repeatable(play)] = True
    found = found[::2]
    assert found[turned].float().mean() > 0.9
    assert found[leaps].float().mean() < 0.2
    assert not found[~turned & ~leaps].any()


def test_what_hardly_changes_is_no_leap() -> None:
    """Steps of 0.9 to 1.1, and one in five hundred goes to anywhere."""
    generator = torch.Generator().manual_seed(0)
    size = 0.9 + 0.2 * torch.rand(5000, generator=generator)
    leaps = torch.arange(5000) % 500 == 7
    at = torch.where(leaps, 300.0, size).cumsum(0) - 0.5
    play = play_of(torch.stack([at, at.roll(1)], 1), torch.zeros(5000, 1), torch.arange(4999, -1, -1))
    found = ordinary(play)
    assert not found[:-1][leaps[1:]].any() and not found[-1], "the last row has no step"
    assert found.float().mean() > 0.97


def test_where_hardly_anything_happens_what_does_is_no_leap() -> None:
    """One step in a thousand goes on by 1; the others stay."""
    at = (torch.arange(20_000) % 1000 == 7).float().cumsum(0)
    play = play_of(torch.stack([at, -at], 1), torch.zeros(20_000, 1), torch.arange(19_999, -1, -1))
    assert not leaps_of(play).any() and ordinary(play)[:-1].all()


def test_what_a_rare_action_always_does_is_no_chance() -> None:
    """Five steps of twenty thousand are by action 1, and lead 30 on."""
    rare = torch.arange(20_000) % 4000 == 7
    at = torch.where(rare, 30.0, 0.5).cumsum(0) - 0.5
    play = play_of(at[:, None], rare.roll(-1).long(), torch.arange(19_999, -1, -1))
    assert not leaps_of(play).any()


def test_a_leap_is_far_and_leads_elsewhere_each_time() -> None:
    """A line from 0 to 10. At its left end one action leads to a platform 30 away, where it is known to; at its right
    end, one in four times, to any place up to 60 away."""
    generator = torch.Generator().manual_seed(0)
    count = 20_000
    at = 10 * torch.rand(count, generator=generator)
    acts = torch.randint(2, (count,), generator=generator)
    portal = (at < 0.04) & (acts == 1)
    leap = (at > 9.92) & (torch.rand(count, generator=generator) < 0.25)
    anywhere = 60 * torch.rand(count, generator=generator)
    end = torch.where(portal, 30.0, torch.where(leap, anywhere, at + 0.5 * (2 * acts - 1)))
    seen = torch.stack([at, end], 1).flatten()[:, None]
    play = play_of(seen, acts.repeat_interleave(2), torch.tensor([1, 0]).repeat(count))
    found, far = leaps_of(play)[::2], (end - at).abs() > 5
    assert found[leap & far].float().mean() > 0.95
    assert found[portal].float().mean() < 0.2, "but for those at its edge, beside which it does not lead there"
    assert not found[~leap & ~portal].any()


class Hook(gymnasium.Env):
    """A place on a line, a box at the left end, and whether it hangs on the hook: to be gripped there."""

    observation_space = spaces.Tuple((spaces.Discrete(2), spaces.Box(0.0, 10.0, (1,), np.float32)))
    action_space = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        super().reset(seed=seed)
        self.at, self.holds = float(self.np_random.uniform(2, 8)), 0
        return self._seen(), {}

    def step(self, action: int) -> tuple:
        if action < 2:
            self.at = float(np.clip(self.at + (-0.5, 0.5)[action], 0, 10))
        if action == 2 and self.at < 1:
            self.holds = 1
        if action == 3:
            self.holds = 0
        return self._seen(), 0.0, False, False, {"success": bool(self.holds and self.at > 9)}

    def _seen(self) -> tuple:
        return self.holds, np.array([self.at], np.float32)


@pytest.mark.training
def test_a_gripper_that_seldom_closes_is_learned(tmp_path: Path) -> None:
    settings = {"base_steps": 5000, "hidden": 64, "latent": 6}
    agent = hplan.learn(
        lambda: gymnasium.wrappers.TimeLimit(Hook(), 60), tmp_path / "run", steps=20_000, levels=1, settings=settings
    )
    (level,) = agent.stack.levels
    play = load_play(tmp_path / "run" / "play")
    turns = (play.observations[1:, 0] != play.observations[:-1, 0]) & (play.remaining[:-1] > 0)
    rows = torch.nonzero(turns)[:, 0]
    assert 0 < len(rows) < 0.03 * len(play), "seldom"
    z, end, macro = level.step_of_play(play, rows)
    off, size = level.distance(level.predict(z, macro), end), level.distance(z, end)
    assert float((off < size / 3).float().mean()) > 0.8
