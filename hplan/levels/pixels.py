"""Encoders of images: an eye makes a few numbers of a frame, and a network of these, as of any measurements, a latent.

The eye is trained first (`hplan.training.eye`) and then stays as it is. What it makes of every frame of play is kept,
and stands for the frame wherever an encoder is given it: levels never read a frame twice.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import FourierEncoder, IdentityEncoder
from hplan.parts import find
from hplan.types import UsageError, rows_beside

PATCHES = 16  # of an image, along its longer side
FAINT = 0.25  # beside what differs from the first frame, the frame itself: what is where it began differs in nothing
OCTAVES = 3  # of what an eye sees: higher ones are of its noise (measured numbers have 5)
AT_ONCE = 2048  # frames that are looked at together where nothing is learned, at the most
BYTES = 64 * 2**20  # of them as they came, at the most


class Eye(nn.Module):
    """Frames (..., H, W, C) uint8 -> (..., latent), as differences from the mean frame of play. Where they come with
    the first frame of their episode, (..., H, W, 2 * C), as differences from that one, and faintly from the mean."""

    mean: Tensor
    scale: Tensor

    def __init__(self, body: nn.Module, inputs: tuple[int, ...], latent: int, hidden: int, *, patch: int = 1) -> None:
        """`patch`: pixels along a side of those that `body` cuts images into."""
        super().__init__()
        self.channels, self.patch = inputs[2], patch
        self.register_buffer("mean", torch.full(inputs, 127.5))
        self.register_buffer("scale", torch.tensor(127.5))
        size = body(whole_patches(torch.zeros(1, inputs[2], *inputs[:2]), patch)).numel()
        self.body = body
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(size, hidden), nn.LayerNorm(hidden), nn.SiLU(), nn.Linear(hidden, latent)
        )

    def measure(self, frames: Tensor) -> None:
        """Frames (N, H, W, C) of play: what is the same in all of them is nothing to look at."""
        self.mean.copy_(frames[..., : self.channels].float().mean(0))
        self.scale.copy_(self._apart(frames).square().mean().sqrt().clamp(min=1.0))

    def forward(self, frames: Tensor) -> Tensor:
        every = frames.reshape(-1, *frames.shape[-3:])
        return self.head(self.map(every)).reshape(*frames.shape[:-3], -1)

    def map(self, frames: Tensor, hidden: Tensor | None = None) -> Tensor:
        """(B, H, W, C) -> (B, channels, h, w), of which the blocks `hidden` (B, h, w) bool show the mean frame."""
        flat = (self._apart(frames) / self.scale).movedim(-1, 1)  # channels last in memory: faster
        flat = whole_patches(flat, self.patch)
        if hidden is not None:
            flat = flat * (1 - F.interpolate(hidden[:, None].float(), size=flat.shape[-2:]))
        return self.body(flat)

    def _apart(self, frames: Tensor) -> Tensor:
        now = frames[..., : self.channels] - self.mean
        if frames.shape[-1] == self.channels:
            return now
        first = frames[..., self.channels :] - self.mean
        return now - first + FAINT * now


class PatchEye(Eye):
    """Patches that do not overlap, then two convolutions of stride 2.

    Patches make it ten times as fast on a CPU as convolutions over all pixels (Dosovitskiy et al., 2021; Xiao et al.,
    2021), and what flickers in one patch does not reach the next.
    """

    def __init__(self, *, inputs: tuple[int, ...], latent: int, hidden: int = 128, channels: int = 32) -> None:
        patch = -(-max(inputs[:2]) // PATCHES)
        stem = nn.Sequential(nn.Conv2d(inputs[2], channels, patch, patch), nn.SiLU())
        body = nn.Sequential(stem, _halvings(channels, [channels] * 2))
        super().__init__(body, inputs, latent, hidden, patch=patch)


class _Tints(nn.Conv2d):
    """A 1 x 1 convolution whose second half begins as the first one with the opposite sign."""

    @torch.no_grad()
    def reset_parameters(self) -> None:
        super().reset_parameters()
        half = self.out_channels // 2
        self.weight[half:] = -self.weight[:half]
        self.bias.zero_()  # type: ignore[union-attr]


class ColourEye(Eye):
    """Colours are told apart pixel by pixel (a 1 x 1 convolution), then in patches that overlap by a quarter.

    In noise, a sum over a patch of raw pixels says little of a thing that is smaller than it, and less of one that
    lies across two: a third of the pixels of the wrong colour weigh as much as a few of the right one. Tints begin in
    pairs of opposite sign (Balduzzi et al., 2017, "looks linear"): of a difference, neither sign is lost at first.
    """

    def __init__(
        self, *, inputs: tuple[int, ...], latent: int, hidden: int = 128, channels: int = 32, tints: int = 4
    ) -> None:
        patch = -(-max(inputs[:2]) // PATCHES)
        beyond = patch // 4
        colours = nn.Sequential(_Tints(inputs[2], tints, 1), nn.SiLU())
        stem = nn.Sequential(nn.Conv2d(tints, channels, patch + 2 * beyond, patch, beyond), nn.SiLU())
        body = nn.Sequential(colours, stem, _halvings(channels, [channels] * 2))
        super().__init__(body, inputs, latent, hidden, patch=patch)


class ConvEye(Eye):
    """Overlapping convolutions of stride 2 down to a few pixels, as in DQN and Dreamer."""

    def __init__(self, *, inputs: tuple[int, ...], latent: int, hidden: int = 128, channels: int = 16) -> None:
        count = max(max(inputs[:2]).bit_length() - 3, 1)
        super().__init__(_halvings(inputs[2], [channels, *[2 * channels] * (count - 1)]), inputs, latent, hidden)


class FilmEye(nn.Module):
    """The last frames of a film in colour, (..., H, W, 3 n) uint8, the newest first -> (..., latent): the same numbers
    of each, latent / n, in that order. So what was hidden meanwhile is remembered, and every frame is seen for
    itself."""

    dynamics = "next-frame"  # which predicts what it makes; nothing else is made of it before
    channels = 3  # of a frame

    def __init__(self, *, inputs: tuple[int, ...], latent: int, hidden: int = 128, **_: Any) -> None:
        """Raises UsageError where frames have another number of channels, or numbers cannot be shared out evenly."""
        super().__init__()
        count, rest = divmod(inputs[2], self.channels)
        if rest or latent % count:
            raise UsageError(
                f"images of {inputs[2]} channels and {latent} numbers of them: expected frames of {self.channels} "
                f"channels, and as many numbers of each: a latent that {max(count, 1)} divides"
            )
        self.frames = count
        self.single = ConvEye(inputs=(*inputs[:2], self.channels), latent=latent // count, hidden=hidden)

    def measure(self, frames: Tensor) -> None:
        self.single.measure(frames[..., : self.channels])

    def forward(self, frames: Tensor) -> Tensor:
        return self.single(torch.stack(frames.chunk(self.frames, -1), -4)).flatten(-2)


class EyeBeside(nn.Module):
    """An eye, and numbers that come with each frame (`hplan.encodings.beside`): (..., H + rows, W, C) uint8 -> (...,
    latent + numbers), these in units of their deviation in play."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, eye: nn.Module, *, numbers: int, channels: int) -> None:
        super().__init__()
        self.eye, self.numbers, self.channels, self.rows = eye, numbers, channels, rows_beside(numbers)
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("deviation", torch.ones(numbers))

    def image(self, frames: Tensor) -> Tensor:
        """Frames without the rows of numbers."""
        return frames[..., : -self.rows, :, :]

    def beside(self, frames: Tensor) -> Tensor:
        """(..., numbers), as they came."""
        rows = frames[..., -self.rows :, :, : self.channels].flatten(-2)[..., :16]
        return rows.contiguous().view(torch.float32).flatten(-2)[..., : self.numbers]

    def measure(self, frames: Tensor) -> None:
        if measure := getattr(self.eye, "measure", None):
            measure(self.image(frames))
        numbers = self.beside(frames)
        deviation = numbers.std(0)
        self.mean.copy_(numbers.mean(0))
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1.0))

    def forward(self, frames: Tensor) -> Tensor:
        numbers = (self.beside(frames) - self.mean) / self.deviation
        return torch.cat([self.eye(self.image(frames)), numbers], -1)


class PixelEncoder(nn.Module):
    """Frames (..., H, W, C) uint8, or what its eye made of them (..., latent) float32 -> (..., latent).

    `eye`: the name of an encoder of frames (`hplan.parts`). One without anything to learn is used as it is, and what
    one makes that names its own `dynamics` is the latent. `history`: frames that are put together as channels, of which
    the eye sees one after the other. `beginning`: after them comes the first frame of the episode, beside which it sees
    each of them. `numbers`: that come with each frame, below it.
    """

    def __init__(
        self,
        *,
        inputs: tuple[int, ...],
        latent: int,
        hidden: int = 128,
        eye: str = "colours",
        history: int = 1,
        beginning: bool = False,
        numbers: int = 0,
        **_: Any,
    ) -> None:
        super().__init__()
        self.history, self.beginning = history, beginning
        frame = (inputs[0] - rows_beside(numbers), inputs[1], inputs[2] // (history + beginning))
        self.eye = find("encoder", eye)(inputs=frame, latent=latent, hidden=hidden)
        self.network: nn.Module = IdentityEncoder()
        if hasattr(self.eye, "dynamics"):
            if numbers:
                raise UsageError(
                    f"encoder {eye!r} makes a latent of an image alone, and {numbers} numbers come with it"
                )
            return
        seen = (history * (latent + numbers),)
        self.network = FourierEncoder(inputs=seen, latent=latent, hidden=hidden, octaves=OCTAVES)
        if numbers:
            self.eye = EyeBeside(self.eye, numbers=numbers, channels=frame[2])

    def measure(self, seen: Tensor) -> None:
        """Seen (N, history * latent): what the eye made of all of play."""
        if isinstance(self.network, FourierEncoder):
            self.network.measure(seen)

    def forward(self, observation: Tensor) -> Tensor:
        if observation.dtype != torch.uint8:
            return self.network(observation)
        parts = observation.chunk(self.history + self.beginning, -1)
        if self.beginning:
            parts = [torch.cat([part, parts[-1]], -1) for part in parts[:-1]]
        single = torch.stack([*parts], -4)
        frames = single.flatten(0, -4)  # a few at once: as numbers they take four times as much memory
        seen = torch.cat([self.eye(part) for part in frames.split(at_once(frames))])
        return self.network(seen.unflatten(0, single.shape[:-3]).flatten(-2))


def at_once(frames: Any) -> int:
    """How many of these frames (N, H, W, C) uint8 are looked at together."""
    return min(AT_ONCE, max(BYTES // math.prod(frames.shape[1:]), 1))


def whole_patches(flat: Tensor, patch: int) -> Tensor:
    """(B, C, H, W), with zeros below and to the right where patches do not come out even."""
    height, width = flat.shape[-2:]
    return F.pad(flat, (0, -width % patch, 0, -height % patch)) if height % patch or width % patch else flat


def _halvings(depth: int, channels: list[int]) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in pairwise([depth, *channels]):
        parts += [nn.Conv2d(before, after, 3, 2, 1), nn.SiLU()]
    return nn.Sequential(*parts)
