"""The loop around a world: steps in, one shard's arrays out. Everything in it is called once a step, so it is plain."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hplan.play.rarity import Archive, Restorable, SymbolSignature, VectorSignature
from hplan.play.store import observation_dtype, pack_contexts
from hplan.types import ActionSpec, HplanError, ObservationSpec, Start, World

_VISIT_EVERY = 4  # steps between looks at the signature: rare states last longer, and looking costs 4 microseconds
_LAYOUT_SEEDS = 2**31
_TICK = 1000


class Driver(Protocol):
    """Who plays: begins episodes and chooses actions."""

    def start(self) -> tuple[Start, int]:
        """Begin an episode; returns what it begins with, and the seed of its layout."""
        ...

    def act(self, observation: np.ndarray, step: int) -> Any:
        """The action at step `step` of the episode."""
        ...


@dataclass(frozen=True)
class Collected:
    """Arrays of one shard (store.py), and why it ended early, if it did."""

    arrays: dict[str, np.ndarray]
    error: HplanError | None = None


def collect(
    world: World,
    driver: Driver,
    *,
    steps: int,
    episode_steps: int,
    tick: Callable[[int], None] = lambda done: None,
) -> Collected:
    """Play `steps` steps in episodes of at most `episode_steps`; the last one is cut so that the sum is exact.

    `tick(n)` tells that n more steps are done, about once in a thousand. Where the world raises or returns something
    that is not finite, the episodes before that are returned with an error that names environment, seed and step.
    """
    arrays = _allocate(world.observation_spec, world.action_spec, 2 * steps)  # rows if every episode had one step
    observations, actions, rewards, success, violation = arrays.values()
    finite = world.observation_spec.kind == "vector"
    episodes: list[tuple[int, bool, int]] = []
    contexts: list[np.ndarray | None] = []
    row = done = told = 0
    error = None
    while done < steps and error is None:
        seed, step, terminated = -1, 0, False
        try:
            start, seed = driver.start()
            observation = start.observation
            _check(observation, 0.0, finite)
            observations[row] = observation
            for step in range(min(episode_steps, steps - done)):
                action = driver.act(observation, step)
                transition = world.step(action)
                observation = transition.observation
                _check(observation, transition.reward, finite)
                here = row + step
                actions[here] = action
                rewards[here] = transition.reward
                success[here] = transition.success
                violation[here] = transition.violation
                observations[here + 1] = observation
                terminated = transition.terminated
                if terminated or transition.truncated:
                    break
        except Exception as cause:  # whatever a user's environment may raise
            known = isinstance(cause, HplanError)  # then it names all three already
            error = cause if known else HplanError(f"{world.name}, seed {seed}, step {step}: {cause!r}")
            break
        length = step + 1
        for array in (actions, rewards, success, violation):
            array[row + length] = 0
        episodes.append((length, terminated, seed))
        contexts.append(start.context)
        row += length + 1
        done += length
        if done - told >= _TICK or done >= steps:
            tick(done - told)
            told = done
    lengths, ends, seeds = zip(*episodes, strict=True) if episodes else ((), (), ())
    rows = {name: array[:row] for name, array in arrays.items()}
    per_episode = {"lengths": np.array(lengths, np.int64), "terminated": np.array(ends, bool)}
    per_episode |= {"seeds": np.array(seeds, np.int64)} | pack_contexts(contexts)
    return Collected(rows | per_episode, error)


def _check(observation: np.ndarray, reward: float, finite: bool) -> None:
    if not math.isfinite(reward):
        raise ValueError(f"reward {reward} is not finite")
    if finite and not np.isfinite(observation).all():
        raise ValueError(f"observation {observation} is not finite")


def _allocate(observation: ObservationSpec, action: ActionSpec, rows: int) -> dict[str, np.ndarray]:
    """Pages that are never written cost nothing, so too many rows are no waste. The order is store.ROWS."""
    return {
        "observations": np.empty((rows, *observation.shape), observation_dtype(observation)),
        "actions": np.empty(rows, np.int64) if action.kind == "discrete" else np.empty((rows, action.size), np.float32),
        "rewards": np.empty(rows, np.float32),
        "success": np.empty(rows, bool),
        "violation": np.empty(rows, bool),
    }


class RandomPlay:
    """Uniform random actions, each held with probability `repeat`; restarts now and then from a rare state (rarity.py).

    restart_rare: fraction of restarts that go to an archived rare state instead of a new layout. Worlds that cannot
    go back to a snapshot always start anew.
    """

    def __init__(
        self, world: World, rng: np.random.Generator, *, steps: int, restart_rare: float = 0.0, repeat: float = 0.0
    ) -> None:
        self._world = world
        self._rng = rng
        self._restart_rare = restart_rare
        self._actions = random_actions(world.action_spec, steps, repeat, rng)
        self._next = 0
        self._archive = rare_states(world) if restart_rare > 0 else None

    def start(self) -> tuple[Start, int]:
        if self._archive and len(self._archive) and self._rng.random() < self._restart_rare:
            entry = self._archive.restart(self._rng)
            return entry.start, entry.seed
        seed = int(self._rng.integers(_LAYOUT_SEEDS))
        start = self._world.reset(seed=seed)
        if self._archive is not None:
            self._archive.start(start, seed)
        return start, seed

    def act(self, observation: np.ndarray, step: int) -> Any:
        if self._archive is not None and step % _VISIT_EVERY == _VISIT_EVERY - 1:
            self._archive.visit(observation)
        action = self._actions[self._next]
        self._next += 1
        return action


def random_actions(spec: ActionSpec, steps: int, repeat: float, rng: np.random.Generator) -> Any:
    """`steps` actions, all at once because drawing is slow: a list of integers, or float32 (steps, A)."""
    if spec.kind == "discrete":
        drawn: np.ndarray = rng.integers(0, spec.size, steps)
    else:
        drawn = rng.uniform(spec.low, spec.high, (steps, spec.size)).astype(np.float32)
    if repeat > 0:
        fresh = np.where(rng.random(steps) < repeat, 0, np.arange(steps))
        drawn = drawn[np.maximum.accumulate(fresh)]
    return drawn.tolist() if spec.kind == "discrete" else drawn


def rare_states(world: World) -> Archive | None:
    """An archive for this world; None where it cannot go back to a snapshot."""
    if not isinstance(world, Restorable):
        return None
    spec = world.observation_spec
    signature = SymbolSignature(spec.shape[-1]) if spec.kind == "symbols" else VectorSignature()
    return Archive(world, signature)
