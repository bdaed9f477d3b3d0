"""`i-jepa`, `v-jepa`, `causal-v-jepa`: an eye learns, without actions, to tell what it would see where it cannot look.

Some blocks of a clip are hidden: a rectangle of one frame (I-JEPA, Assran et al., 2023, arXiv 2301.08243), the same
rectangle of all frames (V-JEPA's tubes, Bardes et al., 2024, arXiv 2404.08471), or the whole second half. From the
numbers that the eye makes of what is left, a predictor tells what a slow copy of the eye, which sees everything, has on
its convolutional map there. All passes through the few numbers that an eye makes of a frame: these alone are kept.

Targets are normalised over the batch, where the papers normalise them over channels: a number that is the same in all
frames is none to predict, so that a constant is not what is predicted best.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.play.play import Play
from hplan.types import UsageError

FRAMES = 256  # in a batch
CLIP = 16  # frames of a clip
HIDDEN = 0.5, 0.75  # share of the height, and of the width, that a rectangle takes: at least, at most
MOMENTUM = 0.99  # of the slow copy; the papers' 0.996 to 0.999 are for runs a hundred times as long
LEAST = 1e-3  # deviation of a number that is a target


class HiddenBlocks(nn.Module):
    """`EyeObjective`: of one frame, a rectangle is hidden."""

    actions = False
    clip, seen = 1, 1  # frames, and how many of them, the first ones, the eye sees anything of

    def __init__(self, eye: Any, play: Play, *, features: int, steps: int, hidden: int = 128) -> None:
        """Raises UsageError as `check` does."""
        super().__init__()
        self.check(eye)
        self.eye, self.play = eye, play
        self.copy = deepcopy(eye).requires_grad_(False)
        with torch.no_grad():
            self.cells = eye.map(play.observations[torch.zeros(1, dtype=torch.long)]).shape[1:]  # (C, h, w)
        self.across = mlp(self.seen * features, hidden, self.clip * features) if self.clip > 1 else nn.Identity()
        self.decode = mlp(features, hidden, self.cells.numel())
        self.rows = play.starts(max(self.clip - 1, 1))

    @staticmethod
    def check(eye: Any) -> None:
        """Raises UsageError for an eye without a map."""
        if hasattr(eye, "beside"):
            raise UsageError(
                "images with numbers beside them have no map to hide blocks of: choose another --objective"
            )
        if not hasattr(eye, "map"):
            raise UsageError(
                f"{type(eye).__name__} has no map of which blocks could be hidden: give it `map(frames, hidden)` and "
                "`head`, as hplan.levels.pixels.Eye has them, or choose another --objective"
            )

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        count = FRAMES // self.clip
        rows = self.rows[torch.randint(len(self.rows), (count, 1), generator=generator)]
        frames = self.play.observations[rows + torch.arange(self.clip)]
        hidden = self.hide(count, generator)
        z = self.eye.head(self.eye.map(frames[:, : self.seen].flatten(0, 1), hidden[:, : self.seen].flatten(0, 1)))
        clips = self.across(z.view(count, -1)).view(count * self.clip, -1)
        if self.clip > 1 and self.seen == self.clip:
            clips = clips + z
        asked = hidden.flatten(0, 1).any((1, 2))
        target = self._targets(frames.flatten(0, 1)[asked])
        off = (self.decode(clips[asked]).view(target.shape) - target).square().mean(1)
        prediction = off[hidden.flatten(0, 1)[asked]].mean()
        return prediction, {"prediction": prediction.detach()}

    def hide(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, clip, h, w) bool: a rectangle, the same in all frames of a clip."""
        inside = []
        for size in self.cells[1:]:
            low, high = (max(int(share * size), 1) for share in HIDDEN)
            length = torch.randint(low, high + 1, (count, 1), generator=generator)
            begin = (torch.rand(count, 1, generator=generator) * (size + 1 - length)).long()
            at = torch.arange(size)
            inside.append((at >= begin) & (at < begin + length))
        rectangle = inside[0][:, :, None] & inside[1][:, None, :]
        return rectangle[:, None].expand(-1, self.clip, -1, -1)

    @torch.no_grad()
    def _targets(self, frames: Tensor) -> Tensor:
        """(K, C, h, w): the normalised map of the slow copy, which while training takes its step."""
        if self.training:
            for own, other in zip(self.copy.parameters(), self.eye.parameters(), strict=True):
                own.lerp_(other, 1 - MOMENTUM)
        return self.normalised(self.copy.map(frames))

    def normalised(self, targets: Tensor) -> Tensor:
        """Targets (K, C, h, w), each number by its mean and its deviation over these frames."""
        return (targets - targets.mean(0)) / targets.std(0).clamp(min=LEAST)


class HiddenTubes(HiddenBlocks):
    """A rectangle is hidden in all frames of a clip."""

    clip = seen = CLIP


class HiddenFuture(HiddenBlocks):
    """The first half of a clip is seen, and nothing of the second."""

    clip, seen = CLIP, CLIP // 2

    def hide(self, count: int, generator: torch.Generator) -> Tensor:
        future = torch.arange(self.clip) >= self.seen
        return future[None, :, None, None].expand(count, -1, *self.cells[1:])
