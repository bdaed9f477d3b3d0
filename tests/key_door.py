"""A world with a key, a locked door, a box and a goal, whose rules are few enough to know what follows from each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from hplan.levels.level import Level
from hplan.play.play import Play
from hplan.types import ActionSpec, Episode, ObservationSpec

FLOOR, WALL, KEY, DOOR, OPEN, BOX, GOAL = range(7)
SIGNS = ".#kd'bG"
AHEAD = ((-1, 0), (0, 1), (1, 0), (0, -1))  # of who looks up, right, down or left
TURN_LEFT, TURN_RIGHT, FORWARD, USE = range(4)
ACTIONS = ActionSpec("discrete", 4, names=("turn left", "turn right", "forward", "use"))
TOKENS, KINDS = 1 + 2 * len(AHEAD), 3  # of level 0: nothing, or a pose and what is carried; of level 1: what is carried
FREE = (FLOOR, OPEN)
TURNS = [(p, (p + by) % 4, 0, 0) for p in range(4) for by in (1, 3)]
MOVES = sorted([*TURNS, *((p, p, *AHEAD[p]) for p in range(4))])
EDITS = [  # ground of the cell before and after, carried before and after, from 1, and whether it was entered
    (KEY, FLOOR, 1, 2, 0),
    (FLOOR, KEY, 2, 1, 0),
    (DOOR, OPEN, 2, 2, 0),
    (BOX, KEY, 1, 1, 0),
    (BOX, FLOOR, 1, 1, 0),
    (BOX, KEY, 2, 2, 0),
    (BOX, FLOOR, 2, 2, 0),
    (GOAL, GOAL, 1, 1, 1),
    (GOAL, GOAL, 2, 2, 1),
]
PLAN = """
k.#..
.b#..
..d.G
..#..
..#..
"""


def read(drawing: str) -> np.ndarray:
    """(H, W) int64 of a drawing in `SIGNS`."""
    return np.array([[SIGNS.index(sign) for sign in row] for row in drawing.split()])


@dataclass(frozen=True)
class State:
    ground: np.ndarray
    at: tuple[int, int]
    pose: int = 0
    key: bool = False

    def after(self, action: int, rng: np.random.Generator) -> State:
        if action in (TURN_LEFT, TURN_RIGHT):
            return replace(self, pose=(self.pose + (1 if action == TURN_RIGHT else 3)) % 4)
        cell = (self.at[0] + AHEAD[self.pose][0], self.at[1] + AHEAD[self.pose][1])
        if not (0 <= cell[0] < self.ground.shape[0] and 0 <= cell[1] < self.ground.shape[1]):
            return self
        there = int(self.ground[cell])
        if action == FORWARD:
            return replace(self, at=cell) if there in (*FREE, GOAL) else self
        becomes = there, self.key
        if there == KEY and not self.key:
            becomes = FLOOR, True
        elif there == FLOOR and self.key:
            becomes = KEY, False
        elif there == DOOR and self.key:
            becomes = OPEN, True
        elif there == BOX:
            becomes = (KEY if rng.random() < 0.25 else FLOOR), self.key
        ground = self.ground.copy()
        ground[cell] = becomes[0]
        return replace(self, ground=ground, key=becomes[1])

    @property
    def solved(self) -> bool:
        return bool(self.ground[self.at] == GOAL)

    @property
    def observation(self) -> np.ndarray:
        """(H, W, 3) uint8: what a cell is; which way whoever is there looks, from 1; whether he has a key."""
        shown = np.zeros((*self.ground.shape, 3), np.uint8)
        shown[..., 0] = self.ground
        shown[self.at][1:] = 1 + self.pose, self.key
        return shown

    @property
    def fine(self) -> Tensor:
        """(H, W) int64 as level 0 has it: ground * TOKENS + token."""
        z = torch.from_numpy(self.ground) * TOKENS
        z[self.at] += 1 + 2 * self.pose + self.key
        return z

    @property
    def coarse(self) -> Tensor:
        """(H, W) int64 as level 1 has it: ground * KINDS + what is carried."""
        z = torch.from_numpy(self.ground) * KINDS
        z[self.at] += 1 + self.key
        return z


def played(episodes: int = 150, steps: int = 120) -> Play:
    """Anyone at all in this world, from anywhere, often with the key; he uses what is in front of him rather often."""
    rng, found, ground = np.random.default_rng(0), [], read(PLAN)
    for number in range(episodes):
        rows, columns = np.nonzero(np.isin(ground, FREE))
        start = rng.integers(len(rows))
        state = State(ground, (int(rows[start]), int(columns[start])), int(rng.integers(4)), bool(rng.random() < 0.5))
        seen, taken = [state.observation], []
        while len(taken) < steps and not state.solved:
            taken.append(int(rng.choice(4, p=(0.2, 0.2, 0.4, 0.2))))
            state = state.after(taken[-1], rng)
            seen.append(state.observation)
        won = np.arange(len(taken)) == len(taken) - 1 if state.solved else np.zeros(len(taken), bool)
        found.append(
            Episode(
                observations=np.stack(seen),
                actions=np.array(taken, np.int64),
                rewards=won.astype(np.float32),
                success=won,
                violation=np.zeros(len(taken), bool),
                terminated=state.solved,
                seed=number,
            )
        )
    return Play.of(found, ObservationSpec("symbols", (*ground.shape, 3), (len(SIGNS), 5, 2)), ACTIONS)


def key_door_level(chance: dict[int, float] | None = None) -> Level:
    """Level 1 of this world as it is, without anything learned. chance: of types of event, where it is not 1."""
    offsets, types = sorted(AHEAD), len(EDITS)
    sizes = {"vocabulary": len(SIGNS), "channels": len(SIGNS), "tokens": KINDS, "token_channels": KINDS}
    level = Level(
        index=1,
        stride=4.0,
        parts={
            "encoder": {"kind": "slow-symbols", "vocabulary": len(SIGNS) * TOKENS},
            "prior": {"kind": "possible-events"},
            "dynamics": {"kind": "event-edit"},
            "space": {"kind": "reach-map", "moves": len(MOVES), "tokens_below": TOKENS, **sizes},
            "macros": {"kind": "reach-events", "types": types, "offsets": len(offsets), "poses": 4},
        },
    )
    token = torch.arange(TOKENS)
    holds = torch.where(token == 0, 0, 1 + (token - 1) % 2)
    level.encoder.table.copy_((torch.arange(len(SIGNS))[:, None] * KINDS + holds).flatten())
    level.space.set_codes(torch.eye(len(SIGNS)), torch.eye(KINDS))
    level.space.passable[list(FREE)] = True
    level.space.moves.copy_(torch.tensor(MOVES))
    level.space.poses.copy_(torch.where(token == 0, 0, (token - 1) // 2))
    events, edits = level.macros, torch.tensor(EDITS)
    events.edits.copy_(edits[:, :4])
    events.enters.copy_(edits[:, 4] > 0)
    events.offsets.copy_(torch.tensor(offsets))
    for pose, ahead in enumerate(AHEAD):
        events.faces[:, pose, offsets.index(ahead)] = True
    for kind, share in (chance or {}).items():
        events.chance[kind] = share
    return level.eval().requires_grad_(False)
