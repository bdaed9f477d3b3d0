"""Images that are made of tiles: each tile is a symbol, whose features play tells (`hplan.training.tiles`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.levels.encoders import CellEncoder

CHUNK = 2048  # frames that are looked at together
_ODD = np.random.default_rng(0).integers(1, 2**62, 4096, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def tiles_of(frames: Tensor, size: int) -> Tensor:
    """(N, H, W, C) uint8 -> (N, H / size, W / size, size * size * C), row by row."""
    count, height, width, channels = frames.shape
    split = frames.reshape(count, height // size, size, width // size, size, channels)
    return split.movedim(3, 2).flatten(3).contiguous()


def tile_keys(tiles: Tensor) -> Tensor:
    """(..., B) uint8, B a multiple of 8 -> (...) int64: a number for each tile; equal ones have equal numbers."""
    words = tiles.numpy().view(np.uint64)
    return torch.from_numpy((words * _ODD[: words.shape[-1]]).sum(-1, dtype=np.uint64).view(np.int64))


class TileEncoder(CellEncoder):
    """Frames (..., H, W, C) uint8, or the features of their tiles (..., H / size, W / size, F) -> symbols, as
    `CellEncoder` has them. `tiles` (V, size * size * C) uint8 are those that play showed, `features` (V, F) of each.
    Another tile is the one whose pixels are nearest."""

    tiles: Tensor
    features: Tensor
    keys: Tensor

    def __init__(
        self, *, inputs: tuple[int, ...], size: int, channels: int, known: int, history: int = 1, **options: Any
    ) -> None:
        """`known`: how many tiles; `size`: pixels along a side; `channels`: of a pixel; `history`: frames that are put
        together as channels. The rest: of `CellEncoder`."""
        super().__init__(inputs=inputs, **options)
        self.size, self.history = size, history
        self.register_buffer("tiles", torch.zeros(known, size * size * channels, dtype=torch.uint8))
        self.register_buffer("features", torch.zeros(known, inputs[-1] // history, dtype=torch.long))
        self.register_buffer("keys", torch.zeros(known, dtype=torch.long))

    def learn(self, tiles: Tensor, features: Tensor) -> None:
        """The tiles (V, B) and the features of each (V, F)."""
        keys, order = tile_keys(tiles).sort()
        self.tiles.copy_(tiles[order])
        self.features.copy_(features[order])
        self.keys.copy_(keys)

    def forward(self, cells: Tensor) -> Tensor:
        if cells.dtype != torch.uint8:
            return super().forward(cells)
        single = torch.stack(cells.chunk(self.history, -1), -4)
        found = torch.cat([self.look(part) for part in single.flatten(0, -4).split(CHUNK)])
        return super().forward(found.unflatten(0, single.shape[:-3]).movedim(-4, -2).flatten(-2))

    def draw(self, z: Tensor) -> np.ndarray:
        """A map (H, W) -> (H * size, W * size, C) uint8: of each symbol a tile with its features, or with most."""
        asked = torch.zeros((*z.shape, len(self.mover) + len(self.ground)), dtype=torch.long)
        asked[..., self.ground] = self.cells[z // len(self.tokens)]
        asked[..., self.mover] = self.tokens[z % len(self.tokens)]
        now = self.features.shape[1]
        tiles = self.tiles[(asked[..., None, :now] == self.features).sum(-1).argmax(-1)]
        split = tiles.unflatten(-1, (self.size, self.size, -1)).movedim(2, 1)  # (H, size, W, size, C)
        return split.flatten(2, 3).flatten(0, 1).numpy()

    def look(self, frames: Tensor) -> Tensor:
        """(N, H, W, C) uint8 -> (N, H / size, W / size, F) int64."""
        seen = tiles_of(frames, self.size)
        keys = tile_keys(seen)
        at = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        strange = self.keys[at] != keys
        if bool(strange.any()):
            at[strange] = torch.cdist(seen[strange].float(), self.tiles.float()).argmin(1)
        return self.features[at]
