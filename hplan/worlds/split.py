"""One world of one split: layouts of the other split are never shown, and whatever fails says where.

Evaluation and training share no environment seed. Where layouts vary, the fingerprint of the layout decides as well:
one layout in eight is for evaluation, and reset(seed) draws seeds derived from its own until the layout fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import numpy as np

from hplan.types import HplanError, Start, Transition, World

Split = Literal["train", "eval"]
Fingerprint = Callable[[np.ndarray], bytes]  # a first observation -> what makes its layout
GOALS = 5  # numbered goals of a world that seeds go through in turn, unless it says otherwise
_SHARE = 8  # one layout in so many is for evaluation
_TRIES = 400  # with 1 fitting layout in 8, all fail once in 1e23


def derived_seed(seed: int, split: Split, attempt: int = 0, goals: int = GOALS) -> int:
    """A seed for the environment, below 2^31. Even in training and odd in evaluation, so that the two never meet; and
    as `seed` modulo `goals` (odd, 7 at most), so that worlds with so many numbered goals go through them in turn."""
    digest = int.from_bytes(blake2b(f"{split}:{seed}:{attempt}".encode(), digest_size=4).digest(), "little")
    last = next(d for d in range(2 * goals) if d % goals == seed % goals and d % 2 == (split == "eval"))
    return digest % 2**27 * 2 * goals + last


def layout_split(layout: bytes) -> Split:
    """Which split a layout belongs to. Depends on nothing else, so it holds on every machine."""
    return "eval" if blake2b(layout, digest_size=4).digest()[0] % _SHARE == 0 else "train"


@dataclass(frozen=True)
class _Here:
    """A snapshot of a SplitWorld."""

    seed: int
    inner: Any


class SplitWorld:
    """`world` restricted to one split. `fingerprint`: where layouts vary; None where every seed has the same layout.

    Raises HplanError naming the world, the seed given to `reset` and the step, where the world raises or returns NaN.
    """

    def __init__(self, world: World, split: Split, fingerprint: Fingerprint | None = None) -> None:
        self.name = world.name
        self.observation_spec = world.observation_spec
        self.action_spec = world.action_spec
        self.max_steps = world.max_steps
        self.split: Split = split
        self._world = world
        self._fingerprint = fingerprint
        self._finite = world.observation_spec.kind == "vector"
        self._goals = getattr(world, "goals", GOALS)
        self._seed = self._step = 0
        if hasattr(world, "snapshot"):  # only worlds that can go back offer it
            self.snapshot, self.restore = self._snapshot, self._restore

    @property
    def inner(self) -> World:
        """The whole world, for oracles that make data and measure ceilings."""
        return self._world

    def reset(self, *, seed: int) -> Start:
        """A layout of this split. The same seed gives the same start."""
        self._seed, self._step = seed, 0
        for attempt in range(_TRIES):
            try:
                start = self._world.reset(seed=derived_seed(seed, self.split, attempt, self._goals))
            except Exception as error:
                raise self._failure(f"reset raised {type(error).__name__}: {error}") from error
            self.max_steps = self._world.max_steps  # of some environments it depends on the layout
            self._check(start.observation, 0.0)
            if self._fingerprint is None or layout_split(self._fingerprint(start.observation)) == self.split:
                return start
        raise HplanError(
            f"{self.name}: none of {_TRIES} layouts derived from seed {seed} is one for {self.split}: it has too few "
            'layouts to hold some back; set layouts = "fixed" in its task file'
        )

    def step(self, action: int | np.ndarray) -> Transition:
        try:
            transition = self._world.step(action)
        except Exception as error:
            raise self._failure(f"step({action}) raised {type(error).__name__}: {error}") from error
        self._step += 1
        self._check(transition.observation, transition.reward)
        return transition

    def draw(self) -> str:
        return self._world.draw()

    def close(self) -> None:
        self._world.close()

    def _check(self, observation: np.ndarray, reward: float) -> None:
        if not math.isfinite(reward) or (self._finite and not np.isfinite(observation).all()):
            raise self._failure(f"not finite: observation {observation.tolist()}, reward {reward}")

    def _failure(self, what: str) -> HplanError:
        return HplanError(f"{self.name}, seed {self._seed}, step {self._step}: {what}")

    def _snapshot(self) -> _Here:
        """The state as it is now."""
        return _Here(self._seed, self._world.snapshot())  # type: ignore[attr-defined]

    def _restore(self, snapshot: _Here) -> None:
        """A new episode that starts in that state: limits on its length count from here."""
        self._seed, self._step = snapshot.seed, 0
        self._world.restore(snapshot.inner)  # type: ignore[attr-defined]
