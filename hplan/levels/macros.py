"""Macro-actions: what one step of a level may be, how it is written for a network, and which one a step of play was.

spec        `hplan.types.MacroSpec`
embed       (B,) int64 or (B, A) -> (B, W): as the dynamics reads it
hindsight   of steps of play from z to `following` (B, *z), with the environment's actions in between
            (B, S, ...): the macro-action of each, (B,) or (B, A), and whether it is known, (B,) bool
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.types import MacroSpec

if TYPE_CHECKING:
    from hplan.levels.level import Level

DECAY = 0.99  # of the moving averages: a code forgets after about 100 batches
DEAD = 0.05  # a code used less than this share of its even share moves to where the data is


class Actions(nn.Module):
    """The environment's own actions, at level 0. `inverse` guesses them from the two latents around a step, (B, 2 D) ->
    (B, size): latents that are trained to tell keep what is controlled. None where latents are symbols.

    width: numbers of an embedding. Of continuous actions it begins with these, from -1 to 1 (`size`), and has a one-hot
    vector for each of their `choices` (`hplan.types.ActionSpec`)."""

    middle: Tensor
    reach: Tensor

    def __init__(
        self,
        *,
        action: Literal["discrete", "continuous"],
        size: int,
        low: tuple[float, ...] = (),
        high: tuple[float, ...] = (),
        names: tuple[str, ...] = (),
        choices: tuple[int, ...] = (),
        inverse: int = 0,
        hidden: int = 128,
    ) -> None:
        """`inverse`: D of the latents that it is guessed from, 0 for none."""
        super().__init__()
        self.spec = MacroSpec(action, size, low=tuple(low), high=tuple(high), names=tuple(names))
        self.width, self.choices = size + sum(choices), tuple(choices)
        self.inverse = mlp(2 * inverse, hidden, size, layers=1) if inverse else None
        self.register_buffer("middle", (torch.tensor(high) + torch.tensor(low)) / 2)
        self.register_buffer("reach", (torch.tensor(high) - torch.tensor(low)) / 2)

    def embed(self, macro: Tensor) -> Tensor:
        if self.spec.kind == "discrete":
            return F.one_hot(macro, self.spec.size).float()
        numbers = (macro - self.middle) / self.reach
        parts = [numbers]
        for column, count in enumerate(self.choices):
            if count:
                part = ((numbers[..., column] + 1) / 2 * count).long().clamp(0, count - 1)
                parts.append(F.one_hot(part, count).float())
        return torch.cat(parts, -1)

    def hindsight(self, level: Level, z: Tensor, following: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        return actions[:, 0], torch.ones(len(actions), dtype=torch.bool)


class Codes(nn.Module):
    """`size` codes of `width` numbers, learned as running means of what they stand for. The posterior q describes a
    step in hindsight: by the environment's actions in it, `window` numbers (the level right above 0, which then cannot
    jump through walls), or by the two latents that it joins (`window` = 0).

    Source: VQ-VAE (van den Oord, Vinyals and Kavukcuoglu, 2017, arXiv 1711.00937), with the moving-average codebook of
    its appendix A.1 and revival of unused codes.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, *, size: int, width: int = 8, window: int = 0, latent: int = 16, hidden: int = 128) -> None:
        super().__init__()
        self.spec, self.width, self.window = MacroSpec("discrete", size), width, window
        self.register_buffer("codes", torch.randn(size, width))
        self.register_buffer("counts", torch.zeros(size))
        self.register_buffer("sums", torch.zeros(size, width))
        self.posterior = mlp(window or 2 * latent, hidden, width)

    def embed(self, macro: Tensor) -> Tensor:
        return self.codes[macro]

    def hindsight(self, level: Level, z: Tensor, following: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        return self.nearest(self.describe(level, z, following, actions)), torch.ones(len(z), dtype=torch.bool)

    def describe(self, level: Level, z: Tensor, following: Tensor, actions: Tensor | None) -> Tensor:
        """q: what led from z to `following` (B, D), by them or by the actions between (B, S, ...): (B, width)."""
        if not self.window:
            return self.posterior(torch.cat([z, (following - z) / level.dynamics.rate], -1))
        assert actions is not None
        if not actions.is_floating_point():
            actions = F.one_hot(actions, self.window // actions.shape[1]).float()
        return self.posterior(actions.flatten(1))

    def nearest(self, x: Tensor) -> Tensor:
        """(..., width) -> (...) int64."""
        flat = x.reshape(-1, x.shape[-1])
        return torch.cdist(flat, self.codes).argmin(-1).view(x.shape[:-1])

    def quantise(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, width) -> codes (B,), their vectors with the gradient of x (B, width), and the commitment loss ()."""
        index = self.nearest(x.detach())
        vector = self.codes[index]
        return index, x + (vector - x).detach(), F.mse_loss(x, vector)

    @torch.no_grad()
    def follow(self, x: Tensor, index: Tensor, generator: torch.Generator) -> None:
        """Move codes towards x (B, width), whose row i was quantised to index[i]; unused ones jump to random rows."""
        one_hot = F.one_hot(index, len(self.codes)).to(x.dtype)
        self.counts.lerp_(one_hot.sum(0), 1 - DECAY)
        self.sums.lerp_(one_hot.T @ x, 1 - DECAY)
        even = len(x) / len(self.codes)
        dead = self.counts < DEAD * even
        rows = x[torch.randint(len(x), (len(self.codes),), generator=generator).to(x.device)]
        self.sums.copy_(torch.where(dead[:, None], rows * even, self.sums))
        self.counts.copy_(torch.where(dead, torch.full_like(self.counts, even), self.counts))
        self.codes.copy_(self.sums / self.counts[:, None])


class Events(nn.Module):
    """Changes of a discrete map: (type, cell) pairs, where `edits` (types, 2) are the symbols before and after."""

    edits: Tensor

    def __init__(self, *, types: int) -> None:
        super().__init__()
        self.spec = MacroSpec("discrete", types, pointed=True)
        self.register_buffer("edits", torch.zeros(types, 2, dtype=torch.long))

    def hindsight(self, level: Level, z: Tensor, following: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        return event_of(z, following, self.edits)


def event_of(before: Tensor, after: Tensor, edits: Tensor) -> tuple[Tensor, Tensor]:
    """The event that turned symbols (B, H, W) into others, as a flat macro (type, cell) (B,), and whether one is known.
    Of several changes that are in `edits` (types, 2) it is the first type, and of that type the first cell."""
    size = 1 + max((int(symbols.max()) for symbols in (before, after, edits) if symbols.numel()), default=0)
    types = edits.new_full((size * size,), len(edits))  # by (before, after); as many as there are: none
    types[edits[:, 0] * size + edits[:, 1]] = torch.arange(len(edits), device=edits.device)
    kinds, cells = types[before * size + after].flatten(1), before.shape[1:].numel()
    first = (kinds * cells + torch.arange(cells, device=kinds.device)).amin(1)
    known = first < len(edits) * cells
    return torch.where(known, first, 0), known
