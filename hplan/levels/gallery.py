"""Frames of play that stand for latents which nobody can draw: for people, who look at what an agent aims for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hplan.levels.heads.landmarks import farthest_points
from hplan.levels.level import Level
from hplan.levels.pixels import at_once
from hplan.play.play import Play

PARTS = 2  # of play, evenly, as many frames each as an eye sees together: of these some are kept
KEPT, FEWEST = 128, 32  # of them, at the most; where fewer fit, they are thinned out
BYTES = 100_000  # that they take, packed
COLOURS = 3  # channels that are shown
ALIKE = 15  # frames with the nearest latents, of which noise is the median taken


@dataclass(frozen=True)
class Gallery:
    """`frames` (K, h, w, C) uint8, of places that lie about evenly over everything that play visited, in noise the
    medians of some like each; `latents`: what each level makes of them, (K, *z)."""

    frames: np.ndarray
    latents: tuple[Tensor, ...]

    @classmethod
    @torch.inference_mode()
    def of(cls, levels: tuple[Level, ...], seen: Play, picture: tuple[int, ...]) -> Gallery:
        """`seen`: play of images as level 0 sees it (`Stack.seen`); `picture`: (H, W, C) of one of them."""
        most = min(len(seen), PARTS * at_once(seen.observations))
        some = seen.observations[torch.linspace(0, len(seen) - 1, most).long()]
        z, latents = some, []
        for level in levels:
            z = level.encode(z)
            latents.append(z)
        order = farthest_points(latents[0], KEPT)
        height, _, channels = picture
        every = some[:, :height, :, : min(channels, COLOURS)]  # the newest of those that it sees at once
        frames = every[order].numpy()
        if len(_packed(frames[:FEWEST])) > BYTES:  # noise, most of which the median of frames like it is without
            off = torch.cdist(latents[0][order].flatten(1), latents[0].flatten(1))
            near = off.topk(min(ALIKE, most), largest=False).indices
            frames = np.stack([every[own].median(0).values.numpy() for own in near])
        while len(_packed(frames[:FEWEST])) > BYTES and min(frames.shape[1:3]) > 1:
            frames = frames[:, ::2, ::2]
        kept = len(frames)
        while len(_packed(frames[:kept])) > BYTES and kept > 1:
            kept = 3 * kept // 4
        return cls(frames[:kept], tuple(own[order[:kept]].half().float() for own in latents))

    def nearest(self, k: int, level: Level, z: Tensor) -> np.ndarray:
        """A latent (*z) of level k -> (h, w, C) uint8, of the frame whose latent is nearest."""
        known = self.latents[k]
        return self.frames[int(level.distance(z.expand_as(known), known).argmin())]

    def tensors(self) -> dict[str, Tensor]:
        """For a file: the inverse of `from_tensors`."""
        packed = torch.frombuffer(bytearray(_packed(self.frames)), dtype=torch.uint8)
        named = {str(k): z.half() for k, z in enumerate(self.latents)}
        return {"frames": packed, "shape": torch.tensor(self.frames.shape), **named}

    @classmethod
    def from_tensors(cls, found: Mapping[str, Tensor]) -> Gallery:
        """Raises ValueError where frames are damaged."""
        try:
            frames = np.frombuffer(zlib.decompress(found["frames"].numpy().tobytes()), np.uint8)
        except zlib.error as error:
            raise ValueError(f"frames of play: {error}") from error
        latents = tuple(found[str(k)].float() for k in range(len(found) - 2))
        return cls(frames.reshape(found["shape"].tolist()), latents)


def _packed(frames: np.ndarray) -> bytes:
    return zlib.compress(np.ascontiguousarray(frames).tobytes(), 9)
