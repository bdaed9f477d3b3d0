"""Dynamics: the latent one step later, (B, *z) and macro-actions (B,) or (B, A) -> (B, *z).

`ResidualNetwork` moves vectors, `NextFrame` windows of frames. Of maps of symbols, `LocalWindow` changes what is next
to the mover, and reads as much around it as play showed to matter; `LocalConvolution` changes a whole map, or what is
next to an event. The cost of what is local does not grow with the map.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import CellEncoder, mlp
from hplan.levels.remembered import Remembered
from hplan.objectives.criterion import Criterion
from hplan.objectives.whole_batch import whole_batch

if TYPE_CHECKING:
    from hplan.levels.level import Level

RADIUS = 1  # cells around the centre that a step may change
SIGHT = RADIUS + 2  # cells around it that two convolutions can see from there
KEPT = 50_000  # windows whose next one is remembered
WINDOW = (2 * SIGHT + 1) ** 2  # cells of a window: maps that are no larger are predicted as a whole
Embed = Callable[[Tensor], Tensor]  # symbols (...) -> (..., C)
Codes = tuple[Tensor, Tensor | None]  # of the ground, (V, C), and of the mover's tokens, (T, D)
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


class NextFrame(ResidualNetwork):
    """The same of a window of frames, as `hplan.levels.pixels.FilmEye` makes one: (B, n * D), the newest first. What is
    predicted are the numbers of the next frame; the others move on by one place, and the last is forgotten."""

    def __init__(self, *, seen: int, macro: int, latent: int, frames: int, hidden: int = 128) -> None:
        """`frames`: n; `latent`: n * D."""
        super().__init__(seen=seen, macro=macro, latent=latent // frames, hidden=hidden)
        self.frames = frames

    def advance(self, level: Level, z: Tensor, vector: Tensor) -> Tensor:
        newest = z.unflatten(-1, (self.frames, -1))
        change = self.rate * self.network(torch.cat([level.context(z), vector], -1))
        return torch.cat([newest[..., 0, :] + change, newest[..., :-1, :].flatten(-2)], -1)


class LocalWindow(nn.Module):
    """What the cells next to the mover will be one step later, from a window of `radius` cells around it: the residual
    of a network over the window and the macro-action. Everything else stays.

    `turns` (T,): quarter turns by which a window is seen, so that what is ahead of the mover is ahead of the network,
    whichever way it goes. `relabelled` (4, T): what tokens are after so many turns. Where play shows that steps do the
    same whichever way the mover goes, all ways become one, and what is learned of one holds for all (equivariance).
    `matters` (T, cells): of which cells of the turned window the ground is read, by the mover's token. What play showed
    not to matter can be what it never was in play. `touches` (T, M, 9): which of the cells next to it a macro-action
    changes; what else changes there is not its doing.
    """

    local, pointed = True, False
    matters: Tensor
    touches: Tensor
    turns: Tensor
    relabelled: Tensor

    def __init__(self, *, channels: int, hidden: int, macros: int, radius: int = RADIUS, tokens: int = 1) -> None:
        super().__init__()
        self.radius = radius
        cells, changed = (2 * radius + 1) ** 2, (2 * RADIUS + 1) ** 2
        self.register_buffer("matters", torch.ones(tokens, cells, dtype=torch.bool))
        self.register_buffer("touches", torch.ones(tokens, macros, changed, dtype=torch.bool))
        self.register_buffer("turns", torch.zeros(tokens, dtype=torch.long))
        self.register_buffer("relabelled", torch.arange(tokens).repeat(4, 1))
        self.macro = nn.Embedding(macros, hidden)
        self.read = nn.Linear(cells * channels, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.change = nn.Linear(hidden, changed * channels)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)
        self._known = Remembered(KEPT)
        self._masks: tuple[np.ndarray, np.ndarray] | None = None

    def train(self, mode: bool = True) -> Self:
        self._known, self._masks = Remembered(KEPT), None
        return super().train(mode)

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,) -> (B, H, W). Once trained, what decides a step is looked at once."""
        at = self.centre(level, z, macro)
        if self.training:
            return paste(z, at, self._next(level, z, at, macro))
        radius = self.radius
        maps, around = framed(z, at, radius, outside=level.space.outside)
        rows, token, taken = (
            np.arange(len(maps))[:, None],
            self._token(z, at).numpy(force=True),
            macro.numpy(force=True),
        )
        matters, touches = self._in_the_map()
        touched, windows = touches[token, taken], maps[rows, around]
        asked = np.column_stack([self._decisive(windows, matters[token] | touched), taken])

        def missing(new: list[int]) -> np.ndarray:
            return _widened(self._next(level, z[new], at[new], macro[new]), radius).flatten(1).numpy(force=True)

        maps[rows, around] = np.where(touched, self._known(asked, missing), windows)
        inside = maps.reshape(len(z), z.shape[1] + 2 * radius, -1)[:, radius:-radius, radius:-radius]
        return torch.from_numpy(np.ascontiguousarray(inside)).to(z.device)

    def asked(self, level: Level, z: Tensor, at: Tensor) -> np.ndarray:
        """Maps (B, H, W), (B,) -> (B, K): what it reads around `at`, in integers."""
        maps, around = framed(z, at, self.radius, outside=level.space.outside)
        matters = self._in_the_map()[0][self._token(z, at).numpy(force=True)]
        return self._decisive(maps[np.arange(len(maps))[:, None], around], matters)

    def _in_the_map(self) -> tuple[np.ndarray, np.ndarray]:
        """(T, w * w) and (T, M, w * w) bool: `matters` and `touches`, of windows that are not turned."""
        if self._masks is None:
            side, macros = 2 * self.radius + 1, self.touches.shape[1]
            matters = turned(self.matters.unflatten(-1, (side, side)), -self.turns)
            near = self.touches.flatten(0, 1).unflatten(-1, (2 * RADIUS + 1, -1))
            touches = _widened(turned(near, -self.turns.repeat_interleave(macros)), self.radius)
            flat = matters.flatten(1), touches.flatten(1).unflatten(0, (-1, macros))
            self._masks = flat[0].numpy(force=True), flat[1].numpy(force=True)
        return self._masks

    def _decisive(self, windows: np.ndarray, cells: np.ndarray) -> np.ndarray:
        """Windows (B, w * w), without the ground but of these cells, (B, w * w) bool."""
        return np.where(cells, windows, windows % len(self.matters))

    def _next(self, level: Level, z: Tensor, at: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,), (B,) -> (B, 3, 3): the cells around `at`, one step later."""
        following = level.space.snap(self.near(level, level.space.embed, z, at, macro))
        return self._turned(following, -self.turns[self._token(z, at)])

    def near(self, level: Level, embed: Embed, z: Tensor, at: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,), (B,) -> features of the cells around `at`, as the mover sees them, (B, 3, 3, C)."""
        seen = self.seen(level, embed, z, at).flatten(1)
        h = F.relu(self.read(seen) * (1 + self.macro(macro)))
        h = F.relu(self.hidden(h)) + h
        before = embed(self.view(crop(z, at, RADIUS, outside=level.space.outside), z, at))
        change = self.change(h).view(len(z), 3, 3, -1)
        return level.space.unit(before + change * self.touched(z, at, macro)[..., None])

    def touched_cells(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,) -> (B, H, W) bool: which cells of a map a step may change."""
        at, radius = self.centre(level, z, macro), self.radius
        maps, around = framed(z, at, radius, outside=0)
        found = np.zeros(maps.shape, bool)
        taken = self._in_the_map()[1][self._token(z, at).numpy(force=True), macro.numpy(force=True)]
        np.put_along_axis(found, around, taken, 1)
        inside = found.reshape(len(z), z.shape[1] + 2 * radius, -1)[:, radius:-radius, radius:-radius]
        return torch.from_numpy(np.ascontiguousarray(inside)).to(z.device)

    def touched(self, z: Tensor, at: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,), (B,) -> (B, 3, 3) bool: which of the cells around `at`, as the mover sees them, a step may
        change."""
        return self.touches[self._token(z, at), macro].view(-1, 3, 3)

    def seen(self, level: Level, embed: Embed, z: Tensor, at: Tensor) -> Tensor:
        """(B, H, W), (B,) -> what it reads around `at`, (B, 2r + 1, 2r + 1, C)."""
        windows = self.view(crop(z, at, self.radius, outside=level.space.outside), z, at)
        read = torch.ones(level.space.channels, dtype=torch.bool, device=z.device)
        read[: level.space.ground_channels] = False
        return embed(windows) * (self.matters[self._token(z, at)].view(*windows.shape, 1) | read)

    def view(self, windows: Tensor, z: Tensor, at: Tensor) -> Tensor:
        """Windows (B, w, w) around `at` (B,) of maps z (B, H, W), as the mover there sees them."""
        return self._turned(windows, self.turns[self._token(z, at)])

    def _turned(self, windows: Tensor, turns: Tensor) -> Tensor:
        tokens, windows = len(self.matters), turned(windows, turns)
        return (
            windows // tokens * tokens
            + self.relabelled[turns % 4][:, None, None]
            .expand(-1, *windows.shape[1:], -1)
            .gather(-1, (windows % tokens)[..., None])[..., 0]
        )

    def _token(self, z: Tensor, at: Tensor) -> Tensor:
        return z.flatten(1).gather(1, at[:, None])[:, 0] % len(self.matters)

    def centre(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        return level.space.mover(z)


class LocalConvolution(nn.Module):
    """What every cell will be one step later; the same weights run on any size of map.

    Two 3 x 3 convolutions and a 1 x 1 around a residual path that starts as "nothing changes", with the macro-action
    and a global maximum (what exists anywhere) added. A plain macro acts on all cells alike; a *pointed* one,
    (type, cell), at its cell. `local`: a step changes nothing but next to that cell, the *centre*.
    """

    local: Tensor

    def __init__(self, *, channels: int, hidden: int, macros: int, pointed: bool) -> None:
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

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,) -> (B, H, W)."""
        space = level.space
        if not self.local:
            return space.snap(self.features(space, space.embed(z), macro))
        at = self.centre(level, z, macro)
        return paste(z, at, space.snap(self.near(level, space.embed, z, at, macro)))

    def features(self, space: Any, maps: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W, C), (B,) -> (B, H, W, C), unit vectors that are not snapped yet."""
        z = maps.movedim(-1, 1).contiguous(memory_format=torch.channels_last)  # twice as fast on a CPU
        h = F.relu(self.conv1(z) + self._placed(macro, z))
        h = F.relu(self.conv2(h) + self.spread(h.amax((-2, -1)))[:, :, None, None])
        return space.unit((z + self.change(F.relu(self.mix(h)))).movedim(1, -1))

    def near(self, level: Level, embed: Embed, z: Tensor, at: Tensor, macro: Tensor) -> Tensor:
        """The features next to the centre alone: (B, H, W), (B,), (B,) -> (B, 3, 3, C)."""
        macro = macro // z.shape[1:].numel() * WINDOW + WINDOW // 2  # the event is at the centre
        return self.features(level.space, self.seen(level, embed, z, at), macro)[:, _INNER, _INNER]

    def touched(self, z: Tensor, at: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,), (B,) -> (B, 3, 3) bool: all of the cells around `at`."""
        return torch.ones(len(z), 3, 3, dtype=torch.bool, device=z.device)

    def view(self, windows: Tensor, z: Tensor, at: Tensor) -> Tensor:
        """Windows (B, w, w) around `at` (B,), as they are."""
        return windows

    def seen(self, level: Level, embed: Embed, z: Tensor, at: Tensor) -> Tensor:
        """(B, H, W), (B,) -> what it reads around `at`, (B, 7, 7, C)."""
        return embed(crop(z, at, SIGHT, outside=level.space.outside))

    def asked(self, level: Level, z: Tensor, at: Tensor) -> np.ndarray:
        """Maps (B, H, W), (B,) -> (B, K): what it reads around `at`, in integers."""
        maps, around = framed(z, at, SIGHT, outside=level.space.outside)
        return maps[np.arange(len(maps))[:, None], around]

    def centre(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        """(B,): the flat cell of maps (B, H, W) next to which a step changes them."""
        return macro % z.shape[1:].numel()

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
    level: Level, before: Tensor, macro: Tensor, after: Tensor, codes: Codes, criterion: Criterion, *, rare: bool
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """How well each predicted cell agrees with its own symbol, by `criterion`; what the dynamics read, (B, H, W, C);
    and figures. Symbols before and after (B, H, W); codes as `CellEncoder.codes`, with gradient while the encoder
    learns.

    The candidates are the whole vocabulary, so that under InfoNCE no two cells that play can tell apart may share a
    latent: it cannot collapse. `rare`: changed cells weigh as much as all the others together; in a stochastic world
    that would bend the chances, and all cells weigh alike.
    """
    dynamics, space, copy = level.dynamics, level.space, criterion.follow(level.encoder)
    ground, tokens = codes
    tokens = space.token_codes if tokens is None else tokens
    others = copy.codes() if isinstance(copy, CellEncoder) else codes  # above level 0 they do not learn
    candidates = (others[0], space.token_codes if others[1] is None else others[1])
    beyond = F.pad(ground, (0, 0, 0, 1))  # the cells outside a map, as a convolution pads it

    def embed(z: Tensor) -> Tensor:
        return space.embedded(z, beyond, tokens)

    if dynamics.local:
        at = dynamics.centre(level, before, macro)
        read = dynamics.seen(level, embed, before, at)
        predicted = dynamics.near(level, embed, before, at, macro)
        own = dynamics.touched(before, at, macro)
        before, after = (
            dynamics.view(crop(each, at, RADIUS, outside=space.outside), before, at) for each in (before, after)
        )
    else:
        read = embed(before)
        predicted, own = dynamics.features(space, read, macro), torch.ones_like(before, dtype=torch.bool)
    inside, objective = (before < space.outside) & own, criterion.objective
    each = torch.zeros((), device=predicted.device)
    right, label = torch.ones_like(inside), space.labels(after)
    own = space.factors(predicted, ground, tokens)
    for (part, known), (_, targets), true in zip(own, space.factors(predicted, *candidates), label, strict=True):
        each = each + objective.agreement(part[inside], targets, true[inside])
        with torch.no_grad():
            right &= (part @ known.T).argmax(-1) == true
    changed = (before != after)[inside].float()
    loss = each.mean()
    if rare and (level.uncertainty_head is None or level.uncertainty_head.certain):
        count = whole_batch(changed.sum()[None]).mean().clamp(min=1)  # on each device, where there are several
        loss = (each * changed).sum() / count + 0.5 * (each * (1 - changed)).sum() / len(before)
    # Unit vectors in C dimensions vary by one in each of them if they are this much longer.
    spread = objective.spread(ground * ground.shape[1] ** 0.5)
    with torch.no_grad():
        exact = (right | ~inside).flatten(1).all(1).float().mean()
    return loss + spread, read, {"prediction": loss.detach(), "spread": spread.detach(), "exact": exact}


def turned(windows: Tensor, turns: Tensor) -> Tensor:
    """Windows (B, w, w), each by so many quarter turns (B,), counterclockwise: what was right is up after one."""
    side = windows.shape[1]
    places = torch.arange(side**2, device=windows.device).view(side, side)
    order = torch.stack([places.rot90(k).flatten() for k in range(4)])[turns % 4]
    return windows.flatten(1).gather(1, order).view_as(windows)


def crop(maps: Tensor, at: Tensor, radius: int, outside: int) -> Tensor:
    """Windows of `radius` cells around the flat cells `at` (B,): maps (B, H, W) -> (B, 2r + 1, 2r + 1). What lies
    beyond the border is `outside`."""
    batch, rows, columns = _places(maps, at, radius)
    return F.pad(maps, (radius,) * 4, value=outside)[batch, rows + radius, columns + radius]


def framed(maps: Tensor, at: Tensor, radius: int, outside: int) -> tuple[np.ndarray, np.ndarray]:
    """The same in arrays, for the few maps of a search: maps (B, H, W) with a border of `radius` cells that are
    `outside`, flat, and which cells of these the windows around `at` (B,) are, (B, (2r + 1)^2)."""
    height, width = maps.shape[1:]
    found = np.full((len(maps), height + 2 * radius, width + 2 * radius), outside, np.int64)
    found[:, radius : radius + height, radius : radius + width] = maps.numpy(force=True)
    row, column = np.divmod(at.numpy(force=True), width)
    wide = width + 2 * radius
    return found.reshape(len(maps), -1), (row * wide + column)[:, None] + _square(radius, wide)


def _widened(windows: Tensor, radius: int) -> Tensor:
    """Windows (B, 3, 3) in the middle of larger ones, (B, 2r + 1, 2r + 1), of zeros."""
    return F.pad(windows, (radius - RADIUS,) * 4)


@cache
def _square(radius: int, width: int) -> np.ndarray:
    """(w * w,): flat cells of a window in the upper left corner of a map of that width."""
    side = np.arange(2 * radius + 1)
    return (side[:, None] * width + side).ravel()


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
