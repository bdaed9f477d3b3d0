"""Where a step can change a map of cells: next to one of them. A model that knows which need not look at the others.

Its predictor's cost then does not grow with the map: it sees a window of 7 x 7 cells, whatever the size of the grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.levels.cells import SpatialPredictor

REACH = 1  # cells around the focus that a step may change
SIGHT = REACH + 2  # cells around it that the predictor's two convolutions can see from there
WINDOW = (2 * SIGHT + 1) ** 2  # cells of a window: maps that are no larger are predicted as a whole


def crop(maps: Tensor, at: Tensor, radius: int, outside: float = 0) -> Tensor:
    """Windows of `radius` cells around the flat cells `at` (B,): maps (B, H, W) -> (B, 2r + 1, 2r + 1), and with
    channels (B, C, H, W) -> (B, C, 2r + 1, 2r + 1). What lies beyond the border is `outside`."""
    batch, rows, columns = _places(maps, at, radius)
    padded = F.pad(maps, (radius,) * 4, value=outside)
    if maps.ndim == 3:
        return padded[batch, rows + radius, columns + radius]
    return padded.movedim(1, -1)[batch, rows + radius, columns + radius].movedim(-1, 1)


def paste(z: Tensor, at: Tensor, windows: Tensor) -> Tensor:
    """A copy of z (B, C, H, W) with `windows` (B, C, 2r + 1, 2r + 1) around the cells `at`, but for what lies beyond
    the border."""
    batch, rows, columns = _places(z, at, windows.shape[-1] // 2)
    inside = (rows >= 0) & (rows < z.shape[-2]) & (columns >= 0) & (columns < z.shape[-1])
    batch = batch.expand_as(inside)
    z = z.clone()
    z.movedim(1, -1)[batch[inside], rows.expand_as(inside)[inside], columns.expand_as(inside)[inside]] = (
        windows.movedim(1, -1)[inside]
    )
    return z


def centre(predictor: SpatialPredictor, windows: Tensor, macro: Tensor, size: int) -> Tensor:
    """What it says of the cells next to a place in maps of `size` cells: (B, C, 7, 7) around it -> (B, C, 3, 3)."""
    if predictor.pointed:
        macro = macro // size * WINDOW + WINDOW // 2  # the event is at the centre
    inner = slice(SIGHT - REACH, SIGHT + REACH + 1)
    return predictor(windows, macro)[..., inner, inner]


def _places(maps: Tensor, at: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the cells of every window: batch (B, 1, 1), rows (B, 2r + 1, 1), columns (B, 1, 2r + 1)."""
    offsets = torch.arange(-radius, radius + 1, device=maps.device)
    rows = (at // maps.shape[-1])[:, None, None] + offsets[:, None]
    columns = (at % maps.shape[-1])[:, None, None] + offsets
    return torch.arange(len(maps), device=maps.device)[:, None, None], rows, columns
