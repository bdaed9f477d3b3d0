"""How many observations at once say what comes next, and agents that see as many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

import hplan
from hplan.levels.pixels import PixelEncoder
from hplan.levels.tile_encoder import TileEncoder
from hplan.play.frames import Frames
from hplan.play.play import Play
from hplan.training.history import history_of
from hplan.types import ActionSpec, Episode, ObservationSpec

NUMBERS = ObservationSpec("vector", (1,))
ACTIONS = ActionSpec("continuous", 1, (-1.0,), (1.0,))
TINY = {"base_steps": 150, "above_steps": 40}


def sleds(shown: int, noise: float = 0.0, episodes: int = 40, steps: int = 60) -> Play:
    """A sled on ice: an action is its acceleration. shown: 1 for its place, 2 for its speed, too."""
    rng = np.random.default_rng(0)
    found = []
    for seed in range(episodes):
        actions = rng.uniform(-1, 1, (steps, 1)).astype(np.float32)
        speed = np.cumsum(np.concatenate([[0.0], 0.1 * actions[:, 0]]))
        place = np.cumsum(np.concatenate([[0.0], speed[:-1]]))
        seen = np.stack([place, speed], 1)[:, :shown] + noise * rng.normal(size=(steps + 1, shown))
        nothing = np.zeros(steps, bool)
        found.append(Episode(seen.astype(np.float32), actions, nothing * 1.0, nothing, nothing, False, seed))
    return Play.of(found, ObservationSpec("vector", (shown,)), ACTIONS)


def test_a_place_alone_does_not_say_how_fast() -> None:
    assert history_of(sleds(1), 0) == 2
    assert history_of(sleds(2), 0) == 1


def test_symbols_under_continuous_actions_are_counted_by_what_the_action_nearly_is() -> None:
    """What an action does shows one step later in the one, at once in the other."""
    rng = np.random.default_rng(0)
    for late, expected in ((False, 1), (True, 2)):
        found = []
        for seed in range(40):
            actions = rng.uniform(-1, 1, (60, 1)).astype(np.float32)
            moves = np.where(actions[:, 0] > 0, 1, -1)
            if late:  # goes on as it went, unless the action is large
                moves[0], large = 1, np.abs(actions[:, 0]) > 0.5
                for step in range(1, 60):
                    moves[step] = moves[step] if large[step] else moves[step - 1]
            seen = (np.concatenate([[0], np.cumsum(moves)]) % 7).astype(np.uint8).reshape(-1, 1, 1, 1)
            nothing = np.zeros(60, bool)
            found.append(Episode(seen, actions, nothing * 1.0, nothing, nothing, False, seed))
        assert history_of(Play.of(found, ObservationSpec("symbols", (1, 1, 1), (7,)), ACTIONS), 0) == expected


def test_noise_is_no_speed() -> None:
    still = sleds(1, noise=1e3)  # nothing but noise is seen of it
    assert history_of(still, 0) == 1
    assert history_of(sleds(2, noise=0.02), 0) == 1


def test_a_wall_is_no_speed() -> None:
    """Who goes on as before, and is stopped by walls, tells by the last step where they are."""
    rng = np.random.default_rng(0)
    heading = rng.uniform(-1, 1, (40, 8, 2)).repeat(10, 1)
    at = [rng.uniform(0, 10, (40, 2))]
    for step in range(80):
        at.append((at[-1] + 0.3 * heading[:, step]).clip(0, 10))
    seen, nothing = np.stack(at, 1).astype(np.float32), np.zeros(80, bool)
    episodes = [
        Episode(seen[i], heading[i].astype(np.float32), nothing * 1.0, nothing, nothing, False, i) for i in range(40)
    ]
    spec = ActionSpec("continuous", 2, (-1.0,) * 2, (1.0,) * 2)
    assert history_of(Play.of(episodes, ObservationSpec("vector", (2,)), spec), 0) == 1


def test_too_little_play_takes_one() -> None:
    assert history_of(sleds(1, episodes=3), 0) == 1


class Glider(gymnasium.Env):
    """Places 0 to 8 on ice, of which the place alone is seen: an action changes the speed by one, down to -1, up to 1,
    and walls stop it. Success is to stand still in the middle."""

    observation_space = spaces.Discrete(9)
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.speed, self.steps = int(self.np_random.choice([0, 1, 7, 8])), 0, 0
        return self.at, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.speed = int(np.clip(self.speed + int(action) - 1, -1, 1))
        at = self.at + self.speed
        self.at, self.speed = (at, self.speed) if 0 <= at <= 8 else (self.at, 0)
        self.steps += 1
        there = self.at == 4 and self.speed == 0
        return self.at, float(there), there, self.steps >= 40, {}


@pytest.mark.training
def test_an_agent_sees_as_many_as_it_takes_and_acts_on_them_in_every_loop(tmp_path: Path) -> None:
    agent = hplan.learn(Glider, tmp_path / "run", steps=4000, levels=1, settings=TINY)
    assert agent.stack.history == 2 == hplan.load(tmp_path / "run").stack.history
    found = hplan.evaluate(agent, Glider, episodes=20, seed=0)
    assert found.success_rate == 1.0
    env = hplan.make(Glider)
    observation, _ = env.reset(seed=1)
    agent.reset(seed=0)
    state, starts = None, np.array([True])
    for _ in range(3):
        by_predict, state = agent.predict(np.array([observation]), state, starts)
        action = agent.act(observation)
        assert by_predict[0] == action, "predict remembers what act does"
        assert str(agent.plan(observation)) == str(agent.plan(observation)), "a plan changes nothing"
        observation, _, done, *_ = env.step(action)
        starts = np.array([False])
        if done:
            break
    one = hplan.learn(Glider, tmp_path / "one", steps=4000, levels=1, settings=TINY, history=1)
    slower = hplan.evaluate(one, Glider, episodes=20, seed=0)
    assert slower.steps_mean > 1.2 * found.steps_mean, "who does not know its speed goes by chance"


def test_the_last_observations_are_put_together_the_newest_first() -> None:
    play = sleds(1, episodes=2, steps=3)
    both = play.with_history(3)
    assert both.observation_spec.shape == (3,) and play.with_history(1) is play
    first = play.observations[:4, 0]
    expected = torch.stack([first, first[[0, 0, 1, 2]], first[[0, 0, 0, 1]]], 1)
    assert torch.equal(both.observations[:4], expected)
    assert torch.equal(both.observations[4], play.observations[4].expand(3)), "no episode looks into the one before"


def test_frames_are_put_together_as_channels_and_seen_one_by_one() -> None:
    shown = torch.arange(5 * 16 * 16 * 2, dtype=torch.uint8).view(5, 16, 16, 2)
    back = torch.tensor([[0, 0], [1, 0], [2, 1], [3, 2], [4, 3]])
    frames = Frames(shown.split(2)).together(back)
    assert frames.shape == (5, 16, 16, 4)
    two = frames[torch.tensor([[1, 3]])]
    assert torch.equal(two[0, 1], torch.cat([shown[3], shown[2]], -1))
    assert torch.equal(frames.select(torch.tensor([False, True, False, False, False]))[torch.tensor([0])], two[:, 0])
    encoder = PixelEncoder(inputs=(16, 16, 4), latent=3, hidden=8, history=2)
    seen = torch.cat([encoder.eye(shown[[1, 3]]), encoder.eye(shown[[0, 2]])], -1)
    assert torch.allclose(encoder(two[0]), encoder(seen), atol=1e-6)


def test_tiles_are_looked_at_frame_by_frame() -> None:
    shown = torch.zeros(2, 16, 8, 3, dtype=torch.uint8)
    shown[0, :8], shown[1, 8:] = 255, 255  # two tiles: white above black, then black above white
    kinds = torch.stack([torch.zeros(8 * 8 * 3), torch.full((8 * 8 * 3,), 255.0)]).to(torch.uint8)
    sizes = {"latent": 4, "cardinalities": (2, 2), "vocabulary": 4, "size": 8, "channels": 3, "known": 2}
    encoder = TileEncoder(inputs=(2,), history=2, **sizes)
    encoder.learn(kinds, torch.tensor([[0], [1]]))
    encoder.cells.copy_(torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]))
    now, before = shown[:1], shown[1:]
    assert encoder(torch.cat([now, before], -1)).tolist() == [[[2], [1]]]
    assert encoder(torch.cat([now, now], -1)).tolist() == [[[3], [0]]]
