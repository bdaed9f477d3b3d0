"""What an agent is compared with: the protocol that `evaluate` drives, and uniformly random actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hplan.codec import Codec
from hplan.play.explore import permitted
from hplan.types import Repair


@runtime_checkable
class Actor(Protocol):
    """What an evaluation needs of an agent, which takes observations and gives actions as environments do.

    Counters only ever grow, or start again at `reset`. `reset` must leave nothing of earlier episodes:
    then an episode's figures do not depend on which came before it. It is given the `context` and the `mission` of
    those that have one.
    """

    @property
    def evaluations(self) -> int:
        """Predictor evaluations."""
        ...

    @property
    def planner_calls(self) -> Mapping[int, int]:
        """By level, as are `repairs`."""
        ...

    @property
    def repairs(self) -> Mapping[int, int]: ...

    @property
    def last_repair(self) -> Repair | None:
        """What the latest `act` repaired; None if nothing."""
        ...

    def reset(
        self, goal: Any = None, seed: int = 0, context: np.ndarray | None = None, *, mission: Any = None
    ) -> None: ...

    def act(self, observation: Any) -> Any: ...


class RandomActor:
    """Uniformly random actions of an action space, seeded per episode. env: whose mask of actions it heeds, if any, as
    `hplan.registry.make_world` makes it."""

    def __init__(self, codec: Codec, env: Any = None) -> None:
        self._codec, self._env = codec, env
        self.evaluations = 0
        self.planner_calls: dict[int, int] = {}
        self.repairs: dict[int, int] = {}
        self.last_repair = None
        self.reset()

    def reset(self, goal: Any = None, seed: int = 0, context: np.ndarray | None = None, *, mission: Any = None) -> None:
        self._generator = np.random.default_rng(seed)

    def act(self, observation: Any) -> Any:
        action = self._codec.random_action(self._generator)
        return self._codec.decode(permitted(self._env, action, self._generator))
