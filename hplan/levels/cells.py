"""Spatial latents: every cell keeps its place. Cells are symbols; a codebook of the known ones makes latents exact.

A level's *vocabulary* are the cells that play showed. Level 0 embeds their features with a small network; a level above
embeds their slow coordinates, in which cells that turn into one another quickly are one (`hplan.levels.timescales`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MANY = 512  # cells, for which it pays to sort the codes first
CLOSE = 1e-6  # codes that are no farther apart in any one channel are told apart by all of them


class CellEncoder(nn.Module):
    """Features of single cells to unit vectors: (..., F) int64 -> (..., C)."""

    offsets: Tensor
    highest: Tensor

    def __init__(self, cardinalities: tuple[int, ...], channels: int, hidden: int) -> None:
        super().__init__()
        offsets = torch.tensor([0, *cardinalities[:-1]]).cumsum(0)
        self.register_buffer("offsets", offsets, persistent=False)
        self.register_buffer("highest", torch.tensor(cardinalities) - 1, persistent=False)
        self.embedding = nn.Embedding(sum(cardinalities), hidden)
        self.mix = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def forward(self, cells: Tensor) -> Tensor:
        cells = torch.minimum(cells.long(), self.highest)
        return F.normalize(self.mix(self.embedding(cells + self.offsets).sum(-2)), dim=-1)


def similarity(z: Tensor, codes: Tensor) -> Tensor:
    """Cosine of every cell with every code: (B, C, H, W), (V, C) -> (B, H, W, V)."""
    return z.movedim(1, -1) @ codes.T


def nearest(z: Tensor, codes: Tensor) -> Tensor:
    """(B, C, H, W), (V, C) -> (B, H, W) int64: the known cell that each cell of the latent is closest to."""
    return similarity(z, codes).argmax(-1)


def lookup(z: Tensor, codes: Tensor) -> Tensor:
    """`nearest`, (B, C, H, W), (V, C) -> (B, H, W), for latents that are made of the codes exactly: the one channel in
    which the codes are farthest apart tells them apart. Many times faster where there are many cells."""
    if z[:, 0].numel() < MANY:
        return nearest(z, codes)
    ordered, order = codes.sort(0)
    apart, channel = ordered.diff(dim=0).amin(0).max(0) if len(codes) > 1 else (torch.tensor(0.0), 0)
    if float(apart) < CLOSE:
        return nearest(z, codes)
    borders = (ordered[1:, channel] + ordered[:-1, channel]) / 2
    return order[:, channel][torch.bucketize(z[:, channel].contiguous(), borders)]


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


class SpatialPredictor(nn.Module):
    """P(z, m): what every cell will be one step later, (B, C, H, W) -> (B, C, H, W) before snapping to known cells.

    Two 3 x 3 convolutions and a 1 x 1 around a residual path that starts as "nothing changes", with the macro-action
    and a global maximum (what exists anywhere) added. A plain macro acts on all cells alike; a *pointed* one,
    (type, cell), at its cell. The same weights run on any size of grid.
    """

    def __init__(self, channels: int, hidden: int, macros: int, pointed: bool) -> None:
        super().__init__()
        self.pointed = pointed
        self.macro = nn.Embedding(macros, hidden)
        self.conv1 = nn.Conv2d(channels, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.spread = nn.Linear(hidden, hidden)
        self.change = nn.Conv2d(hidden, channels, 1)
        for parameter in self.change.parameters():
            nn.init.zeros_(parameter)

    def forward(self, z: Tensor, macro: Tensor) -> Tensor:
        z = z.contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        h = F.relu(self.conv1(z) + self._place(macro, z))
        h = F.relu(self.conv2(h) + self.spread(h.amax((-2, -1)))[:, :, None, None])
        return F.normalize(z + self.change(F.relu(self.mix(h))), dim=1)

    def _place(self, macro: Tensor, z: Tensor) -> Tensor:
        if not self.pointed:
            return self.macro(macro)[:, :, None, None]
        height, width = z.shape[-2:]
        kind, cell = macro // (height * width), macro % (height * width)
        marks = torch.zeros(len(z), self.macro.embedding_dim, height * width, dtype=z.dtype, device=z.device)
        rows = torch.arange(len(z), device=z.device)
        marks[rows, :, cell] = self.macro(kind)
        return marks.view(len(z), -1, height, width)


class Affordance(nn.Module):
    """log p(doing m here changes anything | z), (B, C, H, W) -> (B, macros): log-sum-exp of what each cell's
    surroundings say, as one place where an action can take hold is enough."""

    def __init__(self, channels: int, hidden: int, macros: int) -> None:
        super().__init__()
        self.cell = nn.Sequential(nn.Conv2d(channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, macros, 1))
        self.bias = nn.Parameter(torch.full((macros,), -3.0))

    def forward(self, z: Tensor) -> Tensor:
        return F.logsigmoid(self.cell(z).flatten(2).logsumexp(-1) + self.bias)


class EventPrior(nn.Module):
    """Logits of p(m | z) over pointed macro-actions, (B, C, H, W) -> (B, types * H * W).

    One convolution applied again and again, so that what is connected can be felt at any distance: the number of rounds
    is random while training and follows the size of the grid afterwards.
    """

    def __init__(self, channels: int, hidden: int, types: int) -> None:
        super().__init__()
        self.start = nn.Conv2d(channels, hidden, 3, padding=1)
        self.round = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.spread = nn.Linear(hidden, hidden)
        self.out = nn.Conv2d(hidden, types, 1)

    def forward(self, z: Tensor, rounds: int | None = None) -> Tensor:
        first = self.start(z)
        h = F.relu(first)
        for _ in range(rounds or sum(z.shape[-2:]) // 2):
            h = F.relu(first + self.round(h) + self.spread(h.amax((-2, -1)))[:, :, None, None]).clamp(max=10.0)
        return self.out(h).flatten(1)


class SuccessHead(nn.Module):
    """Logit of "this latent is a success", (B, C, H, W) -> (B,): log-sum-exp over cells, so that one cell can say so.

    Cells speak for themselves alone: with their neighbours in view, a few dozen rewards of play are learned by heart.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1))
        self.bias = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Of its own; those of its parts are theirs."""
        nn.init.constant_(self.bias, -3.0)

    def forward(self, z: Tensor) -> Tensor:
        return self.cell(z).flatten(1).logsumexp(-1) + self.bias
