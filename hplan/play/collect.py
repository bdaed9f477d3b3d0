"""The loop around an environment: steps in, one shard's arrays out. All of it is called once a step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hplan.codec import OutsideSpace
from hplan.play.explore import Archive, Restorable, Start, SymbolSignature, VectorSignature, begin_anywhere, permitted
from hplan.play.next_goals import Asked
from hplan.play.store import observation_dtype, pack_contexts, pack_missions
from hplan.types import ActionSpec, HplanError, Mission, ObservationSpec, UsageError

_VISIT_EVERY = 4  # steps between looks at the signature: rare states last longer, and looking costs 4 microseconds
_TICK = 1000
STRETCH = 100  # steps


class Driver(Protocol):
    """Who plays: begins episodes and chooses actions."""

    def start(self) -> Start:
        """Begin an episode; returns what it begins with."""
        ...

    def act(self, observation: np.ndarray, step: int) -> Any:
        """The action at step `step` of the episode; observation and action in canonical form."""
        ...


@dataclass(frozen=True)
class Collected:
    """Arrays of one shard (store.py), and why it ended early, if it did."""

    arrays: dict[str, np.ndarray]
    error: HplanError | None = None


def collect(
    env: Any,
    driver: Driver,
    *,
    steps: int,
    episode_steps: int,
    tick: Callable[[int], None] = lambda done: None,
) -> Collected:
    """Play `steps` steps of `env`, as `hplan.registry.make_world` makes them, in episodes of at most
    `episode_steps`; the last one is cut so that the sum is exact. Where something else is asked for after success, one
    episode ends and the next one begins (`hplan.play.next_goals`).

    `tick(n)` tells that n more steps are done, about once in a thousand. Where the environment raises, or returns what
    is outside its space or not finite, the episodes before that are returned with an error that names environment, seed
    and step.
    """
    codec = env.codec
    arrays = _allocate(codec.observation_spec, codec.action_spec, 2 * steps)  # rows if every episode had one step
    observations, actions, rewards, success, violation = arrays.values()
    episodes: list[tuple[int, bool, int]] = []
    contexts: list[np.ndarray | None] = []
    missions: list[Mission] = []
    row = done = told = 0
    error = None
    while done < steps and error is None:
        seed, step, terminated = -1, 0, False
        try:
            start = driver.start()
            seed, observation, asked = start.seed, start.observation, Asked(codec, start.mission)
            observations[row] = _of_one_size(observation, observations)
            for step in range(min(episode_steps, steps - done)):
                action = driver.act(observation, step)
                seen, reward, terminated, truncated, info = env.step(codec.decode(action))
                observation = _of_one_size(codec.encode(seen), observations)
                if not math.isfinite(reward):
                    raise ValueError(f"reward {reward} is not finite")
                here = row + step
                actions[here] = action
                rewards[here] = reward
                success[here] = info["success"]
                violation[here] = info["violation"]
                observations[here + 1] = observation
                asked.see(seen, step + 1)
                if terminated or truncated:
                    break
        except (Exception, SystemExit) as cause:  # whatever a user's environment may raise
            if isinstance(cause, HplanError) and not isinstance(cause, OutsideSpace | _OtherSize):
                error = cause  # it names all three already
            else:
                said = str(cause).removeprefix(f"{env.name}: ") if isinstance(cause, UsageError) else repr(cause)
                kind = UsageError if isinstance(cause, UsageError) else HplanError
                error = kind(f"{env.name}, seed {seed}, step {step}: {said}")
            break
        length = step + 1
        stretches = asked.stretches(success[row : row + length])
        index = np.concatenate([np.arange(first, end + 1) for first, end, _ in stretches])
        if len(stretches) > 1:  # where one ends, the next one begins
            for array in arrays.values():
                array[row : row + len(index)] = array[row + index]
        last = row + np.cumsum([end - first + 1 for first, end, _ in stretches]) - 1
        for array in (actions, rewards, success, violation):
            array[last] = 0
        for first, end, mission in stretches:
            episodes.append((end - first, terminated and end == length, seed))
            contexts.append(start.context)
            missions.append(mission)
        row += len(index)
        done += length
        if done - told >= _TICK or done >= steps:
            tick(done - told)
            told = done
    lengths, ends, seeds = zip(*episodes, strict=True) if episodes else ((), (), ())
    rows = {name: array[:row] for name, array in arrays.items()}
    per_episode = {"lengths": np.array(lengths, np.int64), "terminated": np.array(ends, bool)}
    per_episode |= {"seeds": np.array(seeds, np.int64)} | pack_contexts(contexts) | pack_missions(missions)
    return Collected(rows | per_episode, error)


class _OtherSize(UsageError):
    """A grid is larger or smaller than the first one that the environment had."""


def _of_one_size(observation: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if observation.shape != rows.shape[1:]:
        raise _OtherSize(
            f"it shows {observation.shape} and was of {rows.shape[1:]} when it was made: play is of one size, make a "
            "task of each"
        )
    return observation


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
    """Uniform random actions, each held with probability `repeat`, of which every stretch of `STRETCH` steps has one;
    restarts now and then from a rare state (explore.py).

    restart_rare: fraction of restarts that go to an archived rare state instead of a new layout. Environments that
    cannot go back to a snapshot always start anew.
    """

    def __init__(
        self,
        env: Any,
        rng: np.random.Generator,
        *,
        steps: int,
        restart_rare: float = 0.0,
        repeat: tuple[float, ...] = (0.0,),
    ) -> None:
        self._env = env
        self._rng = rng
        self._restart_rare = restart_rare
        self._actions = random_actions(env.codec.action_spec, steps, repeat, rng)
        self._next = 0
        self._archive = rare_states(env) if restart_rare > 0 else None

    def start(self) -> Start:
        if self._archive and len(self._archive) and self._rng.random() < self._restart_rare:
            return self._archive.restart(self._rng).start
        start = begin_anywhere(self._env, self._rng)
        if self._archive is not None:
            self._archive.start(start)
        return start

    def act(self, observation: np.ndarray, step: int) -> Any:
        if self._archive is not None and step % _VISIT_EVERY == _VISIT_EVERY - 1:
            self._archive.visit(observation)
        action = self._actions[self._next]
        self._next += 1
        return permitted(self._env, action, self._rng)


def random_actions(spec: ActionSpec, steps: int, repeat: tuple[float, ...], rng: np.random.Generator) -> Any:
    """`steps` actions, all at once because drawing is slow: a list of integers, or float32 (steps, A)."""
    if spec.kind == "discrete":
        drawn: np.ndarray = rng.integers(0, spec.size, steps)
    else:
        drawn = rng.uniform(spec.low, spec.high, (steps, spec.size)).astype(np.float32)
    if any(repeat):
        held = np.asarray(repeat)
        if len(held) > 1:
            held = held[rng.integers(len(held), size=-(-steps // STRETCH))].repeat(STRETCH)[:steps]
        fresh = np.where(rng.random(steps) < held, 0, np.arange(steps))
        drawn = drawn[np.maximum.accumulate(fresh)]
    return drawn.tolist() if spec.kind == "discrete" else drawn


def rare_states(env: Any) -> Archive | None:
    """An archive for this environment; None where it cannot go back to a snapshot."""
    spec = env.codec.observation_spec
    if not isinstance(env, Restorable):
        return None
    signature = SymbolSignature(spec.shape[-1]) if spec.kind == "symbols" else VectorSignature()
    return Archive(env, signature)
