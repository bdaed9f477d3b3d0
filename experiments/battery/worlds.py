"""The battery's environments that Gymnasium does not have by itself. Importing registers them: those of other packages,
under their own names, and odd ones of our own, for every kind of space and for what other rows have none of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import gym_pusht
import gymnasium
import gymnasium_robotics
import highway_env
import mujoco
import panda_gym
from gymnasium_robotics.utils import mujoco_utils

from tests import discrete_worlds, pointing_out, raw_worlds

PACKAGES = (gym_pusht, gymnasium_robotics, highway_env, panda_gym)
OURS = (discrete_worlds, pointing_out)  # importing these registers what they have
ODD = {
    "OddBits-v0": raw_worlds.KINDS["MultiBinary"],
    "OddIntegers-v0": raw_worlds.KINDS["integer Box with an offset"],
    "OddGoal-v0": raw_worlds.KINDS["GoalEnv"],
    "OddFar-v0": raw_worlds.KINDS["large numbers beside small ones"],
    "OddImage-v0": raw_worlds.KINDS["image of floats, channels first"],
    "OddChoices-v0": raw_worlds.ACTED["Discrete, moved by more choices than there are actions"],
    "OddMixed-v0": raw_worlds.ACTED["Discrete, moved by a choice and a number"],
}


class Mujoco:
    """MuJoCo 4, whose kinds of joints are numbers again: gymnasium-robotics 1.4.2 compares them with those of a model,
    and makes no Fetch else."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(mujoco, name)
        if name in ("mjtJoint", "mjtEq"):
            return SimpleNamespace(**{kind: int(value) for kind, value in found.__members__.items()})
        return found


mujoco_utils.mujoco = Mujoco()
for name, make in ODD.items():
    gymnasium.register(name, make)
gymnasium.register("PushT-v0", lambda: gymnasium.make("gym_pusht/PushT-v0"))  # a name without a slash
