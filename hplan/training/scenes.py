"""What images show of the layout that an episode is in, and where in them what is moved is.

A layout is what stays the same for an episode and is another one in the next:

    background(e) = median over the frames of episode e, pixel by pixel
    varying = share of the pixels that differ between backgrounds of two episodes, beyond those of two halves of one

Above `SHARE`, levels are conditioned on the first frame of an episode (`hplan.levels.heads.conditioning`), around the
place where a latent is. Up to `OTHER` that is a door that is closed today: places are the same in all episodes, and so
are landmarks and the ways between them, but for the door. Above, each layout is a world of its own. Every frame is then
seen beside the first one of its episode: the eye sees what is different in them, which is what moved, whatever the
layout is.

Nobody says where a latent is. Of all places p(z) that the eye's numbers could point to, it is the one where frames are
most different from the first one of their episode:

    p = argmax  E log( sum over widths w of | o_t - o_0 | blurred by w, at p(z_t) )

What moves by itself is somewhere else each time, and z knows nothing of it, so it is no such place.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.stage import Stage, Stages
from hplan.play.play import Play

EPISODES, MOMENTS = 48, 32  # whose backgrounds are compared, and frames of each
APART = 4.0  # times as much as halves of an episode differ on average, and at least `LEAST`: then a pixel is another
LEAST = 2.0  # of 255: two episodes are not the same to the last bit
SHARE, OTHER = 0.005, 0.05  # of all pixels: that an image says what is other today; that it is another world
STEPS, BATCH, RATE = 800, 128, 3e-3
WIDTHS = (1, 4, 12)  # pixels to each side that differences are blurred by: from afar it shows where to go
WHITE = 255.0  # the largest value of a pixel
FLOOR = 1e-4  # of the share of all differences that any place has


def varying(play: Play, seed: int) -> float:
    """How far episodes of images are in different layouts: the share of pixels in which they differ."""
    long = torch.nonzero(play.lengths >= MOMENTS)[:, 0]
    some = long[torch.randperm(len(long), generator=torch.Generator().manual_seed(seed))[:EPISODES]]
    if len(some) < 2:
        return 0.0
    first = play.begins
    halves: list[list[Tensor]] = [[], []]
    for episode in some.tolist():
        rows = first[episode] + torch.linspace(0, int(play.lengths[episode]), MOMENTS).long()
        for half, own in zip(rows.chunk(2), halves, strict=True):
            own.append(play.observations[half].median(0).values.float())
    one, other = (torch.stack(half).flatten(1, -2) for half in halves)  # (E, pixels, C)
    least = max(APART * float((one - other).abs().mean()), LEAST)
    differ = torch.stack([((half - other).abs().mean(-1) > least).float().mean(-1) for half in one])  # (E, E)
    within, between = differ.diagonal().mean(), differ[~torch.eye(len(some), dtype=torch.bool)].mean()
    return float(between - within)


class Pointer(nn.Module):
    """What an eye made of a frame (..., D) -> column and row in its pixels (..., 2)."""

    size: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, height: int, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.register_buffer("size", torch.tensor([width, height]).float())
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.network = mlp(features, hidden, 2)

    def forward(self, z: Tensor) -> Tensor:
        return self.size * self.network((z - self.mean) / self.scale).sigmoid() - 0.5


def place_stages(pointer: Pointer, play: Play) -> Stages:
    """Learn where what the eye sees is. play: frames beside the first of their episode, and what the eye makes of both
    as its latents."""
    assert play.latents is not None
    latents = play.latents
    pointer.mean.copy_(latents.mean(0))
    pointer.scale.copy_(latents.std(0).clamp(min=1e-6))

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = torch.randint(len(play), (BATCH,), generator=generator)
        now, first = play.observations[rows].float().chunk(2, -1)
        apart = (now - first).abs().mean(-1)[:, None]
        share = apart / apart.sum((1, 2, 3), keepdim=True).clamp(min=1e-6)
        place = pointer(latents[rows])
        found = torch.stack([_around(share, place, width) for width in WIDTHS]).mean(0)
        value = -(found + FLOOR).log().mean()
        return value, {"place": value.detach()}

    yield Stage("places", pointer, loss, STEPS, lr=RATE)
    pointer.requires_grad_(False)


def _around(share: Tensor, place: Tensor, width: int) -> Tensor:
    """Shares (B, 1, H, W), places (B, 2) -> (B,): the sum of all within so many pixels, looked up between a few."""
    apart = max(width // 2, 1)
    sums = F.avg_pool2d(share, 2 * width + 1, apart, width) * (2 * width + 1) ** 2
    last = torch.tensor([sums.shape[3] - 1, sums.shape[2] - 1])
    at = 2 * place / (apart * last) - 1  # as grid_sample counts, from the first to the last of the sums
    return F.grid_sample(sums, at[:, None, None], align_corners=True, padding_mode="border")[:, 0, 0, 0]


@torch.no_grad()
def placed(pointer: Pointer, play: Play, *, alike: bool) -> Play:
    """The same play, of single frames, with the first frame of each episode as its context, and with places; `alike`:
    whether these are places in every layout."""
    assert play.latents is not None
    return replace(play.in_sight(), places=pointer(play.latents), alike=alike)
