"""Gymnasium's toy worlds where more is left to chance: a taxi in the rain, a slippery cliff; and worlds of several
variables, which the tests have, too."""

from __future__ import annotations

import gymnasium as gym
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv

from tests import discrete_worlds

assert discrete_worlds.Deliveries  # importing it registers them
gym.register("RainyTaxi-v0", TaxiEnv, max_episode_steps=200, kwargs={"is_rainy": True})
gym.register("SlipperyCliff-v0", CliffWalkingEnv, max_episode_steps=300, kwargs={"is_slippery": True})
