"""Ten odd environments of our own: every kind of space, and what other rows have none of. Importing registers them."""

from __future__ import annotations

import gymnasium

from tests import discrete_worlds, pointing_out, raw_worlds

assert discrete_worlds.Deliveries and pointing_out.PointOut  # importing these registers them
ODD = {
    "OddBits-v0": raw_worlds.KINDS["MultiBinary"],
    "OddIntegers-v0": raw_worlds.KINDS["integer Box with an offset"],
    "OddGoal-v0": raw_worlds.KINDS["GoalEnv"],
    "OddFar-v0": raw_worlds.KINDS["large numbers beside small ones"],
    "OddImage-v0": raw_worlds.KINDS["image of floats, channels first"],
    "OddChoices-v0": raw_worlds.ACTED["Discrete, moved by more choices than there are actions"],
    "OddMixed-v0": raw_worlds.ACTED["Discrete, moved by a choice and a number"],
}
for name, make in ODD.items():
    gymnasium.register(name, make)
