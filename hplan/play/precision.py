"""Numbers that float32 cannot hold well enough: large ones with small steps lose what they begin with, in float64, and
whatever is rounded away all the same is told before anything is learned from what is left."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from gymnasium import spaces
from torch import Tensor

from hplan.encodings import leaves_of
from hplan.play.explore import permitted
from hplan.types import PrecisionWarning

LOOKED_AT = 100_000  # steps, evenly
STEP = 4  # spacings of float32: a number of which 99 steps in 100 are no longer is mostly rounding
FAR = 64  # spacings between the least and the largest: what stays nearer than that only trembles at rest
PROBES = 8  # episodes, and moments of each, that tell what is large and hardly changes
LARGE = 1024.0  # what is less trembles at rest by as little as that
NARROW = 2.0**-12  # of their size: float32 tells a few thousand values apart within it
WHOLE = 2.0**24  # beyond it float32 cannot tell whole numbers apart


def offset_of(env: Any) -> tuple[float, ...]:
    """What to take from each number of an environment's vectors, in float64: where an episode began, of a number that
    differs by less than a few thousandths of its size. () where there is no such number.

    env: as `hplan.registry.make_world` makes them; some episodes of random actions are played in it.
    """
    codec, rng = env.codec, np.random.default_rng(0)
    if codec.observation_spec.kind != "vector" or not _is_double(codec.observation_space):
        return ()
    seen: list[np.ndarray] = []
    with suppress(Exception, SystemExit):  # what goes wrong here is told where somebody plays, with seed and step
        for seed in range(PROBES):
            raw, _ = env.reset(seed=seed)
            for _ in range(PROBES):
                seen.append(codec.doubles(raw))
                raw, _, terminated, truncated, _ = env.step(codec.decode(permitted(env, codec.random_action(rng), rng)))
                if terminated or truncated:
                    break
    return offset_from(seen)


def offset_from(seen: Sequence[np.ndarray]) -> tuple[float, ...]:
    """The same from vectors (D,) in float64. Those beyond float32 are left out, for they are refused elsewhere."""
    finite = [row for row in seen if (np.abs(row) <= np.finfo(np.float32).max).all()]
    if not finite:
        return ()
    rows = np.stack(finite)
    size = np.abs(rows).max(0)
    taken = np.where((size >= LARGE) & (np.ptp(rows, axis=0) <= NARROW * size), rows[0], 0.0)
    return tuple(taken.tolist()) if taken.any() else ()


def _is_double(space: spaces.Space) -> bool:
    """Whether values may hold more than float32 does."""
    return any(isinstance(leaf, spaces.Box) and leaf.dtype.itemsize > 4 for _, leaf in leaves_of(space))


def warn_of_rounding(observations: Tensor, remaining: Tensor, where: str) -> None:
    """`PrecisionWarning` in one line, if steps of any number of these vectors (N, D) are lost in rounding.

    remaining (N,): steps that follow in the episode of each row.
    """
    if lost := rounded(observations, remaining):
        names = ", ".join(f"{number} (up to {size:.3g})" for number, size in lost.items())
        warnings.warn(
            f"{where}: float32 cannot hold the steps of these numbers of an observation: {names}. Subtract a constant "
            "from them, give their Box the dtype float64, or leave them out (gymnasium.wrappers.TransformObservation)",
            PrecisionWarning,
            stacklevel=3,
        )


def rounded(observations: Tensor, remaining: Tensor) -> dict[int, float]:
    """Which of the D numbers change by what float32 rounds away, and the largest size of each.

    Around x, neighbours in float32 are 1.2e-7 x apart. A number is told where 99 in 100 of its changes are within four
    such spacings though it goes much farther in all, or though it is so large that whole numbers are lost. What differs
    between episodes alone is no step.
    """
    rows = (remaining > 0).nonzero()[:, 0]
    rows = rows[:: max(len(rows) // LOOKED_AT, 1)]
    if not len(rows):
        return {}
    before, after = observations[rows].double().numpy(), observations[rows + 1].double().numpy()
    size, change = np.abs(before).max(0), np.abs(after - before)
    spacing = np.spacing(size.astype(np.float32)).astype(float)
    changes = [column[column > 0] for column in change.T]
    most = np.array([np.quantile(column, 0.99) if len(column) else 0.0 for column in changes])
    far = before.max(0) - before.min(0) >= FAR * spacing
    lost = (most <= STEP * spacing) & (far & (most > 0) | (size >= WHOLE))
    return {int(number): float(size[number]) for number in np.flatnonzero(lost)}
