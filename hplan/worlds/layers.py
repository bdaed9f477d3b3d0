"""Wrappers around an environment: which of them only keep books, and which are somebody's own and have to act."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral
from typing import TypeVar

import gymnasium
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

Layer = TypeVar("Layer", bound=gymnasium.Env)
LIMIT = 1000  # steps of an episode where an environment has no limit of its own
_BOOKKEEPING = (OrderEnforcing, PassiveEnvChecker)  # what gymnasium.make puts round everything


def layers(env: gymnasium.Env) -> list[gymnasium.Env]:
    """The wrappers, outermost first, and last the environment itself."""
    found = [env]
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        found.append(env)
    return found


def layer_of(env: gymnasium.Env, kind: type[Layer]) -> Layer | None:
    """The outermost layer of that class; None where there is none."""
    return next((layer for layer in layers(env) if isinstance(layer, kind)), None)


def stripped(env: gymnasium.Env, superseded: str = "") -> gymnasium.Env:
    """`env` without the wrappers that keep books; as it is where one of the user's own is among them.

    superseded: a package whose observation wrappers a view of hplan takes the place of. A limit of steps stays, unless
    it is the one that the environment was registered with: play may go on for longer than that.
    """
    inner, bare = env.unwrapped, env.unwrapped
    for layer in reversed(layers(env)[:-1]):
        if type(layer) is TimeLimit:
            if layer._max_episode_steps != _registered_limit(bare):
                inner = TimeLimit(inner, layer._max_episode_steps)
        elif type(layer) not in _BOOKKEEPING and not _is_superseded(layer, superseded):
            return env
    return inner


def own_limit(env: gymnasium.Env) -> int:
    """Steps after which the environment itself cuts an episode, or 1,000 where it never does."""
    around = [layer._max_episode_steps for layer in layers(env) if isinstance(layer, TimeLimit)]
    spec = env.spec and env.spec.max_episode_steps
    for limit in (min(around, default=None), spec, getattr(env.unwrapped, "max_steps", None)):
        if isinstance(limit, Integral) and int(limit) > 0:
            return int(limit)
    return LIMIT


def count_anew(env: gymnasium.Env) -> None:
    """Every limit of steps begins to count again."""
    for layer in layers(env):
        if isinstance(layer, TimeLimit):
            layer._elapsed_steps = 0


def shows_its_own(env: gymnasium.Env, superseded: str = "") -> bool:
    """Whether somebody's own wrapper shows something else than what is below it."""
    return any(
        layer.observation_space != below.observation_space and not _is_superseded(layer, superseded)
        for layer, below in pairwise(layers(env))
    )


def _is_superseded(layer: gymnasium.Env, package: str) -> bool:
    own = type(layer).__module__
    return bool(package) and isinstance(layer, gymnasium.ObservationWrapper) and own.startswith(package)


def _registered_limit(env: gymnasium.Env) -> int | None:
    known = gymnasium.registry.get(env.spec.id) if env.spec else None
    return known.max_episode_steps if known else None
