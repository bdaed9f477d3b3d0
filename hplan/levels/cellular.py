"""Cellular worlds: any cell of a map may change by itself, by what is around it, and an action makes something of some.

    p(next cell | z, m) = (1 - touch) * drift(z) + touch * made(m)

drift: a local network, the same everywhere, of what happens anyway; touch (M, cells): the chance that macro-action m
sets a cell, times whether the symbol there yields; made: the symbol that it sets. So one pass of the network says of
all macro-actions how near they bring a map to another one (`Cellular.sweep`).

A latent is a map (H, W) int64 of symbols, V of them. -1 is a cell of which nothing is said: a subgoal may be a part. At
level 0 a map also shows a *register*, what was chosen so far: its cells are register * V + symbol. Its level 1 takes
*words* of actions, after which the register is as it was before: macro-operators (Korf, 1985), which level 0 need not
plan, for they spell themselves (`Words.spelling`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.heads.prior import IMPOSSIBLE
from hplan.types import MacroSpec

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

NEARBY = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))  # a symbol counts where it is, or one cell away
EXACT = 0.1  # of a cell: what it is worth that it is not one away
TOUCHED = 0.2  # chance from which a cell counts as one that a macro-action sets
CHUNK = 256  # frames that are looked at together
UNSAID = torch.tensor(96, dtype=torch.uint8)  # grey
_ODD = torch.from_numpy(np.random.default_rng(0).integers(1, 2**62, 2**15, dtype=np.int64) * 2 + 1)


def packed(pixels: Tensor) -> Tensor:
    """Pixels (..., c) uint8, c at most 3 -> (...) int64, one number for each colour."""
    weights = 256 ** torch.arange(pixels.shape[-1] - 1, -1, -1)
    return (pixels.long() * weights).sum(-1)


def frame_keys(frames: Tensor) -> Tensor:
    """(N, H, W, c) uint8 -> (N,) int64: equal frames have equal numbers."""
    flat = frames.flatten(1).long()
    return (flat * _ODD.repeat(-(-flat.shape[1] // len(_ODD)))[: flat.shape[1]]).sum(1)


def missed(z: Tensor, other: Tensor) -> Tensor:
    """Symbols (..., H, W) twice -> (..., H, W) bool: cells of `other` that z has neither there nor next to it."""
    found = other < 0
    for move in NEARBY:
        found = found | (z.roll(move, (-2, -1)) == other)
    return ~found


class ColourMap(nn.Module):
    """Frames (..., H, W, C) uint8 of few kinds of colours -> maps (..., H, W) int64, register * V + symbol.

    Channels are groups of `group`: `cells` is the group whose pixels are the symbols, `register` the one that shows
    what is chosen, by frames as a whole; -1 for none. colours (K,), as `packed`, ascending, are what play showed, and
    kinds (K,) the symbol of each; another colour is the one nearest. registers (R,): `frame_keys`, ascending, and
    values (R,) of each; another frame counts as value 0. palette (V, group): a colour of each symbol.
    """

    colours: Tensor
    kinds: Tensor
    palette: Tensor
    registers: Tensor
    values: Tensor

    def __init__(
        self,
        *,
        inputs: tuple[int, ...],
        vocabulary: int,
        colours: int,
        registers: int = 1,
        group: int = 3,
        cells: int = 0,
        register: int = -1,
    ) -> None:
        super().__init__()
        self.inputs, self.vocabulary, self.group, self.cells, self.register = inputs, vocabulary, group, cells, register
        self.register_buffer("colours", torch.zeros(colours, dtype=torch.long))
        self.register_buffer("kinds", torch.zeros(colours, dtype=torch.long))
        self.register_buffer("palette", torch.zeros(vocabulary, group, dtype=torch.uint8))
        self.register_buffer("registers", torch.zeros(registers, dtype=torch.long))
        self.register_buffer("values", torch.zeros(registers, dtype=torch.long))

    def forward(self, frames: Tensor) -> Tensor:
        flat = frames.flatten(0, -4)
        found = torch.cat([self._look(part) for part in flat.split(CHUNK)]) if len(flat) else self._look(flat)
        return found.unflatten(0, frames.shape[:-3])

    def _look(self, frames: Tensor) -> Tensor:
        key = packed(self.part(frames, self.cells))
        at = torch.searchsorted(self.colours, key).clamp(max=len(self.colours) - 1)
        strange = self.colours[at] != key
        if bool(strange.any()):
            new, where = key[strange].unique(return_inverse=True)
            at[strange] = torch.cdist(self._unpacked(new), self._unpacked(self.colours)).argmin(1)[where]
        return self.kinds[at] + self.vocabulary * self.value(frames)[:, None, None]

    def value(self, frames: Tensor) -> Tensor:
        """(N, H, W, C) -> (N,): what the register shows."""
        if self.register < 0:
            return torch.zeros(len(frames), dtype=torch.long)
        key = frame_keys(self.part(frames, self.register))
        at = torch.searchsorted(self.registers, key).clamp(max=len(self.registers) - 1)
        return torch.where(self.registers[at] == key, self.values[at], 0)

    def draw(self, z: Tensor) -> np.ndarray:
        """A map (H, W) -> (H, W, group) uint8, by the commonest colour of each symbol; grey where nothing is said."""
        return torch.where((z < 0)[..., None], UNSAID, self.palette[z.clamp(min=0) % self.vocabulary]).numpy()

    def part(self, frames: Tensor, group: int) -> Tensor:
        """The channels of one group."""
        return frames[..., group * self.group : (group + 1) * self.group]

    def _unpacked(self, keys: Tensor) -> Tensor:
        return torch.stack([keys // 256**k % 256 for k in reversed(range(self.group))], -1).float()


class CellularSpace(nn.Module):
    """Maps of `vocabulary` symbols. distance(z, other): cells of `other` of which something is said and whose symbol z
    has neither there nor in the cells next to it, by `typical_change`, the cells that a macro-action sets."""

    discrete = True
    typical_change: Tensor

    def __init__(self, *, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.register_buffer("typical_change", torch.tensor(1.0))

    def snap(self, features: Tensor) -> Tensor:
        return features

    def embed(self, z: Tensor) -> Tensor:
        return F.one_hot(z.clamp(min=0) % self.vocabulary, self.vocabulary).float()

    def kinds(self, z: Tensor) -> Tensor:
        """Maps (N, H, W) -> (K, V): each different symbol once."""
        return self.embed((z.clamp(min=0) % self.vocabulary).unique())

    def mismatch(self, z: Tensor, other: Tensor) -> Tensor:
        """(B, H, W) twice -> (B, H, W) bool: which cells of `other` z does not have."""
        here, there = (torch.where(each < 0, -1, each % self.vocabulary) for each in (z, other))
        return missed(here, there)

    def distance(self, z: Tensor, other: Tensor) -> Tensor:
        chosen = z[..., 0, 0].clamp(min=0) // self.vocabulary != other[..., 0, 0].clamp(min=0) // self.vocabulary
        return (self.mismatch(z, other).flatten(1).sum(1) + chosen.long()) / self.typical_change

    def keys(self, z: Tensor) -> Tensor:
        return z.flatten(1)


class CellularNetwork(nn.Module):
    """The next map, see above. touch (M, cells) uint8, of 255; made (M,) int64; yields (V,) float."""

    touch: Tensor
    made: Tensor
    yields: Tensor

    def __init__(
        self, *, vocabulary: int, macros: int, size: tuple[int, int], channels: int = 16, layers: int = 6
    ) -> None:
        super().__init__()
        self.vocabulary, self.size = vocabulary, tuple(size)
        widths = [vocabulary] + [channels] * layers
        parts: list[nn.Module] = []
        for one, other in pairwise(widths):
            parts += [nn.Conv2d(one, other, 3, padding=1), nn.ReLU()]
        self.network = nn.Sequential(*parts, nn.Conv2d(channels, vocabulary, 1))
        cells = self.size[0] * self.size[1]
        self.register_buffer("touch", torch.zeros(macros, cells, dtype=torch.uint8))
        self.register_buffer("made", torch.zeros(macros, dtype=torch.long))
        self.register_buffer("yields", torch.ones(vocabulary))
        self._index: tuple[Tensor, ...] | None = None
        self._last: tuple[Tensor, Tensor] | None = None

    def train(self, mode: bool = True) -> Self:
        self._index = self._last = None
        return super().train(mode)

    def logits(self, z: Tensor) -> Tensor:
        """(B, H, W) -> (B, H, W, V): of what every cell becomes by itself. It stays, says a network that says 0."""
        seen = F.one_hot(z, self.vocabulary).float()
        read = seen.movedim(-1, 1).contiguous(memory_format=torch.channels_last)
        return self.network(read).movedim(1, -1) + 4 * seen

    def drift(self, z: Tensor) -> Tensor:
        """(B, H, W) -> (B, H, W, V). Of the same tensor it is worked out once."""
        if self._last is None or self._last[0] is not z:
            logits = self.logits(z)
            likely = (logits - logits.amax(-1, keepdim=True)).exp()  # three times as fast as softmax, of so few symbols
            self._last = z, likely / likely.sum(-1, keepdim=True)
        return self._last[1]

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        return self.chances(z, macro).argmax(-1)

    def chances(self, z: Tensor, macro: Tensor) -> Tensor:
        """(B, H, W), (B,) -> (B, H, W, V)."""
        share = (self.touch[macro].float() / 255).view(z.shape) * self.yields[z]
        made = F.one_hot(self.made[macro], self.vocabulary).float()[:, None, None]
        return self.drift(z) * (1 - share[..., None]) + share[..., None] * made


class Cellular(CellularNetwork):
    """Of a level whose macro-actions the tables are of."""

    @property
    def makes(self) -> Tensor:
        """(V,) bool: which symbols some macro-action sets."""
        return torch.isin(torch.arange(self.vocabulary), self.made)

    def sample(self, level: Level, z: Tensor, macro: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """As `forward`, but every cell is drawn."""
        p = self.chances(z, macro)
        drawn = torch.rand(*z.shape, 1, generator=generator)
        return (p.cumsum(-1) < drawn).sum(-1).clamp(max=self.vocabulary - 1)

    def sweep(self, level: Level, z: Tensor, target: Tensor) -> Tensor:
        """(B, H, W), (H, W) or (B, H, W) -> (B, M): the distance to the target that is expected after each
        macro-action, in steps of the level, by one pass of the network for each map."""
        affected, sources, counts, share, pattern = self._indices()
        goal = target.reshape(-1, target.shape[-2] * target.shape[-1]).expand(len(z), -1)
        said, known = (goal >= 0).float(), goal.clamp(min=0)
        here = z.flatten(1)
        at = self._nearby() * self.vocabulary + known[..., None]  # (B, cells, 5)
        q = self.drift(z).flatten(1).gather(1, at.flatten(1)).view(at.shape)
        alone = (1 - q).prod(-1) + EXACT * (1 - q[..., 0])
        touch = share * self.yields[here][:, sources]  # (B, P, A, 5)
        untouched = (1 - touch) * q[:, affected]
        missed, filled = 1 - untouched, 1 - untouched - touch  # where a pattern sets another symbol, and the right one
        wrong, right = (each.prod(-1) + EXACT * each[..., 0] for each in (missed, filled))
        weight = said[:, affected] * counts
        change = ((wrong - alone[:, affected]) * weight).sum(-1)  # (B, P)
        gain = torch.zeros(*change.shape, self.vocabulary)
        gain.scatter_add_(-1, known[:, affected], (right - wrong) * weight)
        each = change[:, pattern] + gain[:, pattern, self.made]
        return ((alone * said).sum(-1, keepdim=True) + each) / level.space.typical_change

    def _nearby(self) -> Tensor:
        """(cells, 5): which cells may stand for each."""
        places = torch.arange(self.size[0] * self.size[1]).view(self.size)
        return torch.stack([places.roll(move, (0, 1)).flatten() for move in NEARBY], 1)

    def _indices(self) -> tuple[Tensor, ...]:
        """Of the P patterns of cells that macro-actions set: the cells that each may make right or wrong (P, A), the
        five that may stand for each (P, A, 5), which of these cells count (P, A), and the chances that the five are
        touched (P, A, 5); and the pattern of each macro-action (M,)."""
        if self._index is None:
            patterns, pattern = self.touch.unique(dim=0, return_inverse=True)
            near, share = self._nearby(), patterns.float() / 255
            reached = (share > TOUCHED)[:, near].any(-1)
            most = max(int(reached.sum(1).max()), 1)
            affected = reached.float().argsort(dim=1, descending=True, stable=True)[:, :most]
            sources = near[affected]
            touched = share.gather(1, sources.flatten(1)).view(sources.shape)
            self._index = affected, sources, reached.gather(1, affected).float(), touched, pattern
        return self._index


class SpelledCellular(CellularNetwork):
    """Of level 0: an action moves the register on, and where that ends a word, the map becomes what the word makes of
    it. following, ends (R, A) int64: the value after an action, and the word that it ends; -1 for none."""

    following: Tensor
    ends: Tensor

    def __init__(self, *, registers: int, actions: int, **options: Any) -> None:
        super().__init__(**options)
        self.register_buffer("following", torch.zeros(registers, actions, dtype=torch.long))
        self.register_buffer("ends", torch.zeros(registers, actions, dtype=torch.long))

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        value, cells = z[:, 0, 0] // self.vocabulary, z % self.vocabulary
        word, following = self.ends[value, macro], self.following[value, macro]
        if bool((word >= 0).any()):
            done = word >= 0
            cells = cells.clone()
            cells[done] = super().forward(level, cells[done], word[done])
        return cells + self.vocabulary * torch.where(following < 0, value, following)[:, None, None]


class Cells(nn.Module):
    """The map without the register: what level 1 sees of level 0."""

    def __init__(self, *, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def forward(self, below: Tensor) -> Tensor:
        return torch.where(below < 0, -1, below % self.vocabulary)


class Words(nn.Module):
    """Macro-actions that are words of the level below: spelled (M, L) int64, -1 after the end. position (R,): letters
    that lead to each value of the register, which is `rest` between words."""

    spelled: Tensor
    position: Tensor

    def __init__(
        self, *, words: int, letters: int, registers: int, vocabulary: int, rest: int = 0, names: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.spec, self.vocabulary, self.rest = MacroSpec("discrete", words, names=tuple(names)), vocabulary, rest
        self.register_buffer("spelled", torch.zeros(words, letters, dtype=torch.long))
        self.register_buffer("position", torch.zeros(registers, dtype=torch.long))

    def spelling(self, level: Level, below: Tensor, macro: Tensor) -> Tensor:
        """below (*z), () -> (L,): what is left of a word there. One that is begun already ends as this one does."""
        word = self.spelled[macro]
        return word[word >= 0][int(self.position[below[0, 0] // self.vocabulary]) :]

    def cut(self, play: Play) -> tuple[Tensor, Tensor, Tensor]:
        """(E,) each: the rows of play at which words begin and end, and which."""
        values = torch.cat([part[:, 0, 0].long() for part in play.below.split(CHUNK)]) // self.vocabulary
        resting = torch.nonzero(values == self.rest)[:, 0]
        begin, end = resting[:-1], resting[1:]
        own = (play.episode[begin] == play.episode[end]) & (end - begin <= self.spelled.shape[1])
        begin, end = begin[own], end[own]
        longest = self.spelled.shape[1]
        rows = begin[:, None] + torch.arange(longest)
        letters = torch.where(rows < end[:, None], play.actions[rows.clamp(max=len(play) - 1)], -1)
        weights = (int(self.spelled.max()) + 2) ** torch.arange(longest)
        known, order = ((self.spelled + 1) * weights).sum(1).sort()
        key = ((letters + 1) * weights).sum(1)
        at = torch.searchsorted(known, key).clamp(max=len(known) - 1)
        same = known[at] == key
        return begin[same], end[same], order[at[same]]


class Parts(nn.Module):
    """Macro-actions of a level above words: the cells of a goal that have one symbol, these with scaffolding, and last,
    all of it (`hplan.planning.sweeping.Ordering`)."""

    def __init__(self, *, vocabulary: int, names: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.spec = MacroSpec("discrete", 2 * vocabulary + 1, names=tuple(names))

    def cut(self, play: Play) -> tuple[Tensor, Tensor, Tensor]:
        """None: in play nobody has a goal."""
        none = torch.zeros(0, dtype=torch.long)
        return none, none, none


class KeptPart(nn.Module):
    """What a level of parts predicts: cells that have the symbol will have it, and of the others nothing is said."""

    def __init__(self, *, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    def forward(self, level: Level, z: Tensor, macro: Tensor) -> Tensor:
        own = macro[:, None, None]
        return torch.where((z == own % self.vocabulary) | (own == 2 * self.vocabulary), z, -1)


class RegisterPrior(nn.Module):
    """Actions that play took at what the register shows: possible (R, A) bool."""

    weight, floors = 0.0, (0.0,)
    possible_actions: Tensor

    def __init__(self, *, registers: int, actions: int, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.register_buffer("possible_actions", torch.ones(registers, actions, dtype=torch.bool))

    def forward(self, level: Level, z: Tensor) -> Tensor:
        able = self.possible_actions[z[:, 0, 0].clamp(min=0) // self.vocabulary].float()
        able = torch.where(able.any(1, keepdim=True), able, torch.ones_like(able))
        return torch.where(able > 0, -able.sum(1, keepdim=True).log(), IMPOSSIBLE)


class EvenPrior(nn.Module):
    """Every macro-action is as likely as any other."""

    weight, floors = 0.0, (0.0,)

    def __init__(self, *, macros: int) -> None:
        super().__init__()
        self.macros = macros

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return torch.full((len(z), self.macros), -float(np.log(self.macros)))
