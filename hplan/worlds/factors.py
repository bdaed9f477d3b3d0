"""Known factors of a state, by name, for reports: what a linear probe of a latent is asked for. No agent sees them.

They are read off canonical observations, which hide nothing of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hplan.types import ObservationSpec, UsageError

WALL, DOOR, LAVA = 2, 4, 9  # MiniGrid's numbers of objects, and of a door's states
OPEN, CLOSED, LOCKED = 0, 1, 2
BOX = 7
DOORS = {(CLOSED, OPEN): "open", (OPEN, CLOSED): "close", (LOCKED, OPEN): "unlock"}
FEATURES = 6  # of a cell in the view `symbols`
ROOM = 4.0  # units across a cell of OGBench's mazes

Factor = Callable[[np.ndarray], np.ndarray]  # observations (N, ...) -> (N, K) float


def factor(name: str, spec: ObservationSpec) -> Factor:
    """Raises UsageError for a name that these observations have no factor of."""
    grid = spec.kind == "symbols" and spec.shape[-1] == FEATURES
    known = GRID if grid else PLACE if spec.kind == "vector" and spec.shape == (2,) else {}
    if name not in known:
        there = f"known are {', '.join(known)}" if known else "there are none; remove `probes` from the task"
        raise UsageError(f"probes: {name!r} is no factor of {spec.kind} {spec.shape}; {there}")
    return known[name]


def changes(spec: ObservationSpec) -> Callable[[np.ndarray, np.ndarray], list[str]] | None:
    """What became of cells, in the world's own words, for reports: features (K, F) before and after -> "" where the
    agent's action says it all. None for observations that nothing is known of."""
    return _became if spec.kind == "symbols" and spec.shape[-1] == FEATURES else None


def _became(before: np.ndarray, after: np.ndarray) -> list[str]:
    return [
        DOORS.get((old[2], new[2]), "") if old[0] == new[0] == DOOR else "open a box" if old[0] == BOX != new[0] else ""
        for old, new in zip(before.tolist(), after.tolist(), strict=True)
    ]


def _agent(grids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row, column and features (N, F) of the cell that the agent is in."""
    flat = grids[..., 3].reshape(len(grids), -1).argmax(1)
    row, column = np.divmod(flat, grids.shape[2])
    return row, column, grids[np.arange(len(grids)), row, column]


def _position(grids: np.ndarray) -> np.ndarray:
    row, column, _ = _agent(grids)
    return np.stack([row, column], 1).astype(float)


def _direction(grids: np.ndarray) -> np.ndarray:
    return np.eye(4)[_agent(grids)[2][:, 3].astype(int) - 1]


def _carrying(grids: np.ndarray) -> np.ndarray:
    """Whether anything is."""
    return (_agent(grids)[2][:, 4:5] > 1).astype(float)


def _doors(grids: np.ndarray) -> np.ndarray:
    """How many doors are open, closed and locked."""
    door = grids[..., 0] == DOOR
    counts = [(door & (grids[..., 2] == state)).sum((1, 2)) for state in (OPEN, CLOSED, LOCKED)]
    return np.stack(counts, 1).astype(float)


def _layout(grids: np.ndarray) -> np.ndarray:
    """Where walls and lava are, on average, (row, column): what is the same all episode long."""
    wall = np.isin(grids[..., 0], (WALL, LAVA))
    rows, columns = np.indices(wall.shape[1:])
    return np.stack([(wall * at).sum((1, 2)) / wall.sum((1, 2)) for at in (rows, columns)], 1)


def _xy(vectors: np.ndarray) -> np.ndarray:
    return vectors[:, :2].astype(float)


def _room(vectors: np.ndarray) -> np.ndarray:
    """Which cell of the maze, one number for each."""
    cells = np.round(vectors[:, :2] / ROOM).astype(int)
    _, number = np.unique(cells, axis=0, return_inverse=True)
    return np.eye(number.max() + 1)[number.ravel()]


GRID: dict[str, Factor] = {
    "position": _position,
    "direction": _direction,
    "carrying": _carrying,
    "doors": _doors,
    "layout": _layout,
}
PLACE: dict[str, Factor] = {"position": _xy, "room": _room}
