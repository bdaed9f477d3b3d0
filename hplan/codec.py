"""The one encoding: what an environment shows in hplan's canonical form, and canonical actions as it takes them.

Observations
    Discrete                              symbols (1, 1, 1)
    MultiDiscrete, MultiBinary, small     symbols (1, 1, n): one cell with n features, where at most 4,096 combinations
        integer Box, of n numbers             exist; else (1, n, 2): a row of n cells, each its value and its place
    MultiBinary, small integer Box        symbols (H, W, 1) from shape (H, W), (H, W, F) from shape (H, W, F)
    Box of uint8 from 0 to 255 or floats  image (H, W, C) uint8, from shape (H, W), (H, W, C) or (C, H, W), where it is
        from 0 to 1 (these in 3-D alone)      16 pixels across or more and has 24 channels at the most
    MultiBinary, Box of zeros and ones    such an image from 32 pixels across on, in black and white
    Box of floats, or integers in 1-D     vector, flattened
    Dict or Tuple of these, nested        symbols (1, 1, n) where all are discrete, else a vector (discrete: one-hot)
    Dict or Tuple with one image          the image, with that vector's numbers in rows below it
    Dict with a mission                   what its other parts become; Text may be a mission
    Dict of a GoalEnv                     `observation` where the goal is of the same space; else, of Boxes, the vector
                                              [achieved_goal, observation]
Actions
    Discrete                              as it is
    MultiDiscrete, MultiBinary, integer   the product of their choices, at most 256
        Box, Dict or Tuple of these
    Box of floats                         as it is; where a side has no bound, as `Box.sample` draws nearly always: from
        -3 to 3, or from the one bound to 5 beyond it; from -1 to 1 where bounds are beyond 1,000, or less than a
        thousandth apart
    integer Box of more combinations      from -1 to 1, rounded to its whole numbers
    other choices of more combinations    a number from -1 to 1 each, of whose range every choice has an equal part
    Dict or Tuple of any of these         one vector, in which choices are such numbers

Values of an observation have to be of its space: whole numbers within bounds, or finite floats (their bounds are not
checked, for many environments overstep them; those of images are, but for rounding), in the space's shape. Grids may be
of any height and width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gymnasium import spaces

from hplan.action_spaces import actions
from hplan.encodings import counts_of, first_leaf, is_its_own_goal, observations, rows_of, values_of
from hplan.gym_spaces import built, described, is_goal_space, line, without_part
from hplan.types import ActionSpec, ObservationSpec, UsageError


class OutsideSpace(UsageError):
    """An observation is not one of its space: the message says which, and why."""


@dataclass(frozen=True)
class Codec:
    """Between an environment's spaces and the canonical form; travels with play and with the agent.

    where: the environment's name, for messages. action_names: of discrete actions or of dimensions. context and
    context_frame: of `ObservationSpec`. achieved: for each number of a GoalEnv's achieved goal, which number of its
    `observation` is the same one; -1 where none is, and () where nothing is known.
    mission: the part of a Dict that says what an episode asks for, and is none of what is seen; "" where none does.
    offset: what is taken from each number of a vector, in float64, before it becomes float32, which cannot hold small
    steps of large numbers (`hplan.play.precision`); () where nothing is.
    Raises UsageError where one of the spaces is not supported.
    """

    observation_space: spaces.Space
    action_space: spaces.Space
    where: str = field(default="environment", compare=False)
    action_names: tuple[str, ...] = ()
    context: tuple[int, ...] = ()
    context_frame: tuple[float, ...] = ()
    achieved: tuple[int, ...] = ()
    offset: tuple[float, ...] = ()
    mission: str = ""
    observation_spec: ObservationSpec = field(init=False, compare=False)
    action_spec: ActionSpec = field(init=False, compare=False)

    def __post_init__(self) -> None:
        seen = self.observation_space
        if self.mission:
            assert isinstance(seen, spaces.Dict)
            seen = without_part(seen, self.mission)
        spec, encode = observations(seen, self.where)
        acts, decode = actions(self.action_space, self.where)
        known = {
            "observation_space": built(described(self.observation_space)),  # without the caller's random state
            "action_space": built(described(self.action_space)),
            "observation_spec": replace(spec, context=self.context, context_frame=self.context_frame),
            "action_spec": replace(acts, names=self.action_names),
            "_encode": encode,
            "_decode": decode,
        }
        for name, value in known.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, observation_space: spaces.Space, action_space: spaces.Space, where: str, **options: Any) -> Codec:
        """The codec of an environment's spaces. `options`: its other fields."""
        return cls(observation_space, action_space, where, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        return Codec.from_dict, (self.to_dict(), self.where)

    def encode(self, observation: Any) -> np.ndarray:
        """A new array in the form of `observation_spec`; grids keep their own height and width.

        Raises OutsideSpace, a UsageError that names value and space.
        """
        try:
            seen = self._encode(self._shown(observation))  # type: ignore[attr-defined]  # no field, so never compared
            return seen if self.observation_spec.kind != "vector" else _single(seen, self.offset)
        except (ValueError, TypeError, OverflowError) as error:
            seen = " ".join(repr(observation).split())
            raise OutsideSpace(
                f"{self.where}: observation {seen[:80]}{'...' * (len(seen) > 80)} is outside its space "
                f"{line(self.observation_space)}: {error}"
            ) from error

    def doubles(self, observation: Any) -> np.ndarray:
        """A vector (D,) as the environment has it, in float64."""
        return self._encode(self._shown(observation))  # type: ignore[attr-defined]

    @property
    def asking_part(self) -> str:
        """The part of an observation that says what its episode asks for: `mission`, or the goal of a GoalEnv that is
        told in numbers; "" where there is none."""
        space = self.observation_space
        if not is_goal_space(space) or self.observation_spec.kind != "vector":
            return self.mission
        return "desired_goal" if isinstance(space["desired_goal"], spaces.Box) else ""

    @property
    def goals(self) -> int:
        """Numbers of such a goal; as many of a canonical vector, the first, are what is achieved of it. 0 elsewhere."""
        space = self.observation_space
        return math.prod(space["desired_goal"].shape or ()) if self.asking_part and is_goal_space(space) else 0

    def asked(self, observation: Any, part: str | None = None) -> Any:
        """What an observation says that its episode asks for, for `hplan.reading.mission_of`; None for others. part: of
        the observation, that says so instead of `asking_part`."""
        if not self.asking_part:
            return None
        self.encode(observation)
        part = part or self.asking_part
        space, value = self.observation_space[part], observation[part]  # type: ignore[index]
        if isinstance(space, spaces.Text):
            return str(value)
        if self.goals:
            return _single(np.ravel(value).astype(float), self.offset[: self.goals])
        measured = isinstance(space, spaces.Box) and space.dtype != np.uint8 and counts_of(space) is None
        return np.asarray(value, np.float32 if measured else space.dtype)

    def asks(self, observation: Any) -> np.ndarray | None:
        """The same as the environment shows it, to tell whether it becomes another one; None where that is no array and
        no words."""
        space = self.observation_space
        part = self.asking_part or ("desired_goal" if is_goal_space(space) else "")
        if not part or isinstance(space[part], spaces.Dict | spaces.Tuple):  # type: ignore[index]
            return None
        return np.array(observation[part])

    def _shown(self, observation: Any) -> Any:
        """An observation without its mission."""
        if not self.mission:
            return observation
        if not hasattr(observation, "keys") or set(observation.keys()) != set(self.observation_space):  # type: ignore[call-overload]
            raise ValueError(f"expected the keys {', '.join(map(str, self.observation_space))}")  # type: ignore[call-overload]
        others = {key: value for key, value in observation.items() if key != self.mission}
        return next(iter(others.values())) if len(others) == 1 else others

    def decode(self, action: Any) -> Any:
        """A canonical action as `env.step` takes it: of the action space, and as `sample()` gives them."""
        return self._decode(action)  # type: ignore[attr-defined]

    def random_action(self, generator: np.random.Generator) -> int | np.ndarray:
        """A uniform one, canonical: an int, or float32 (size,)."""
        spec = self.action_spec
        if spec.kind == "discrete":
            return int(generator.integers(spec.size))
        return generator.uniform(spec.low, spec.high).astype(np.float32)

    def name(self, action: Any) -> str:
        """An action of the environment in words, or in numbers where it has none: for want of names, or since an agent
        knows more actions than the environment takes."""
        if isinstance(self.action_space, spaces.Discrete):
            number = int(action) - int(self.action_space.start)
            return self.action_names[number] if number < len(self.action_names) else str(int(action))
        parts = [np.ravel(part) for _, part in values_of(self.action_space, action)]
        numbers = [value for part in parts for value in part.tolist()]
        signed = any(part.dtype.kind == "f" for part in parts)
        return f"({', '.join(f'{value:+.2f}' if signed else str(value) for value in numbers)})"

    def goal(self, observation: Any) -> dict[str, Any] | None:
        """What an observation of a GoalEnv asks for, as an observation: there, and all else as it is. None for others.

        Only the numbers that *are* the place (`achieved`) change in its `observation`, whatever others equal them.
        """
        space = self.observation_space
        if not is_goal_space(space):
            return None
        self.encode(observation)
        desired = np.array(observation["desired_goal"])
        there = desired.copy()
        if not is_its_own_goal(space):
            there = np.array(observation["observation"])
            pairs = [(i, value) for i, value in zip(self.achieved, desired.ravel(), strict=False) if i >= 0]
            for i, value in pairs:
                there.flat[i] = value
        return {"observation": there, "achieved_goal": desired.copy(), "desired_goal": desired}

    def rows(self, observation: Any, batched: bool | None = None) -> list[Any] | None:
        """The single observations of a batch (n, ...), in which a Dict or a Tuple is one of batches; None for a single
        observation. `batched`: what the caller knows."""
        if batched is None:
            shape, value = first_leaf(self.observation_space, observation)
            batched = np.ndim(value) > len(shape)
        try:
            return rows_of(self.observation_space, observation) if batched else None
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{self.where}: no batch of observations of {line(self.observation_space)}") from error

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for TOML and JSON."""
        options = {name: list(getattr(self, name)) for name in _OPTIONS if getattr(self, name)}
        options |= {"mission": self.mission} if self.mission else {}
        return {"observation": described(self.observation_space), "action": described(self.action_space), **options}

    @classmethod
    def from_dict(cls, table: dict[str, Any], where: str = "environment") -> Codec:
        """The inverse of `to_dict`. Raises KeyError or ValueError for another table."""
        options = {name: tuple(table[name]) for name in _OPTIONS if name in table}
        mission = table.get("mission", "")
        return cls(built(table["observation"]), built(table["action"]), where, mission=mission, **options)


def _single(numbers: np.ndarray, offset: tuple[float, ...]) -> np.ndarray:
    if offset:
        numbers = numbers - offset
    with np.errstate(over="ignore"):  # what it cannot hold becomes infinite, and is told as such
        vector = numbers.astype(np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("it is not finite")
    return vector


_OPTIONS = ("action_names", "context", "context_frame", "achieved", "offset")
