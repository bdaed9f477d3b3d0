"""Any Gymnasium environment as a World: registered ones by `gym:ENV-ID`, others through a function that makes them.

A GoalEnv (a Dict of observation, achieved_goal, desired_goal) asks for an *observation*: `Start.goal`. Where the three
are of one space, the goal is `desired_goal` as it is. Otherwise observations are [achieved_goal, observation], and the
goal is that of the start with the desired goal in the place of whatever equals the achieved one.
"""

from __future__ import annotations

import difflib
import pickle
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeGuard

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils import EzPickle
from gymnasium.wrappers import TimeLimit

from hplan.codec import Observations, actions, observations
from hplan.config import PlayConfig, SuccessRule, TaskConfig
from hplan.types import ObservationSpec, Start, Transition, UsageError

GYM_PLAY = PlayConfig(steps={"quick": 100_000, "full": 500_000}, episode_steps=500, restart_rare=0.5)
_HOMES = {"MiniGrid-": "minigrid", "BabyAI-": "minigrid", "pointmaze-": "ogbench"}  # which package registers an id
_LIMIT = 1000  # steps of an episode where the environment has no limit of its own


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
        raise UsageError(f"environment {identity!r} needs {home}, which cannot be imported: {error}") from error
    except gymnasium.error.Error as error:
        near = difflib.get_close_matches(identity, gymnasium.registry, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see gymnasium.pprint_registry()"
        raise UsageError(
            f"unknown environment {identity!r}: {hint} (gym:MODULE:ENV-ID imports the module that registers it)"
        ) from error


class GymWorld:
    """`env` as a World. Raises UsageError where one of its spaces is not supported (hplan/codec.py)."""

    def __init__(self, env: gymnasium.Env, name: str, *, ending_succeeds: bool = False) -> None:
        self.name = name
        self._env = env
        self._ending_succeeds = ending_succeeds
        self._actions = actions(env.action_space, name)
        space = env.observation_space
        self._goals = _goals(space, name) if is_goal_space(space) else None
        self._view = self._goals.view if self._goals else observations(space, name)
        self.action_spec = self._actions.spec
        self.observation_spec = self._view.spec
        self.max_steps = _own_limit(env)
        self._step = 0
        self._seen: Any = None
        if _goes_back(env):
            self.snapshot, self.restore = self._snapshot, self._restore

    def reset(self, *, seed: int) -> Start:
        raw, _ = self._env.reset(seed=seed)
        self._env.action_space.seed(seed)  # some environments draw from it
        self._step, self._seen = 0, raw
        observation = self._view.encode(raw)
        return Start(observation, self._goals.goal(raw, observation) if self._goals else None)

    def step(self, action: int | np.ndarray) -> Transition:
        raw, reward, terminated, truncated, info = self._env.step(self._actions.decode(action))
        self._step, self._seen, reward = self._step + 1, raw, float(reward)
        return Transition(
            observation=self._view.encode(raw),
            reward=reward,
            terminated=bool(terminated),
            truncated=bool(truncated) or self._step >= self.max_steps,
            success=self._succeeded(reward, bool(terminated), info),
            violation=bool(info.get("cost", 0) > 0 or info.get("constraint_violation", False)),
        )

    def draw(self) -> str:
        """The environment's own text where it renders any, else its last observation."""
        if self._env.render_mode == "ansi" and (text := self._env.render()):
            return _without_colours(str(text)).strip("\n")
        return str(self._seen)

    def close(self) -> None:
        self._env.close()

    def _snapshot(self) -> bytes:
        """The state as it is now."""
        return pickle.dumps((self._env, self._seen), protocol=pickle.HIGHEST_PROTOCOL)

    def _restore(self, snapshot: bytes) -> None:
        """A new episode that starts in that state: limits on its length count from here."""
        self._env, self._seen = pickle.loads(snapshot)
        self._step, layer = 0, self._env
        while isinstance(layer, gymnasium.Wrapper):
            if isinstance(layer, TimeLimit):
                layer._elapsed_steps = 0
            layer = layer.env

    def _succeeded(self, reward: float, terminated: bool, info: dict[str, Any]) -> bool:
        """contract.md: the environment's own word, else a terminating reward above 0."""
        if self._ending_succeeds:
            return terminated
        for key in ("success", "is_success"):
            if key in info:
                return bool(info[key])
        return terminated and reward > 0


def _goes_back(env: gymnasium.Env) -> bool:
    """Whether a pickled copy of `env` is in the same state: EzPickle's are as new."""
    if isinstance(env.unwrapped, EzPickle):
        return False
    try:
        pickle.loads(pickle.dumps(env))
    except Exception:  # whatever a user's class may raise
        return False
    return True


def _own_limit(env: gymnasium.Env) -> int:
    for limit in (env.spec and env.spec.max_episode_steps, getattr(env.unwrapped, "max_steps", None)):
        if isinstance(limit, int) and limit > 0:
            return limit
    return _LIMIT


def is_goal_space(space: spaces.Space) -> TypeGuard[spaces.Dict]:
    """Whether observations are those of a GoalEnv."""
    return isinstance(space, spaces.Dict) and set(space) == {"observation", "achieved_goal", "desired_goal"}


@dataclass(frozen=True)
class _Goals:
    """A GoalEnv's observations in canonical form, and what it asks for."""

    view: Observations
    goal: Callable[[dict[str, Any], np.ndarray], np.ndarray]  # of the first raw observation, and its canonical form


def _goals(space: spaces.Dict, name: str) -> _Goals:
    own = observations(space["observation"], f"{name}, part 'observation'")
    wanted = observations(space["desired_goal"], f"{name}, part 'desired_goal'")
    if own.spec == wanted.spec:
        view = Observations(own.spec, lambda raw: own.encode(raw["observation"]))
        return _Goals(view, lambda raw, _: wanted.encode(raw["desired_goal"]))
    if (own.spec.kind, wanted.spec.kind) != ("vector", "vector"):
        raise UsageError(
            f"{name}: observation {space['observation']} and goal {space['desired_goal']} of different spaces are "
            "supported only where both are Boxes of floats"
        )
    spec = ObservationSpec("vector", (wanted.spec.shape[0] + own.spec.shape[0],))
    parts = (("achieved_goal", wanted), ("observation", own))
    view = Observations(spec, lambda raw: np.concatenate([part.encode(raw[key]) for key, part in parts]))
    return _Goals(
        view,
        lambda raw, start: _with_goal(start, wanted.encode(raw["achieved_goal"]), wanted.encode(raw["desired_goal"])),
    )


def _with_goal(start: np.ndarray, achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    goal = start.copy()
    for now, then in zip(achieved, desired, strict=True):
        goal[(start == now) & (now != 0)] = then  # a zero would also match velocities at rest
    goal[: desired.size] = desired
    return goal


def _without_colours(text: str) -> str:
    """Toy-text environments mark the agent by a coloured background alone: that character becomes @."""
    text = re.sub(r"\x1b\[4[1-7]m.\x1b\[0m", "@", text)
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
