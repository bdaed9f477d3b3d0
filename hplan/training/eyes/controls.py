"""`reconstruction`, `random`: what an eye of the same size learns from pixels themselves, and what it sees untrained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from hplan.play.play import Play

FRAMES = 256  # in a batch
CELL = 16  # pixels across a cell of the map that a decoder begins with


class Reconstruction(nn.Module):
    """`EyeObjective`: an autoencoder (Hinton and Salakhutdinov, 2006). A decoder, the encoder turned round, makes the
    frame of its numbers, by squared error of all pixels."""

    actions = False

    def __init__(self, eye: Any, play: Play, *, features: int, steps: int, hidden: int = 128) -> None:
        super().__init__()
        self.eye, self.play = eye, play
        self.rows = play.starts(1)
        height, width, depth = play.observation_spec.shape
        self.size, channels = (height, width), 32
        h, w = (max(round(size / CELL), 1) for size in self.size)
        finest = max(-(-height // (4 * h)), -(-width // (4 * w)))
        doubled = [nn.ConvTranspose2d(channels, channels, 4, 2, 1), nn.SiLU()]
        doubled += [nn.ConvTranspose2d(channels, channels, 4, 2, 1), nn.SiLU()]
        self.decoder = nn.Sequential(
            *(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, channels * h * w), nn.SiLU()),
            nn.Unflatten(1, (channels, h, w)),
            *doubled,
            *(nn.Conv2d(channels, depth * finest**2, 1), nn.PixelShuffle(finest)),
        )
        some = play.observations[torch.linspace(0, len(play) - 1, min(len(play), FRAMES)).long()].float()
        self.register_buffer("mean", some.mean(0))
        self.register_buffer("scale", some.sub(some.mean(0)).square().mean().sqrt().clamp(min=1.0))

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        frames = self.play.observations[self.rows[torch.randint(len(self.rows), (FRAMES,), generator=generator)]]
        made = self.decoder(self.eye(frames))[..., : self.size[0], : self.size[1]].movedim(1, -1)
        error = (made - (frames - self.mean) / self.scale).square().mean()
        return error, {"pixels": error.detach()}


class Random(nn.Module):
    """`EyeObjective`: nothing is learned. The floor."""

    actions = False
    loss = None

    def __init__(self, eye: Any, play: Play, *, features: int, steps: int) -> None:
        super().__init__()
