"""Gymnasium spaces as plain data, for TOML and JSON, and in one line of text."""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
from gymnasium import spaces

GOAL_KEYS = {"observation", "achieved_goal", "desired_goal"}  # of a GoalEnv's observations
MISSION_KEYS = ("mission", "desired_goal", "goal")  # of the part of a Dict that says what an episode asks for
_LONGEST = 100  # characters of a space in a message


def described(space: spaces.Space) -> dict[str, Any]:
    """What `built` makes the space from again. Raises TypeError for a kind of space that hplan does not support."""
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start), "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiDiscrete):
        start = np.broadcast_to(space.start, space.shape).tolist()
        return {"type": "MultiDiscrete", "n": space.nvec.tolist(), "start": start, "dtype": str(space.dtype)}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(map(int, space.n))}
    if isinstance(space, spaces.Box):
        low, high = _compact(space.low), _compact(space.high)
        return {"type": "Box", "low": low, "high": high, "shape": list(space.shape), "dtype": str(space.dtype)}
    if isinstance(space, spaces.Text):
        lengths = {"min": space.min_length, "max": space.max_length}
        return {"type": "Text", **lengths, "characters": "".join(sorted(space.character_set))}
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = [{"key": key, "space": described(part)} for key, part in parts_of(space).items()]
        return {"type": "Dict" if isinstance(space, spaces.Dict) else "Tuple", "parts": parts}
    raise TypeError(f"{line(space)} is no space that can be described")


def built(table: dict[str, Any]) -> spaces.Space:
    """The inverse of `described`. Raises KeyError or ValueError where the table is not what that returns."""
    kind, dtype = table["type"], np.dtype(table.get("dtype", "int8"))
    if kind == "Discrete":
        return spaces.Discrete(table["n"], start=table["start"], dtype=dtype.type)  # type: ignore[arg-type]
    if kind == "MultiDiscrete":
        return spaces.MultiDiscrete(np.array(table["n"]), dtype=dtype.type, start=np.array(table["start"]))  # type: ignore[arg-type]
    if kind == "MultiBinary":
        return spaces.MultiBinary(table["n"])
    if kind == "Box":
        shape = tuple(table["shape"])
        low, high = (np.broadcast_to(np.array(table[side], dtype), shape) for side in ("low", "high"))
        return spaces.Box(low, high, shape, dtype.type)
    if kind == "Text":
        return spaces.Text(table["max"], min_length=table["min"], charset=table["characters"])
    if kind == "Dict":
        return spaces.Dict([(part["key"], built(part["space"])) for part in table["parts"]])
    if kind == "Tuple":
        return spaces.Tuple([built(part["space"]) for part in table["parts"]])
    raise ValueError(f"unknown kind of space {kind!r}")


def parts_of(space: spaces.Dict | spaces.Tuple) -> dict[Any, spaces.Space]:
    """The spaces of the parts, by key or by place."""
    return dict(space.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces))


def without_part(space: spaces.Dict, key: str) -> spaces.Space:
    """The space of the other parts; of the only other one, where there are no more."""
    others = {name: part for name, part in space.items() if name != key}
    return next(iter(others.values())) if len(others) == 1 else spaces.Dict(others)


def is_goal_space(space: spaces.Space) -> TypeGuard[spaces.Dict]:
    """Whether observations are those of a GoalEnv."""
    return isinstance(space, spaces.Dict) and set(space) == GOAL_KEYS


def line(space: Any) -> str:
    """A space in one line; bounds that differ from number to number are left out."""
    if isinstance(space, spaces.Box) and not (np.ndim(_compact(space.low)) == np.ndim(_compact(space.high)) == 0):
        return f"Box({space.shape}, {space.dtype})"
    if isinstance(space, spaces.Dict | spaces.Tuple):
        text = ", ".join(f"{key}: {line(part)}" for key, part in parts_of(space).items())
        text = f"{type(space).__name__}({text})"
    else:
        text = " ".join(str(space).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _compact(bound: np.ndarray) -> Any:
    """The least of an array that broadcasts to it: most bounds are one number."""
    while bound.ndim and bound.size and (bound == bound[:1]).all():
        bound = bound[0]
    return bound.tolist()
