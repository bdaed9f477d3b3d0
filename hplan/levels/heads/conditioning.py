"""Map conditioning: a level sees a square of the image of the episode's layout, around where a latent is.

A layout stays the same for an episode, so it is no part of a latent. There it would be what the latent is most about
(what never changes within an episode is easiest to predict) and every imagined latent would carry it. Instead a level
is *conditioned* on the image for an episode, as a copy that shares its weights (`Level.conditioned`), and whatever
depends on walls reads it where the latent is: dynamics, prior, compatibility and uncertainty. An imagined latent sees
what lies around its own place, however far that is from the agent, which a crop around the agent would not show.
Encoder, posterior and distances see none of it, so equal latents are equal places in every layout.

Where a latent is, a small network learned to tell (`where`), from the first two numbers of observations and the legend
of the map (`ObservationSpec.context_frame`). The square is as large as a step of the level is long: a level that looks
farther has more to learn by heart. It is read by bilinear interpolation, so that it moves with the place.

`obstruction`, above level 0, tells a step of play in its own layout from the same step in another one, which is to know
where there are walls: InfoNCE alone does not, because few of the other latents in a batch are near enough for walls to
matter. Layouts share places and not ways, so what tells the two apart is what is seen around both ends, and how far
apart they are, and not where that is: with few layouts to learn from, it would know them by heart.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.stage import Stage, Stages
from hplan.types import UsageError

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

STEPS, BATCH = 1000, 1024
SAMPLE = 20_000  # steps that the threshold is measured on


class MapConditioning(nn.Module):
    """Latents (B, ..., D) -> what is around them, (B, ..., (2 * reach + 1)^2 * channels), in pixels one apart. Beyond
    the edge of the image it goes on as at the edge."""

    middle: Tensor
    spread: Tensor
    threshold: Tensor

    def __init__(
        self, *, latent: int, reach: int, judges: bool, hidden: int = 128, channels: int = 1, white: float = 1.0
    ) -> None:
        """`reach`: pixels to each side; `judges`: whether it learns what steps there can be in a layout; `channels`: of
        a pixel; `white`: its largest value."""
        super().__init__()
        self.size, self.white = square(reach, channels), white
        self.around = torch.arange(-reach, reach + 2)  # one more, to interpolate
        self.where = mlp(latent, hidden // 2, 2)
        self.register_buffer("middle", torch.zeros(2))  # of the places of play, (column, row) in pixels
        self.register_buffer("spread", torch.ones(2))
        self.network = mlp(2 * self.size + 2, hidden, 1) if judges else None
        self.register_buffer("threshold", torch.tensor(torch.inf))  # the zero of `obstruction`, once it is trained
        self.images: Tensor | None = None
        self.of: Tensor | None = None
        self._latest: tuple[tuple[Tensor, tuple[Tensor, Tensor]], ...] = ()  # what was looked at, and what was seen

    def in_layout(self, images: Tensor, of: Tensor | None) -> MapConditioning:
        """A copy that shares its weights and looks at images (E, rows, columns) or (E, rows, columns, C): row b of a
        batch at images[of[b]], and every row at the first where `of` is None."""
        found = copy(self)
        found.images, found.of, found._latest = images, of, ()
        return found

    def measure(self, places: Tensor) -> None:
        """Take the range of play from places (N, 2)."""
        self.middle.copy_(places.mean(0))
        self.spread.copy_(places.std(0).clamp(min=1e-6))

    def place(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., 2): column and row, in pixels."""
        return self.middle + self.spread * self.where(z)

    def place_loss(self, z: Tensor, places: Tensor) -> Tensor:
        """How far `place` is off, (..., D) and (..., 2) -> (), in the range of play."""
        return F.mse_loss(self.where(z), (places - self.middle) / self.spread)

    def forward(self, z: Tensor) -> Tensor:
        return self.sight(z)[1]

    @torch.no_grad()
    def sight(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(..., D) -> `place`, and what is around it. In inference, rows that are one are looked at once, and so is
        what several networks ask for in turn."""
        if not torch.is_inference_mode_enabled():
            return self._looked(z)
        for seen, found in self._latest:
            if seen is z:
                return found
        one = self.of is None and z.ndim == 2 and len(z) > 1 and not z.stride(0)
        place, around = self._looked(z[:1] if one else z)
        found = (place.expand(len(z), -1), around.expand(len(z), -1)) if one else (place, around)
        self._latest = ((z, found), *self._latest[:1])
        return found

    def _looked(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if self.images is None:
            raise UsageError(
                "this level plans in a layout that it has to see: give it one, with agent.reset(context=image) or "
                "level.conditioned(images)"
            )
        place = self.place(z)
        corner = place.floor()
        right, down = (place - corner)[..., None, None, None].unbind(-4)  # (..., 1, 1, 1) each
        (columns, rows), (height, width) = corner.long().unbind(-1), self.images.shape[1:3]
        columns = (columns[..., None] + self.around).clamp(0, width - 1)
        rows = (rows[..., None] + self.around).clamp(0, height - 1)
        if self.of is not None:
            rows = rows + height * self.of.view(-1, *(1 for _ in rows.shape[1:]))
        pixels = self.images.flatten(0, 1).view(-1, width, self.images[0, 0, 0].numel())
        shown = pixels[rows[..., :, None], columns[..., None, :]]  # (..., rows, columns, channels)
        shown = torch.lerp(shown[..., :-1, :, :], shown[..., 1:, :, :], down)
        return place, (torch.lerp(shown[..., :-1, :], shown[..., 1:, :], right) / self.white).flatten(-3)

    def logits(self, z: Tensor, following: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,): of the step being one in this layout."""
        assert self.network is not None
        (here, around), (there, beyond) = self.sight(z), self.sight(following)
        return self.network(torch.cat([around, beyond, there - here], -1))[:, 0]

    def obstruction(self, z: Tensor, following: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,): minus the logit of the step being one in this layout, above what real steps need.
        How far a step leads is not its matter. Minus infinity until it is trained."""
        return -self.logits(z, following) - self.threshold


def square(reach: int, channels: int) -> int:
    """Numbers of what lies around a place, `reach` pixels to each side."""
    return (2 * reach + 1) ** 2 * channels


def level_at(level: Level, play: Play, rows: Tensor) -> Level:
    """The level as it is at these rows of play (K,): conditioned on the layouts that they are in, if it sees any, and
    on what their episodes ask for, if that is read."""
    layouts, asked = play.layouts, play.asked
    here = level if layouts is None else level.conditioned(layouts.images, layouts.of[rows])
    return here if asked is None else here.asked(asked[play.episode[rows]])


def level_mostly(level: Level, play: Play) -> Level:
    """The level in the most usual layout, which has every pixel as most of them do."""
    return level if play.layouts is None else level.conditioned(play.layouts.images.median(0).values[None])


def conditioning_stages(level: Level, play: Play, seed: int, steps: int = STEPS) -> Stages:
    """Train `obstruction` on frozen latents, no longer than `steps`, and take its threshold. Nothing where no layout is
    seen, nor for level 0, which knows where play has been."""
    layouts, part = play.layouts, level.conditioning
    if layouts is None or part is None or part.network is None:
        return
    stride, network = round(level.stride), part.network
    rows, count = play.starts(stride), len(layouts.images)

    def some(many: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, their latents and those after a part of a step: what is near has to fit as well."""
        at = rows[torch.randint(len(rows), (many,), generator=generator)]
        end = at + torch.randint(1, stride + 1, (many,), generator=generator)
        with torch.no_grad():
            return at, level.encode(play.below[at]), level.encode(play.below[end])

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at, z, following = some(BATCH, generator)
        other = (layouts.of[at] + torch.randint(1, count, (BATCH,), generator=generator)) % count
        real = -part.in_layout(layouts.images, layouts.of[at]).logits(z, following)
        unreal = part.in_layout(layouts.images, other).logits(z, following)
        value = F.softplus(real).mean() + F.softplus(unreal).mean()
        return value, {"obstruction": value.detach()}

    network.requires_grad_(True)
    yield Stage(f"level{level.index}-fits", network, loss, min(steps, STEPS), lr=3e-3)
    network.requires_grad_(False)
    at, z, following = some(SAMPLE, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        part.threshold.copy_((-part.in_layout(layouts.images, layouts.of[at]).logits(z, following)).quantile(0.99))
