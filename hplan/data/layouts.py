"""Which layout each row of play is in, and where in it: for levels that see the layout (`hplan.models.sight`)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.data.windows import PlayData

FARTHEST = 0.99  # of the steps of a level stay within what it sees


@dataclass(frozen=True)
class Layouts:
    """images (E, rows, columns) float32, all that play was in, each once; of (N,) int64: the image of each row of play;
    places (N, 2) float32: column and row at which its observation was made, in pixels."""

    images: Tensor
    of: Tensor
    places: Tensor

    def given(self, level: Any, rows: Tensor) -> Any:
        """The level as it is at these rows (K,), for batches of as many latents."""
        return level.given(self.images, self.of[rows])

    def reach(self, rows: Tensor, stride: int) -> int:
        """Pixels that a step of `stride` environment steps from these rows goes, at most, in either direction."""
        moved = (self.places[rows + stride] - self.places[rows]).abs().amax(1)
        return max(math.ceil(float(np.quantile(moved.numpy(), FARTHEST))), 1)


def layouts_of(data: PlayData) -> Layouts | None:
    """None where the world shows no layout."""
    if data.contexts is None:
        return None
    images, number = np.unique(data.contexts, axis=0, return_inverse=True)
    x, y, pixel = data.observation_spec.context_frame
    return Layouts(
        torch.from_numpy(images.astype(np.float32)),
        torch.from_numpy(number.reshape(-1)[data.episode].astype(np.int64)),
        torch.from_numpy(((data.observations[:, :2] - (x, y)) / pixel).astype(np.float32)),
    )


def shifted(data: PlayData, seed: int) -> PlayData:
    """Every episode somewhere else in its image, by a random whole number of pixels each way: few layouts are seen in
    many places, and none of them is known by where it lies. No shift leads out of what play visited in any layout, and
    each goes as far as that with a chance of a third: edges are rare in play. What comes in is as the edge was. The
    same data where there is nothing to see.

    That a layout means the same wherever it lies is what random shifts of images take for granted, too (Yarats et al.,
    2021, arXiv 2004.13649).
    """
    if data.contexts is None:
        return data
    x, y, pixel = data.observation_spec.context_frame
    places = np.rint((data.observations[:, :2] - (x, y)) / pixel).astype(np.int64)
    layout = np.unique(data.contexts, axis=0, return_inverse=True)[1].reshape(-1)
    low, high = (np.full((layout.max() + 1, 2), at) for at in (places.max(0), places.min(0)))
    np.minimum.at(low, layout[data.episode], places)
    np.maximum.at(high, layout[data.episode], places)
    least, most = (places.min(0) - low)[layout], (places.max(0) - high)[layout]
    room = most - least
    moves = np.random.default_rng(seed).integers(least - room, most + room + 1).clip(least, most)  # (E, 2): column, row
    height, width = data.contexts.shape[1:]
    rows = (np.arange(height) - moves[:, 1:]).clip(0, height - 1)
    columns = (np.arange(width) - moves[:, :1]).clip(0, width - 1)
    observations = data.observations.copy()
    observations[:, :2] += (moves * pixel)[data.episode].astype(observations.dtype)
    contexts = data.contexts[np.arange(data.episodes)[:, None, None], rows[:, :, None], columns[:, None]]
    return replace(data, observations=observations, contexts=contexts)
