"""The best that any policy can do on gym:FrozenLake8x8-v1: dynamic programming on the true model, which no agent sees.

Usage: python experiments/gym/optimal.py
"""

from __future__ import annotations

import sys

import gymnasium
import numpy as np

env = gymnasium.make("FrozenLake8x8-v1")
model, limit = env.unwrapped.P, env.spec.max_episode_steps  # type: ignore[union-attr]
values = np.zeros(len(model))
for _ in range(limit):
    chances = [
        [sum(p * (reward if done else values[to]) for p, to, reward, done in outcomes) for outcomes in actions.values()]
        for actions in model.values()
    ]
    values = np.max(chances, axis=1)
sys.stdout.write(f"FrozenLake8x8-v1: the best policy arrives within {limit} steps with probability {values[0]:.4f}\n")
