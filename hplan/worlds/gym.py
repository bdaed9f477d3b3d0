"""Any Gymnasium environment: registered ones by `gym:ENV-ID`, others through a function that makes them.

A GoalEnv (a Dict of observation, achieved_goal, desired_goal) asks for an *observation*: `info["goal"]`. It is the one
of the start with the desired goal in the place of the achieved one, in `observation` too. That place is looked up in
many moments of the environment: numbers which merely equal it now and then stay as they are. What it desires is
`info["mission"]`, too, where it is numbers: play that reaches some tells what else does not count.

Other environments may ask for something in `info["mission"]`, or in a part of a Dict of that name, or `desired_goal` or
`goal`; in words; or beside an image in any part. Such a part is looked up, too: it stays the same in an episode and
differs between episodes, or it is a part of what is seen as any other.
"""

from __future__ import annotations

import difflib
import io
import pickle
import re
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import EzPickle

from hplan.codec import Codec
from hplan.config import PlayConfig, SuccessRule, TaskConfig
from hplan.encodings import observations
from hplan.gym_spaces import MISSION_KEYS, is_goal_space, line
from hplan.types import UsageError
from hplan.worlds.half_blocks import half_blocks
from hplan.worlds.layers import count_anew, own_limit

GYM_PLAY = PlayConfig(steps={"quick": 100_000, "full": 500_000}, episode_steps=500, restart_rare=0.5)
_HOMES = {  # which package registers an id
    "MiniGrid-": "minigrid",
    "BabyAI-": "minigrid",
    "pointmaze-": "ogbench",
    "powderworld-": "ogbench",
}
_PROBES = 8  # episodes that are looked at, and moments of each, for where a GoalEnv's goal is


def gym_task(name: str, success: SuccessRule = "auto") -> TaskConfig:
    """The task `gym:ENV-ID`; ENV-ID may be `MODULE:ENV-ID`, where MODULE is what registers it when imported.

    Raises UsageError with near matches where no such environment is registered.
    """
    identity = name.removeprefix("gym:")
    find_spec(identity)
    return TaskConfig(name=name, environment=identity, success=success, play=GYM_PLAY)


def find_spec(identity: str) -> EnvSpec:
    """The registration of an environment, after importing what registers it. Raises UsageError where there is none."""
    module, _, identity = identity.rpartition(":")
    home = module or next((package for prefix, package in _HOMES.items() if identity.startswith(prefix)), None)
    try:
        if home and identity not in gymnasium.registry:
            import_module(home)
        return gymnasium.spec(identity)
    except ImportError as error:
        here = Path(f"{str(home).split('.')[0]}.py").exists()
        hint = "; it lies in this folder: `python -m hplan` finds it, the command `hplan` does not" if here else ""
        raise UsageError(f"environment {identity!r} needs {home}, which cannot be imported: {error}{hint}") from error
    except gymnasium.error.Error as error:
        near = difflib.get_close_matches(identity, gymnasium.registry, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see gymnasium.pprint_registry()"
        raise UsageError(
            f"unknown environment {identity!r}: {hint} (gym:MODULE:ENV-ID imports the module that registers it)"
        ) from error
    except (Exception, SystemExit) as error:  # whatever the module may raise
        raise UsageError(
            f"importing {home} for environment {identity!r} raised {type(error).__name__}: {error}"
        ) from error


class GymView(gymnasium.Wrapper):
    """`env` as it is, with goals in `info` where it asks for any. Raises UsageError where one of its spaces is not
    supported (hplan/codec.py), or becomes another one later."""

    def __init__(
        self,
        env: gymnasium.Env,
        name: str,
        *,
        achieved: tuple[int, ...] | None = None,
        mission: str | None = None,
    ) -> None:
        """achieved, mission: of the codec; looked up if None, in episodes of `env`."""
        super().__init__(env)
        mission = _mission(env) if mission is None else mission
        self.codec = Codec.of(env.observation_space, env.action_space, name, mission=mission)
        if is_goal_space(env.observation_space):
            known = _achieved(env, self.codec) if achieved is None else achieved
            self.codec = replace(self.codec, achieved=known)
        self._seen: Any = None
        self._spaces = env.observation_space, env.action_space
        # of a class of somebody's own, whose values may equal nothing
        self._comparable = self._spaces == (self.codec.observation_space, self.codec.action_space)
        if goes_back(env):
            self.snapshot, self.restore = self._snapshot, self._restore

    @property
    def max_steps(self) -> int:
        return own_limit(self.env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        if self._comparable:
            self._check_spaces(self.codec.observation_space, self.codec.action_space)
        if seed is not None:
            self.env.action_space.seed(seed)  # some environments draw from it
        self._seen = observation
        found = {"goal": self.codec.goal(observation), "mission": self.codec.asked(observation)}
        return observation, {**info, **{key: value for key, value in found.items() if value is not None}}

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        self._seen, reward, terminated, truncated, info = self.env.step(action)
        self._check_spaces(*self._spaces)
        return self._seen, reward, terminated, truncated, info or {}

    def _check_spaces(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        for what, known in (("observation", observation_space), ("action", action_space)):
            here = getattr(self.env, f"{what}_space")
            if here is not known and here != known:
                raise UsageError(
                    f"its {what} space was {line(known)} and has become {line(here)}: hplan takes environments whose "
                    "spaces stay the same (declare the largest from the beginning)"
                )

    def draw(self) -> str:
        """The environment's own text where it renders any, else its last observation; an image as half blocks."""
        if self.codec.observation_spec.kind == "image":
            return half_blocks(self.codec.encode(self._seen)[: self.codec.observation_spec.picture[0]])
        if self.env.render_mode == "ansi":
            with suppress(Exception, SystemExit):  # a picture is worth no episode
                if text := self.env.render():
                    return _without_colours(str(text)).strip("\n")
        return str(self._seen)

    def _snapshot(self) -> bytes:
        """The state as it is now."""
        return pickle.dumps((self.env, self._seen), protocol=pickle.HIGHEST_PROTOCOL)

    def _restore(self, snapshot: bytes) -> None:
        """A new episode that starts in that state: limits on its length count from here."""
        before = self.env
        self.env, self._seen = pickle.loads(snapshot)
        before.close()
        count_anew(self.env)


def goes_back(env: gymnasium.Env) -> bool:
    """Whether a pickled copy of `env` is in the same state: EzPickle's are as new, and of what owns something outside
    (pybullet's simulator) the copy would free it."""
    if isinstance(env.unwrapped, EzPickle):
        return False
    try:
        copied = io.BytesIO()
        _Copier(copied, pickle.HIGHEST_PROTOCOL).dump(env)
        pickle.loads(copied.getvalue()).close()
    except Exception:  # whatever a user's class may raise
        return False
    return True


class _Copier(pickle.Pickler):
    """Refuses what has a finaliser: it owns something that a copy would share, and then free."""

    def reducer_override(self, value: Any) -> Any:
        if hasattr(type(value), "__del__"):
            raise pickle.PicklingError(f"{type(value).__name__} frees something of its own")
        return NotImplemented


def _mission(env: gymnasium.Env) -> str:
    """Which part of a Dict is what an episode asks for: the first that stays the same in each of some episodes, and
    differs between them; "" where none does. Of vectors, play tells more of their numbers (`hplan.training.asking`)."""
    space = env.observation_space
    if not isinstance(space, spaces.Dict) or is_goal_space(space) or len(space) == 1:
        return ""
    keys = _candidates(space)
    moments = _moments(env) if keys else []
    for key in keys:
        episodes = [{np.asarray(raw[key]).tobytes() for raw in seen} for seen in moments]
        if all(len(said) == 1 for said in episodes) and len(set.union(*episodes, set())) > 1:
            return key
    return ""


def _candidates(space: spaces.Dict) -> list[str]:
    """Parts that may be it: those of such a name, words of any name, and beside an image any; a single image is not,
    but what one looks at."""
    named = [key for key in MISSION_KEYS if key in set(space)]
    words = [key for key, part in space.items() if isinstance(part, spaces.Text)]
    plain = [key for key, part in space.items() if not isinstance(part, spaces.Dict | spaces.Tuple)]
    images = [key for key in plain if isinstance(space[key], spaces.Box) and _is_image(space[key])]
    beside = [key for key in plain if images and (len(images) > 1 or key not in images)]
    return list(dict.fromkeys([*named, *words, *beside]))


def _is_image(space: spaces.Space) -> bool:
    with suppress(UsageError):
        return observations(space, "")[0].kind == "image"
    return False


def _moments(env: gymnasium.Env) -> list[list[Any]]:
    """Observations of some episodes at random."""
    episodes: list[list[Any]] = []
    with suppress(Exception, SystemExit):  # what goes wrong here is told where somebody plays, with seed and step
        env.action_space.seed(0)
        for seed in range(_PROBES):
            raw, info = env.reset(seed=seed)
            episodes.append([deepcopy(raw)])  # some environments write into what they returned
            for _ in range(_PROBES - 1):
                mask = (info or {}).get("action_mask") if isinstance(env.action_space, spaces.Discrete) else None
                allowed = None if mask is None else np.asarray(mask, np.int8)
                raw, _, terminated, truncated, info = env.step(env.action_space.sample(allowed))
                if terminated or truncated:
                    break
                episodes[-1].append(deepcopy(raw))
    return episodes


def _achieved(env: gymnasium.Env, codec: Codec) -> tuple[int, ...]:
    """Which numbers of a GoalEnv's `observation` are its achieved goal: the first run of them that always equals it,
    over moments of many episodes; else, for each number that varies, the first that does (-1: none)."""
    seen = [(np.ravel(raw["achieved_goal"]), np.ravel(raw["observation"])) for part in _moments(env) for raw in part]
    if not seen or not isinstance(codec.observation_space["observation"], spaces.Box):  # type: ignore[index]
        return ()
    places, whole = (np.stack(rows).astype(np.float32) for rows in zip(*seen, strict=True))
    same = (places[:, :, None] == whole[:, None, :]).all(0)  # (of the goal, of the observation)
    count = len(same)
    for first in range(same.shape[1] - count + 1):
        if same[range(count), range(first, first + count)].all():
            return tuple(range(first, first + count))
    varies = (places != places[:1]).any(0)
    return tuple(int(row.argmax()) if row.any() and moves else -1 for row, moves in zip(same, varies, strict=True))


def _without_colours(text: str) -> str:
    """Toy-text environments mark the agent by a coloured background alone: that character becomes @."""
    text = re.sub(r"\x1b\[4[1-7]m.\x1b\[0m", "@", text)
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
