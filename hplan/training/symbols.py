"""Play over symbols as maps of integers, and what training draws from it: a vocabulary, kinds of change, events."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.levels.dynamics import RADIUS, SIGHT, crop
from hplan.levels.macros import event_of
from hplan.play.play import Play
from hplan.training.closure import closure
from hplan.types import UsageError

LARGEST_VOCABULARY = 4096  # known cells; a view with more of them is not symbolic in any useful sense
LARGEST_TYPES = 256  # kinds of event that a level above tells apart, the most frequent first
RARE_SHARE = 0.6  # of a batch is drawn by inverse frequency of the kind of change, the rest evenly
CHUNK = 8192  # maps that are looked at in one go
LEAST_CELLS = 9  # of a map in which a mover is looked for
DECIDED = 200_000  # steps that tell what decides
FEW, SURE = 4, 0.95  # times that a window is met, and share of them that end alike, from which it decides
TOUCHED = 0.01  # share of steps in which a cell changes, from which that is their doing
OWN = 10.0  # times as often as by the action that changes it least, from which an action changes a cell itself
UNDECIDED, UNEXPLAINED = 0.0003, 0.01  # agreement that may be lost, and share of what windows explain that may


@dataclass(frozen=True)
class Vocabulary:
    """What cells of play can be: kinds of ground, cells (V, F - M), and of the mover, tokens (T, M), whose features are
    `mover` (M,). The first token is nothing; without a mover of its own T = 1."""

    cells: Tensor
    tokens: Tensor
    mover: tuple[int, ...] = ()

    @property
    def varying(self) -> tuple[int, ...]:
        """Features that have more than one value."""
        ground = [f for f in range(self.cells.shape[1] + len(self.mover)) if f not in self.mover]
        columns = [*zip(ground, self.cells.T, strict=True), *zip(self.mover, self.tokens.T, strict=True)]
        return tuple(sorted(f for f, values in columns if len(values.unique()) > 1))


def index_maps(play: Play) -> tuple[Vocabulary, Tensor]:
    """The vocabulary of play, and every observation in its terms, maps (N, H, W) int64: ground * T + token.

    The ground is closed over what play combined in pairs: a cell of three features is in it where every two of them
    were seen together. Raises UsageError where play shows more different cells than can be symbols.
    """
    observations, cardinalities = play.observations, play.observation_spec.cardinalities
    mover = mover_features(observations)
    ground = tuple(f for f in range(len(cardinalities)) if f not in mover)
    cells, maps = _indexed(observations, ground, cardinalities, closed=bool(mover))
    if not mover:
        return Vocabulary(cells, torch.zeros(1, 0, dtype=torch.long)), maps
    tokens, which = _indexed(observations, mover, cardinalities, closed=False)
    rest = int(which.flatten()[: 64 * maps[0].numel()].mode().values)  # what nearly every cell has of a mover
    order = torch.cat([torch.tensor([rest]), torch.tensor([t for t in range(len(tokens)) if t != rest])])
    return Vocabulary(cells, tokens[order], mover), maps.mul_(len(tokens)).add_(order.argsort()[which])


def mover_features(observations: Tensor) -> tuple[int, ...]:
    """Features of observations (N, H, W, F) that tell of a mover: one that differs from its usual value in exactly one
    cell of every map, not always the same, and those that differ from theirs in that cell alone. () where none is."""
    if observations[0, ..., 0].numel() < LEAST_CELLS or observations.shape[-1] < 2:
        return ()
    usual = observations[:: max(len(observations) // 512, 1)].flatten(0, 2).long().mode(0).values.to(observations.dtype)
    features = range(observations.shape[-1])
    single, inside, ever = [True] * len(features), [True] * len(features), [False] * len(features)
    places: list[set[int]] = [set() for _ in features]
    chunks = observations.split(CHUNK)
    for part in chunks:
        other = (part != usual).flatten(1, 2)
        for f in features:
            single[f] = single[f] and bool((other[..., f].sum(1) == 1).all())
            if single[f] and len(places[f]) < 2:
                places[f] |= set(other[..., f].long().argmax(1).unique().tolist())
    first = next((f for f in features if single[f] and len(places[f]) > 1), None)
    if first is None:
        return ()
    for part in chunks:
        other = (part != usual).flatten(1, 2)
        for f in features:
            inside[f] = inside[f] and not bool((other[..., f] & ~other[..., first]).any())
            ever[f] = ever[f] or bool(other[..., f].any())
    found = tuple(f for f in features if inside[f] and ever[f])
    return found if len(found) < len(features) else ()


def _indexed(
    observations: Tensor, features: tuple[int, ...], cardinalities: tuple[int, ...], *, closed: bool
) -> tuple[Tensor, Tensor]:
    """The different values (V, K) of these features, closed over pairs if wanted, and which each cell has (N, H, W)."""
    sizes = np.asarray([cardinalities[f] for f in features])
    weights = np.concatenate([[1], np.cumprod(sizes[:-1], dtype=np.int64)])
    numbers = observations.numpy()
    flat = np.zeros(numbers.shape[:3], np.int64)
    for feature, weight in zip(features, weights, strict=True):  # one at a time keeps the peak of memory low
        flat += numbers[..., feature].astype(np.int64) * weight
    unique, maps = np.unique(flat, return_inverse=True)
    if len(unique) > LARGEST_VOCABULARY:
        raise UsageError(f"play shows {len(unique)} different cells, more than {LARGEST_VOCABULARY}: use a vector view")
    cells = torch.from_numpy(unique[:, None] // weights % sizes)
    extra = closure(cells) if closed else cells[:0]
    if len(cells) + len(extra) > LARGEST_VOCABULARY:
        extra = cells[:0]
    return torch.cat([cells, extra]), torch.from_numpy(maps.reshape(flat.shape))


@dataclass(frozen=True)
class Windows:
    """What play did around the mover. before (K, cells): the ground in a window of `radius` cells; action (K,), and the
    mover's token in it, one of `tokens`; group (K,): which of them share what they read; outcome (K,): a number for
    what changed next to the mover, and changed (K, 9) bool: in which cells."""

    radius: int
    tokens: int
    before: Tensor
    action: Tensor
    group: Tensor
    outcome: Tensor
    changed: Tensor

    @classmethod
    def of(
        cls, maps: Tensor, actions: Tensor, rows: Tensor, at: Tensor, group: Tensor, ends: Tensor, tokens: int
    ) -> Windows:
        """maps (N, H, W) of ground * tokens + token; rows, at, group, ends (K,): whether the step ended in failure."""
        size, before, token, outcome, changed = int(maps.max()) + 2, [], [], [], []
        noise = _noise((2 * RADIUS + 1) ** 2 * size, 1)
        for some, cells in zip(rows.split(CHUNK), at.split(CHUNK), strict=True):
            before.append(crop(maps[some] // tokens, cells, SIGHT, outside=size - 1).flatten(1))
            token.append(maps[some].flatten(1).gather(1, cells[:, None])[:, 0] % tokens)
            old, new = (crop(each, cells, RADIUS, outside=size - 1) for each in (maps[some], maps[some + 1]))
            news = torch.where(old // tokens == new // tokens, size - 1, new // tokens * tokens).flatten(1)
            place = torch.arange(news.shape[1]) * size
            changed.append((old != new).flatten(1))
            outcome.append((noise[news + place] + 3 * noise[(new % tokens).flatten(1) + place]).sum(1))
        done = actions[rows] * tokens + torch.cat(token)
        return cls(SIGHT, tokens, torch.cat(before), done, group, torch.cat(outcome) * 2 + ends, torch.cat(changed))

    @classmethod
    def joined(cls, parts: list[Windows]) -> Windows:
        """Several of one radius, one after the other."""
        names = ("before", "action", "group", "outcome", "changed")
        return cls(
            parts[0].radius, parts[0].tokens, *(torch.cat([getattr(part, name) for part in parts]) for name in names)
        )

    def symmetric(self, turned: Windows) -> bool:
        """Whether windows as they are after a turn, whichever way the mover went, decide the same steps as well."""
        rows = self.certain()
        return turned.of_rows(rows).agreement() >= self.of_rows(rows).enough()

    def within(self, radius: int) -> Windows:
        """The same by smaller windows."""
        side, out = 2 * self.radius + 1, self.radius - radius
        inner = self.before.view(-1, side, side)[:, out : side - out, out : side - out]
        return replace(self, radius=radius, before=inner.flatten(1))

    @property
    def ambiguity(self) -> float:
        """Share of steps whose outcome is not the commonest after the same action in the same window."""
        return 1 - _share_of_most(self._hashes(None), self.outcome)

    def deciding(self) -> Windows:
        """The smallest windows that decide as much as the largest."""
        same = self.of_rows(self.again())
        found = {r: same.within(r) for r in range(RADIUS, self.radius + 1)}
        least = same.enough()
        return self.within(next(r for r, windows in found.items() if windows.agreement() >= least))

    def enough(self) -> float:
        """The agreement that smaller windows of the same steps must keep."""
        every = self.agreement()
        nothing = self.agreement(torch.zeros(self.before.shape[1], dtype=torch.bool))
        return every - UNDECIDED - UNEXPLAINED * (every - nothing)

    def matters(self, *, centre: bool) -> Tensor:
        """(groups, cells) bool: cells whose ground decides: one after another is left out, from the farthest, unless
        steps that agreed no longer do. `centre`: that one always counts."""
        side = 2 * self.radius + 1
        places = torch.arange(side**2)
        away = (places // side - self.radius).abs() + (places % side - self.radius).abs()
        found = torch.ones(int(self.group.max()) + 1, side**2, dtype=torch.bool)
        certain = self.certain()  # what nothing decides, such as where others move, tells nothing
        for group in self.group.unique().tolist():
            own = self.of_rows((self.group == group) & certain)
            least = own.enough()
            for cell in away.argsort(descending=True, stable=True)[: len(away) - centre].tolist():
                found[group, cell] = False
                found[group, cell] = own.agreement(found[group]) < least
        return found

    def touches(self, actions: int) -> Tensor:
        """(groups, actions, 9) bool: cells next to the mover that an action changes, and not chance; any action of the
        group where it is seldom met. What it mostly does not change, since it mostly fails, it changes if others hardly
        ever do: chance would not wait for it."""
        times, met = self._changes(self.certain(), actions)
        share, any_action = times / met.clamp(min=1), times.sum(1, keepdim=True) / met.sum(1, keepdim=True).clamp(min=1)
        often = torch.where(met < FEW, any_action, share) >= TOUCHED
        times, met = self._changes(torch.ones_like(self.group, dtype=torch.bool), actions)
        by_itself = ((times + 1) / met.clamp(min=1)).amin(1, keepdim=True)  # once more than it was seen
        return often | ((times >= FEW) & (times >= OWN * by_itself * met))

    def _changes(self, rows: Tensor, actions: int) -> tuple[Tensor, Tensor]:
        """(groups, actions, 9) float32 and (groups, actions, 1): how often each action changed each cell next to the
        mover in rows (K,) bool, and how often it was taken."""
        groups = int(self.group.max()) + 1
        place = self.group[rows] * actions + self.action[rows] // self.tokens
        met = torch.bincount(place, minlength=groups * actions).view(groups, actions, 1)
        times = torch.zeros(groups * actions, 9).index_add_(0, place, self.changed[rows].float())
        return times.view(groups, actions, -1), met

    def of_rows(self, rows: Tensor) -> Windows:
        """Only these steps (K,) bool."""
        names = ("before", "action", "group", "outcome", "changed")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def again(self) -> Tensor:
        """(K,) bool: steps whose window and action play met more than once."""
        _, which, met = torch.unique(self._hashes(None), return_inverse=True, return_counts=True)
        return met[which] > 1

    def certain(self) -> Tensor:
        """(K,) bool: steps whose window and action play met a few times, and which then mostly ended alike."""
        _, which, met = torch.unique(self._hashes(None), return_inverse=True, return_counts=True)
        ends, counts = torch.unique(torch.stack([which, self.outcome], 1), dim=0, return_counts=True)
        most = torch.zeros_like(met).scatter_reduce(0, ends[:, 0], counts, "amax")
        return ((met >= FEW) & (most >= SURE * met))[which]

    def agreement(self, matters: Tensor | None = None) -> float:
        """Chance that two steps by the same action in the same window, as far as it matters, have one outcome."""
        seen, which, met = torch.unique(self._hashes(matters), return_inverse=True, return_counts=True)
        ends, counts = torch.unique(torch.stack([which, self.outcome], 1), dim=0, return_counts=True)
        alike = torch.zeros(len(seen), dtype=torch.float64).index_add_(
            0, ends[:, 0], (counts * (counts - 1.0)).double()
        )
        each = alike / (met - 1).clamp(min=1)  # times the steps that met it
        return float(each[met > 1].sum() / met[met > 1].sum()) if bool((met > 1).any()) else 1.0

    def _hashes(self, matters: Tensor | None) -> Tensor:
        seen = self.before if matters is None else self.before[:, matters]
        size = int(self.before.max()) + 1
        noise = _noise(max(seen.shape[1], 1) * size, 2)
        return noise[seen + torch.arange(seen.shape[1]) * size].sum(1) * 2**20 + self.action


def turn_maps(maps: Tensor, quarter: int, relabelled: Tensor, tokens: int) -> Tensor:
    """Maps (B, H, W) of ground * tokens + token after so many quarter turns, counterclockwise; relabelled (4, tokens):
    what the mover's tokens become."""
    return maps.rot90(quarter, (1, 2)) // tokens * tokens + relabelled[quarter][maps.rot90(quarter, (1, 2)) % tokens]


def _noise(count: int, seed: int) -> Tensor:
    return torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(seed))


def certainty(maps: Tensor, actions: Tensor, starts: Tensor) -> float:
    """Share of steps that ended as the same action in the same observation mostly does; 1 in a deterministic world.

    maps (N, H, W), actions (N,), starts (K,) rows that have a successor. Measured on (observation, action) pairs that
    play met more than once; 1 where it met none.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(2**62, (*maps.shape[1:], int(maps.max()) + 1), generator=generator)
    hashes = torch.cat([_hash(part, noise) for part in maps.split(CHUNK)])
    return _share_of_most(hashes[starts] * 64 + actions[starts], hashes[starts + 1])


def _share_of_most(before: Tensor, after: Tensor) -> float:
    """Share of rows (K,) whose `after` is the commonest of their `before`, among those that came more than once."""
    pairs, pair, met = torch.unique(before, return_inverse=True, return_counts=True)
    endings, counts = torch.unique(torch.stack([pair, after], 1), dim=0, return_counts=True)
    most = torch.zeros(len(pairs), dtype=torch.long).scatter_reduce(0, endings[:, 0], counts, "amax")
    often = met > 1
    return float(most[often].sum() / met[often].sum()) if bool(often.any()) else 1.0


def _hash(maps: Tensor, noise: Tensor) -> Tensor:
    """(B, H, W) -> (B,) int64: a sum of one random number for every (place, symbol); equal maps have equal sums."""
    return noise.gather(-1, maps.movedim(0, -1)).sum((0, 1))


def movers(maps: Tensor, starts: Tensor, size: int) -> Tensor:
    """(V,) bool: a set of symbols, one of which every map of play shows, and shows once, and a step changes nothing but
    next to it. None where play is not like that. `size`: V."""
    apart, most = torch.zeros(size), torch.zeros(size, dtype=torch.long)
    together = torch.zeros(size, size)
    for part in starts.split(1024):
        before = maps[part]
        changed = (before != maps[part + 1]).float()
        near = F.avg_pool2d(changed[:, None], 2 * RADIUS + 1, 1, RADIUS, divisor_override=1)[:, 0]
        apart += torch.bincount(before[near < changed.sum((1, 2), keepdim=True)], minlength=size)
        shown = torch.zeros(len(part), size).scatter_add_(1, before.flatten(1), torch.ones(before.flatten(1).shape))
        most = torch.maximum(most, shown.amax(0).long())
        together += (present := shown.clamp(max=1)).T @ present
    taken = torch.zeros(size, dtype=torch.bool)
    # What is seen in a few maps can be next to everything in them by chance, and then shares them with the real one.
    able = torch.nonzero((apart == 0) & (most == 1))[:, 0]
    for symbol in able[together.diagonal()[able].argsort(descending=True, stable=True)]:
        taken[symbol] = not bool((together[symbol] * taken).any())
    everywhere = all(bool((taken[maps[part]].sum((1, 2)) == 1).all()) for part in starts.split(CHUNK))
    return taken if everywhere else torch.zeros_like(taken)


def change_kinds(maps: Tensor, actions: Tensor, starts: Tensor, at: Tensor | None = None) -> Tensor:
    """(len(starts),) int64: rows of one kind share the action and the set of (before, after) codes of changed cells.
    at (len(starts),): only cells next to these count.

    Where nothing changed, the action alone is the kind, so that failed interactions are a kind too.
    """
    kinds, size = [], int(maps.max()) + 1
    for n, part in enumerate(starts.split(CHUNK)):
        before, after = maps[part], maps[part + 1]
        if at is not None:
            here = at[n * CHUNK : n * CHUNK + len(part)]
            before, after = (crop(each, here, RADIUS, outside=0) for each in (before, after))
        before, after = before.flatten(1), after.flatten(1)
        # A sum of pseudo-random numbers of the changed pairs identifies their multiset.
        pair = before * size + after
        noise = (pair * 2654435761 + 97) % 2147483647 * (before != after)
        kinds.append(noise.sum(1) * 64 + actions[part])
    return torch.unique(torch.cat(kinds), return_inverse=True)[1]


@dataclass(frozen=True)
class RareDraws:
    """Draws of numbers below len(kinds): a share of them by how rare their kind (N,) is, tempered by a square root."""

    cumulative: Tensor

    @classmethod
    def of(cls, kinds: Tensor) -> RareDraws:
        return cls(torch.bincount(kinds).double().pow(-0.75)[kinds].cumsum(0))

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        """(count,) int64."""
        size, rare = len(self.cumulative), int(count * RARE_SHARE)
        at = torch.rand(rare, generator=generator, dtype=torch.float64) * self.cumulative[-1]
        even = torch.randint(size, (count - rare,), generator=generator)
        return torch.cat([torch.searchsorted(self.cumulative, at).clamp(max=size - 1), even])


def changes(maps: Tensor, rows: Tensor) -> Tensor:
    """(K,) int64: how many cells differ between each row and the next."""
    return torch.cat([(maps[part] != maps[part + 1]).flatten(1).sum(1) for part in rows.split(CHUNK)])


def count_events(maps: Tensor, play: Play) -> np.ndarray:
    """(E,): how many steps of each episode change anything of maps (N, H, W)."""
    starts = play.starts(1)
    at = starts[changes(maps, starts) > 0]
    return np.bincount(play.episode[at].numpy(), minlength=play.episodes)


@dataclass(frozen=True)
class EventSteps:
    """Steps of a level of events. rows (E,): of play, right before each; before, after (E, H, W) symbols; macro (E,)
    flat (type, cell); duration (E,) in steps of the environment; edits (types, 2): the (before, after) symbols of every
    type."""

    rows: Tensor
    before: Tensor
    after: Tensor
    macro: Tensor
    duration: Tensor
    edits: Tensor

    def local(self) -> bool:
        """Whether no event changes anything but next to its cell."""
        at = self.macro % self.before[0].numel()
        changed = (self.before != self.after).flatten(1).sum(1)
        near = crop(self.before, at, RADIUS, outside=-1) != crop(self.after, at, RADIUS, outside=-1)
        return bool((near.flatten(1).sum(1) == changed).all())


def event_steps(maps: Tensor, play: Play) -> EventSteps:
    """Where the symbols (N, H, W) of a level change, from one event to the next, within episodes."""
    starts = play.starts(1)
    at = starts[changes(maps, starts) > 0]
    before, after = maps[at], maps[at + 1]
    size = int(maps.max()) + 1
    pair = (before * size + after)[before != after]
    counts = torch.bincount(pair, minlength=size * size)
    kinds = counts.argsort(descending=True)[: min(LARGEST_TYPES, int((counts > 0).sum()))]
    edits = torch.stack([kinds // size, kinds % size], -1)
    macro, known = event_of(before, after, edits)
    rows = torch.bincount(play.episode)
    begins = (rows.cumsum(0) - rows)[play.episode[at]]
    previous = torch.cat([torch.tensor([-1]), at[:-1]])
    duration = at + 1 - torch.maximum(previous + 1, begins)
    return EventSteps(at[known], before[known], after[known], macro[known], duration[known].float(), edits)
