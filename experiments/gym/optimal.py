"""The best that any policy can do in toy worlds: dynamic programming on the true models, which no agent sees.

Usage: python -m experiments.gym.optimal
"""

from __future__ import annotations

import sys
from functools import cache

import gymnasium
import numpy as np

from experiments.gym import variants

assert variants.__name__ in sys.modules  # it registers two of these
WORLDS = ("FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "SlipperyCliff-v0", "Taxi-v4", "RainyTaxi-v0")
STEPS = {"CliffWalking-v1": 1000}  # where an episode has no limit of its own
CARDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10, 10, 10)


def best_return(name: str) -> float:
    """Of an episode within its limit, averaged over where it may begin."""
    env = gymnasium.make(name)
    model, start = env.unwrapped.P, env.unwrapped.initial_state_distrib  # type: ignore[union-attr]
    limit = STEPS.get(name) or env.spec.max_episode_steps  # type: ignore[union-attr]
    values = np.zeros(len(model))
    for _ in range(limit):  # type: ignore[arg-type]
        worth = [
            [
                sum(p * (reward + (0 if done else values[to])) for p, to, reward, done in ends)
                for ends in actions.values()
            ]
            for actions in model.values()
        ]
        values = np.max(worth, axis=1)
    return float(np.dot(start, values))


def total(hand: int, ace: bool) -> int:
    return hand + 10 if ace and hand + 10 <= 21 else hand


@cache
def dealer(hand: int, ace: bool) -> dict[int, float]:
    """What the dealer ends with, 0 for more than 21, and the chances of it."""
    if total(hand, ace) >= 17:
        return {total(hand, ace) if total(hand, ace) <= 21 else 0: 1.0}
    found: dict[int, float] = {}
    for card in CARDS:
        for end, chance in dealer(hand + card, ace or card == 1).items():
            found[end] = found.get(end, 0.0) + chance / len(CARDS)
    return found


@cache
def blackjack(hand: int, ace: bool, shown: int) -> float:
    stick = sum(
        chance * np.sign(total(hand, ace) - end) / len(CARDS)
        for card in CARDS
        for end, chance in dealer(shown + card, shown == 1 or card == 1).items()
    )
    hit = sum(blackjack(hand + card, ace or card == 1, shown) if hand + card <= 21 else -1.0 for card in CARDS)
    return float(max(stick, hit / len(CARDS)))


for world in WORLDS:
    sys.stdout.write(f"{world}: {best_return(world):.3f}\n")
deals = [blackjack(a + b, 1 in (a, b), min(shown, 10)) for a in CARDS for b in CARDS for shown in CARDS]
sys.stdout.write(f"Blackjack-v1: {np.mean(deals):.4f}\n")
