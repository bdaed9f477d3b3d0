"""What an episode of play asks for, where that changes on the way: one goal is reached, and another one follows."""

from __future__ import annotations

from typing import Any

import numpy as np

from hplan.codec import Codec
from hplan.reading import mission_of
from hplan.types import Mission


class Asked:
    """What the observations of one episode ask for, one after the other.

    Where a change follows success, what was asked for is done: the episode is several. The change may be seen with the
    success or one observation later; and what the first observation asks for may be of the time before. An episode in
    which it changes for other reasons asks for nothing that is known.
    """

    def __init__(self, codec: Codec, first: Mission = "") -> None:
        """first: what it asks for at first, where no observation says so."""
        self._codec, self._asks = codec, bool(codec.asking_part)
        self._shown: np.ndarray | None = None
        self._said = [(0, first)]  # from that observation on

    def see(self, observation: Any, number: int) -> None:
        """Observation `number` of the episode, as the environment has it."""
        if not self._asks:
            return
        now = self._codec.asks(observation)
        if now is None or (self._shown is not None and np.array_equal(now, self._shown)):
            return
        self._shown, said = now, mission_of(self._codec.asked(observation))
        if said != self._said[-1][1]:
            if not number:
                self._said.clear()
            self._said.append((number, said))

    def stretches(self, success: np.ndarray) -> list[tuple[int, int, Mission]]:
        """success: (T,) of its steps -> (first step, the one behind the last, what these ask for), in order."""
        found, begun, mission = list[tuple[int, int, Mission]](), 0, self._said[0][1]
        for number, said in self._said[1:]:
            step = number - 1  # that led to what asks for another thing
            cut = number if success[step] else step
            if cut < len(success) and (success[step] or (step and success[step - 1])) and cut > begun:
                found.append((begun, cut, mission))
                begun, mission = cut, said
            elif cut <= begun:
                mission = said
            elif cut < len(success):
                mission = ""
        return [*found, (begun, len(success), mission)]
