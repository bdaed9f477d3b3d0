"""Success at a place of a map that looks like any other: the cell of the mover decides, not what is in it.

    logit(z)  =  network(row and column of the mover, code of the mission)          its highest within reach, on levels
                                                                                    that know what that is
A map's other classifiers look at what cells hold, wherever they are (`hplan.levels.heads.success.MapSuccess`). This one
knows where, and so nothing of maps that are laid out otherwise than those of play.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.heads.missions import with_code
from hplan.levels.reach import FAR, ReachMap

if TYPE_CHECKING:
    from hplan.levels.level import Level


class PlaceSuccess(nn.Module):
    """Of a map with a mover: a small network of the cell it is in, from the middle of play's maps."""

    middle: Tensor

    def __init__(self, *, hidden: int = 64, mission: int = 0, stop: int | None = None) -> None:
        """`mission`: numbers of the code that is read; 0 for none. `stop`: the action that has to be done there."""
        super().__init__()
        self.mission, self.stop = mission, stop
        self.network = nn.Sequential(mlp(2 + mission, hidden, 1), nn.Flatten(0))
        self.register_buffer("middle", torch.zeros(2))
        self._tables: dict[tuple[bytes, torch.Size], Tensor] = {}  # by mission and shape, what each cell says

    def train(self, mode: bool = True) -> Self:
        self._tables = {}
        return super().train(mode)

    def forward(self, level: Level, z: Tensor) -> Tensor:
        mission = level.mission if self.mission else None
        if self.training or (mission is not None and mission.ndim > 1):
            return self.here(level, z)
        key = b"" if mission is None else mission.numpy(force=True).tobytes(), z.shape[1:]
        if key not in self._tables:
            self._tables[key] = self._said(torch.arange(z[0].numel(), device=z.device), z.shape[2], mission)
        cells, at = self._tables[key], level.space.mover(z)
        if not isinstance(level.space, ReachMap):
            return cells[at]
        there = level.space.reach(z) < FAR
        return cells.where(there.scatter(1, at[:, None], True), -torch.inf).amax(1)

    def here(self, level: Level, z: Tensor) -> Tensor:
        """(B,): where the mover is, whatever is within its reach."""
        return self._said(level.space.mover(z), z.shape[2], level.mission if self.mission else None)

    def _said(self, cells: Tensor, width: int, mission: Tensor | None) -> Tensor:
        place = torch.stack([cells // width, cells % width], -1) - self.middle
        return self.network(with_code(place, mission, self.mission))
