"""What a vector level sees of the layout that its episode is in: a square of the image around where a latent is.

A layout stays the same for an episode, so it is no part of a latent. There it would be what the latent is most about
(what never changes within an episode is easiest to predict) and every imagined latent would carry it. Instead a level
is *given* the image for an episode, as a copy that shares its weights (`Situated.given`), and whatever depends on
walls reads it where the latent is: predictor, prior, compatibility, support and uncertainty. An imagined latent sees
what lies around its own place, however far that is from the agent, which a crop around the agent would not show.
Encoder, posterior and distances see none of it, so equal latents are equal places in every layout.

Where a latent is, a small network learned to tell (`where`), from the first two numbers of observations and the legend
of the map (`ObservationSpec.context_frame`). The square is as large as a step of the level is long: a level that looks
farther has more to learn by heart. It is read by bilinear interpolation, so that it moves with the place.
"""

from __future__ import annotations

from copy import copy
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.mlp import mlp
from hplan.types import UsageError


class Sight(nn.Module):
    """Latents (B, ..., D) -> what is around them, (B, ..., (2 * reach + 1)^2), in pixels one apart. Beyond the edge of
    the image it goes on as at the edge."""

    middle: Tensor
    spread: Tensor

    def __init__(self, latent: int, hidden: int, reach: int) -> None:
        """`reach`: pixels to each side."""
        super().__init__()
        self.size = (2 * reach + 1) ** 2
        self.around = torch.arange(-reach, reach + 2)  # one more, to interpolate
        self.where = mlp(latent, hidden // 2, 2)
        self.register_buffer("middle", torch.zeros(2))  # of the places of play, (column, row) in pixels
        self.register_buffer("spread", torch.ones(2))
        self.images: Tensor | None = None
        self.of: Tensor | None = None

    def given(self, images: Tensor, of: Tensor | None) -> Sight:
        """A copy that shares its weights and looks at images (E, rows, columns): row b of a batch at images[of[b]], and
        every row at the first where `of` is None."""
        found = copy(self)
        found.images, found.of = images, of
        return found

    def measure(self, places: Tensor) -> None:
        """Take the range of play from places (N, 2)."""
        self.middle.copy_(places.mean(0))
        self.spread.copy_(places.std(0).clamp(min=1e-6))

    def place(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., 2): column and row, in pixels."""
        return self.middle + self.spread * self.where(z)

    def loss(self, z: Tensor, places: Tensor) -> Tensor:
        """How far `place` is off, (..., D) and (..., 2) -> (), in the range of play."""
        return F.mse_loss(self.where(z), (places - self.middle) / self.spread)

    @torch.no_grad()
    def forward(self, z: Tensor) -> Tensor:
        if self.images is None:
            raise UsageError(
                "this level plans in a layout that it has to see: give it one, with agent.reset(context=image) or "
                "level.given(images)"
            )
        place = self.place(z)
        corner = place.floor()
        right, down = (place - corner).unsqueeze(-1).unbind(-2)  # (..., 1) each
        (columns, rows), (height, width) = corner.long().unbind(-1), self.images.shape[1:]
        columns = (columns[..., None] + self.around).clamp(0, width - 1)
        rows = (rows[..., None] + self.around).clamp(0, height - 1)
        if self.of is not None:
            rows = rows + height * self.of.view(-1, *(1 for _ in rows.shape[1:]))
        shown = self.images.flatten(0, 1)[rows[..., :, None], columns[..., None, :]]
        shown = torch.lerp(shown[..., :-1, :], shown[..., 1:, :], down[..., None])
        return torch.lerp(shown[..., :-1], shown[..., 1:], right[..., None]).flatten(-2)


class Situated(nn.Module):
    """What a level over vectors does with its sight; `sight` is None where there is no layout to see.

    `fits`, of levels above 0, tells a step of play in its own layout from the same step in another one, which is to
    know where there are walls: InfoNCE alone does not, because few of the other latents in a batch are near enough for
    walls to matter. It reads what is seen around both ends and how far apart they are, and not where that is: with few
    layouts to learn from, it would know them by heart.
    """

    sight: Sight | None
    fits: nn.Sequential
    fit_threshold: Tensor

    def see(self, latent: int, hidden: int, view: int, *, steps: bool) -> int:
        """Make what sees `view` pixels to each side, none for 0, and what judges `steps`; returns the size of
        `around`."""
        self.sight = Sight(latent, hidden, view) if view else None
        if self.sight is None:
            return latent
        if steps:
            self.fits = mlp(2 * self.sight.size + 2, hidden, 1)
            self.register_buffer("fit_threshold", torch.tensor(torch.inf))  # the zero of `misfit`, once it is trained
        return latent + self.sight.size

    def given(self, images: Tensor, of: Tensor | None = None) -> Self:
        """This level in these layouts, for a batch of rows that are in images[of], or all in the first (`Sight.given`):
        a copy that shares its weights."""
        if self.sight is None:
            return self
        found = copy(self)
        found._modules = self._modules | {"sight": self.sight.given(images, of)}
        return found

    def around(self, z: Tensor) -> Tensor:
        """(..., D) -> (..., D + what is seen of the layout there)."""
        return z if self.sight is None else torch.cat([z, self.sight(z)], -1)

    @property
    def judges_steps(self) -> bool:
        """Whether it learns which steps there can be in a layout."""
        return hasattr(self, "fits")

    def logits(self, z: Tensor, following: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,): of the step being one in this layout."""
        sight = self.sight
        assert sight is not None
        with torch.no_grad():
            seen = [sight(z), sight(following), sight.place(following) - sight.place(z)]
        return self.fits(torch.cat(seen, -1))[:, 0]

    def misfit(self, z: Tensor, following: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,): minus the logit of the step being one in this layout, above what real steps need.
        How far a step leads is not its matter. Minus infinity where nothing was learned of it: at level 0, where there
        is no layout, and until it is trained."""
        if not self.judges_steps:
            return torch.full_like(z[:, 0], -torch.inf)
        return -self.logits(z, following) - self.fit_threshold
