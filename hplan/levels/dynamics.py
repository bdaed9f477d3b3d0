"""Dynamics: the latent one step later, (B, *z) and macro-actions (B,) or (B, A) -> (B, *z).

`ResidualNetwork` moves vectors; `LocalConvolution` changes the symbols of a map, next to one cell where play showed
that a step changes nothing else. Then its cost does not grow with the map: it reads a window of 7 x 7 cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import CellEncoder, mlp
from hplan.objectives.criterion import Criterion
from hplan.objectives.whole_batch import whole_batch

if TYPE_CHECKING:
    from hplan.levels.level import Level

RADIUS = 1  # cells around the centre that a step may change
SIGHT = RADIUS + 2  # cells around it that two convolutions can see from there
WINDOW = (2 * SIGHT + 1) ** 2  # cells of a window: maps that are no larger are predicted as a whole
_INNER = slice(SIGHT - RADIUS, SIGHT + RADIUS + 1)


class ResidualNetwork(nn.Module):
    """z + rate * network(z, map around it, macro). `rate`: root mean square step while training, its unit."""

    rate: Tensor

    def __init__(self, *, seen: int, macro: int, latent: int, hidden: int = 128) -> None:
        """`seen`: numbers of `Level.context`; `macro`: numbers of an embedded macro-action; `latent`: D."""
        super().__init__()
        self.network = mlp(seen + macro, hidden, latent)
        self.register_buffer("rate", torch.tensor(0.1))

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        return self.advance(level, z, level.macros.embed(macro))

    def advance(self, level: Level, z: Tensor, vector: Tensor) -> Tensor:
        """(B, D), embedded macro-actions (B, W) -> (B, D)."""
        return z + self.rate * self.network(torch.cat([level.context(z), vector], -1))


class LocalConvolution(nn.Module):
    """What every cell will be one step later; the same weights run on any size of map.

    Two 3 x 3 convolutions and a 1 x 1 around a residual path that starts as "nothing changes", with the macro-action
    and a global maximum (what exists anywhere) added. A plain macro acts on all cells alike; a *pointed* one,
    (type, cell), at its cell. `local`: a step changes nothing but next to one cell, the *centre*: that of a pointed
    macro, else the cell with one of the symbols that `movers` (V,) marks, of which every map shows one.
    """

    movers: Tensor
    local: Tensor

    def __init__(self, *, vocabulary: int, channels: int, hidden: int, macros: int, pointed: bool) -> None:
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
        self.register_buffer("local", torch.tensor(False))
        self.register_buffer("movers", torch.zeros(vocabulary, dtype=torch.bool))

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,) -> (B, H, W)."""
        space = level.space
        if not self.local:
            return space.snap(self.features(space.embed(z), macro))
        at = self.centre(z, macro)
        return paste(z, at, space.snap(self.near(space.codes, z, at, macro)))

    def features(self, maps: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W, C), (B,) -> (B, H, W, C), unit vectors that are not snapped yet."""
        z = maps.movedim(-1, 1).contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        h = F.relu(self.conv1(z) + self._placed(macro, z))
        h = F.relu(self.conv2(h) + self.spread(h.amax((-2, -1)))[:, :, None, None])
        return F.normalize(z + self.change(F.relu(self.mix(h))), dim=1).movedim(1, -1)

    def near(self, codes: Tensor, z: Tensor, at: Tensor, macro: Tensor) -> Tensor:
        """The features next to the centre alone: codes (V + 1, C), (B, H, W), (B,), (B,) -> (B, 3, 3, C)."""
        windows = codes[crop(z, at, SIGHT, outside=len(codes) - 1)]
        if self.pointed:
            macro = macro // z.shape[1:].numel() * WINDOW + WINDOW // 2  # the event is at the centre
        return self.features(windows, macro)[:, _INNER, _INNER]

    def centre(self, z: Tensor, macro: Tensor) -> Tensor:
        """(B,): the flat cell of maps (B, H, W) next to which a step changes them. A map without a mover, which only a
        mistaken level imagines, has it in the corner."""
        return macro % z.shape[1:].numel() if self.pointed else self.mover(z)

    def mover(self, z: Tensor) -> Tensor:
        """(B, H, W) -> (B,): the flat cell of the mover."""
        return self.movers[z].flatten(1).long().argmax(1)

    def _placed(self, macro: Tensor, z: Tensor) -> Tensor:
        if not self.pointed:
            return self.macro(macro)[:, :, None, None]
        height, width = z.shape[-2:]
        kind, cell = macro // (height * width), macro % (height * width)
        marks = torch.zeros(len(z), self.macro.embedding_dim, height * width, dtype=z.dtype, device=z.device)
        rows = torch.arange(len(z), device=z.device)
        marks[rows, :, cell] = self.macro(kind)
        return marks.view(len(z), -1, height, width)


def prediction_loss(
    level: Level,
    before: Tensor,
    macro: Tensor,
    after: Tensor,
    codes: Tensor,
    criterion: Criterion,
    *,
    rare: bool,
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """How well each predicted cell agrees with its own symbol, by `criterion`; what the dynamics read, (B, H, W, C);
    and figures. Symbols before and after (B, H, W); codes (V, C), with gradient while the encoder learns.

    The candidates are the whole vocabulary, so that under InfoNCE no two cells that play can tell apart may share a
    latent: it cannot collapse. `rare`: changed cells weigh as much as all the others together; in a stochastic world
    that would bend the chances, and all cells weigh alike.
    """
    dynamics, copy = level.dynamics, criterion.follow(level.encoder)
    candidates = copy.codes() if isinstance(copy, CellEncoder) else codes  # above level 0 they do not learn
    beyond = F.pad(codes, (0, 0, 0, 1))  # the cells outside a map, as a convolution pads it
    if dynamics.local:
        at = dynamics.centre(before, macro)
        read = beyond[crop(before, at, SIGHT, outside=len(codes))]
        predicted = dynamics.near(beyond, before, at, macro)
        before, after = crop(before, at, RADIUS, outside=-1), crop(after, at, RADIUS, outside=-1)
    else:
        read = codes[before]
        predicted = dynamics.features(read, macro)
    inside = before >= 0
    objective = criterion.objective
    each = objective.agreement(predicted[inside], candidates, after[inside])
    changed = (before != after)[inside].float()
    loss = each.mean()
    if rare and (level.uncertainty_head is None or level.uncertainty_head.certain):
        count = whole_batch(changed.sum()[None]).mean().clamp(min=1)  # on each device, where there are several
        loss = (each * changed).sum() / count + 0.5 * (each * (1 - changed)).sum() / len(before)
    # Unit vectors in C dimensions vary by one in each of them if they are this much longer.
    spread = objective.spread(codes * codes.shape[1] ** 0.5)
    with torch.no_grad():
        right = ((predicted @ codes.T).argmax(-1) == after) | ~inside
        exact = right.flatten(1).all(1).float().mean()
    return loss + spread, read, {"prediction": loss.detach(), "spread": spread.detach(), "exact": exact}


def crop(maps: Tensor, at: Tensor, radius: int, outside: int) -> Tensor:
    """Windows of `radius` cells around the flat cells `at` (B,): maps (B, H, W) -> (B, 2r + 1, 2r + 1). What lies
    beyond the border is `outside`."""
    batch, rows, columns = _places(maps, at, radius)
    return F.pad(maps, (radius,) * 4, value=outside)[batch, rows + radius, columns + radius]


def paste(maps: Tensor, at: Tensor, windows: Tensor) -> Tensor:
    """A copy of maps (B, H, W) with `windows` (B, 2r + 1, 2r + 1) around the cells `at`, but for what lies beyond the
    border."""
    batch, rows, columns = _places(maps, at, windows.shape[-1] // 2)
    inside = (rows >= 0) & (rows < maps.shape[1]) & (columns >= 0) & (columns < maps.shape[2])
    maps = maps.clone()
    batch, rows, columns = (part.expand_as(inside)[inside] for part in (batch, rows, columns))
    maps[batch, rows, columns] = windows[inside]
    return maps


def _places(maps: Tensor, at: Tensor, radius: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the windows in a batch of maps: (B, 1, 1), (B, 2r + 1, 1), (B, 1, 2r + 1)."""
    near = torch.arange(-radius, radius + 1, device=maps.device)
    rows, columns = at // maps.shape[-1], at % maps.shape[-1]
    batch = torch.arange(len(maps), device=maps.device)
    return batch[:, None, None], rows[:, None, None] + near[:, None], columns[:, None, None] + near
