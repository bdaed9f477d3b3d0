"""A task's environment in one split: layouts of the other split are never shown, and whatever fails says where.

Evaluation and training share no environment seed. Where layouts vary, the fingerprint of the layout decides as well:
one layout in eight is for evaluation, and reset(seed) draws seeds derived from its own until the layout fits.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import gymnasium
import numpy as np

from hplan.types import HplanError, UsageError
from hplan.worlds.outcome import Outcome

Split = Literal["train", "eval"]
Fingerprint = Callable[[np.ndarray], bytes]  # a first observation in canonical form -> what makes its layout
GOALS = 5  # numbered goals of a world that seeds go through in turn, unless it says otherwise
_LARGEST = float(np.finfo(np.float32).max)
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
    """A snapshot of a SplitEnv."""

    seed: int
    inner: Any
    allowed: np.ndarray | None


class SplitEnv(gymnasium.Wrapper):
    """`env` restricted to one split. `fingerprint`: where layouts vary; None where every seed has the same layout.

    `reset()` without a seed goes on to the next one, so that episodes in turn are those of `hplan.evaluate`. `render`
    is plain text, for people only. Raises HplanError naming the environment, the seed given to `reset` and the step,
    where the environment raises, and UsageError where it returns what no environment may: a reward that is not finite,
    an observation outside its space, another space.
    """

    render_mode = "ansi"  # type: ignore[assignment]  # a property of gymnasium.Wrapper
    metadata = {"render_modes": ["ansi"]}  # type: ignore[assignment]  # noqa: RUF012

    def __init__(self, env: Outcome, name: str, split: Split, fingerprint: Fingerprint | None = None) -> None:
        super().__init__(env)
        self.name, self.codec = name, env.codec
        self.split: Split = split
        self.view: Any = env.view  # for oracles that make data and measure ceilings
        self._outcome = env
        self._fingerprint = fingerprint
        self._goals = getattr(env.view, "goals", GOALS)
        self._seed: int | None = None
        self._step = 0
        self.allowed: np.ndarray | None = None  # (A,) bool: what `info["action_mask"]` has of discrete actions, if any
        if hasattr(env, "snapshot"):  # only views that can go back offer it
            self.snapshot, self.restore = self._snapshot, self._restore

    @property
    def max_steps(self) -> int:
        return self._outcome.max_steps

    @property
    def told(self) -> bool:
        """Whether anything but rewards has told what success is so far."""
        return self._outcome.told

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A layout of this split. The same seed gives the same start."""
        if seed is None:
            seed = secrets.randbelow(2**31) if self._seed is None else self._seed + 1
        self._seed, self._step = int(seed), 0
        for attempt in range(_TRIES):
            derived = derived_seed(self._seed, self.split, attempt, self._goals)
            try:
                observation, info = self.env.reset(seed=derived, options=options)
                seen = self.codec.encode(observation) if self._fingerprint else None
            except (Exception, SystemExit) as error:
                raise self._failure("reset", error) from error
            if seen is None or self._fingerprint is None or layout_split(self._fingerprint(seen)) == self.split:
                self.allowed = self._mask(info)
                return observation, info
        raise HplanError(
            f"{self.name}: none of {_TRIES} layouts derived from seed {seed} is one for {self.split}: it has too few "
            'layouts to hold some back; set layouts = "fixed" in its task file'
        )

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        try:
            observation, reward, terminated, truncated, info = self.env.step(action)
        except (Exception, SystemExit) as error:
            raise self._failure(f"step({action})", error) from error
        self._step += 1
        self.allowed = self._mask(info)
        if not abs(reward) <= _LARGEST:  # type: ignore[arg-type]  # Outcome made it a float; NaN is not, either
            raise self._failure("", UsageError(f"reward {reward} is not finite in float32: mend what it pays"))
        return observation, reward, terminated, truncated, info  # type: ignore[return-value]

    def _mask(self, info: Mapping[str, Any]) -> np.ndarray | None:
        """None, too, where none is allowed, as in the end of an episode."""
        actions, mask = self.codec.action_spec, info.get("action_mask")
        if mask is None or actions.kind != "discrete" or np.shape(mask) != (actions.size,):
            return None
        allowed = np.asarray(mask) > 0
        return allowed if allowed.any() else None

    def render(self) -> str:  # type: ignore[override]
        return self._outcome.draw()

    def _failure(self, call: str, error: BaseException) -> HplanError:
        """What hplan says of a value is a sentence by itself, and of the same kind."""
        own = isinstance(error, HplanError)
        what = str(error).removeprefix(f"{self.name}: ") if own else f"{call} raised {type(error).__name__}: {error}"
        kind = UsageError if isinstance(error, UsageError) else HplanError
        return kind(f"{self.name}, seed {self._seed}, step {self._step}: {what}")

    def _snapshot(self) -> _Here:
        """The state as it is now."""
        return _Here(self._seed or 0, self._outcome.snapshot(), self.allowed)

    def _restore(self, snapshot: _Here) -> None:
        """A new episode that starts in that state: limits on its length count from here."""
        self._seed, self._step, self.allowed = snapshot.seed, 0, snapshot.allowed
        self._outcome.restore(snapshot.inner)
