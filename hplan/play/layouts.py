"""Which layout each row of play is in, and where in it: for levels that see the layout (`hplan.levels.sight`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.play.windows import PlayData

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
