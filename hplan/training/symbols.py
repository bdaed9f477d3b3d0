"""Play over symbols as maps of integers, and what training draws from it: a vocabulary, kinds of change, events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.levels.dynamics import RADIUS, SIGHT, crop
from hplan.levels.macros import event_of
from hplan.play.play import Play
from hplan.types import UsageError

LARGEST_VOCABULARY = 4096  # known cells; a view with more of them is not symbolic in any useful sense
LARGEST_TYPES = 256  # kinds of event that a level above tells apart, the most frequent first
RARE_SHARE = 0.6  # of a batch is drawn by inverse frequency of the kind of change, the rest evenly
CHUNK = 8192  # maps that are looked at in one go
LEAST_CELLS = 9  # of a map in which a mover is looked for
DECIDED, UNDECIDED = 200_000, 0.002  # steps that a deciding window is chosen by; ambiguity that one may add


@dataclass(frozen=True)
class Vocabulary:
    """What cells of play can be: kinds of ground, cells (V, F - M), and of the mover, tokens (T, M), whose features are
    `mover` (M,). The first token is nothing; without a mover of its own T = 1."""

    cells: Tensor
    tokens: Tensor
    mover: tuple[int, ...] = ()


def index_maps(play: Play) -> tuple[Vocabulary, Tensor]:
    """The vocabulary of play, and every observation in its terms, maps (N, H, W) int64: ground * T + token.

    Both vocabularies are closed over what play combined in pairs: a cell of three features is in it where every two of
    them were seen together. Raises UsageError where play shows more different cells than can be symbols.
    """
    observations, cardinalities = play.observations, play.observation_spec.cardinalities
    mover = mover_features(observations)
    ground = tuple(f for f in range(len(cardinalities)) if f not in mover)
    cells, maps = _indexed(observations, ground, cardinalities, closed=bool(mover))
    if not mover:
        return Vocabulary(cells, torch.zeros(1, 0, dtype=torch.long)), maps
    tokens, which = _indexed(observations, mover, cardinalities, closed=True)
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
    cells = unique[:, None] // weights % sizes
    extra = _closure(cells) if closed else cells[:0]
    if len(cells) + len(extra) > LARGEST_VOCABULARY:
        extra = cells[:0]
    return torch.from_numpy(np.concatenate([cells, extra])), torch.from_numpy(maps.reshape(flat.shape))


def _closure(cells: np.ndarray) -> np.ndarray:
    """Cells (K, F) that are not among (V, F), but every two of whose features are together in one of these."""
    known, found = {tuple(cell) for cell in cells.tolist()}, []
    values = [sorted(set(column)) for column in cells.T.tolist()]
    pairs = {(i, j): {(c[i], c[j]) for c in known} for i in range(len(values)) for j in range(i)}
    partial: list[tuple[int, ...]] = [()]
    for i, column in enumerate(values):
        partial = [(*p, v) for p in partial for v in column if all((v, p[j]) in pairs[i, j] for j in range(i))]
    found = [p for p in partial if p not in known]
    return np.asarray(found, cells.dtype).reshape(-1, cells.shape[1])


def ambiguity(maps: Tensor, actions: Tensor, starts: Tensor, at: Tensor, radius: int) -> float:
    """Share of steps after which the cells around the mover are not as they mostly are after the same action in the
    same window of `radius` cells. maps (N, H, W); starts, at (K,): rows, and where the mover is."""
    generator = torch.Generator().manual_seed(0)
    size = int(maps.max()) + 2
    noise = torch.randint(2**62, (2, (2 * radius + 1) ** 2 * size), generator=generator)
    before, after = [], []
    for rows, cells in zip(starts.split(CHUNK), at.split(CHUNK), strict=True):
        before.append(_window_hash(maps[rows], cells, radius, noise[0], size) * 64 + actions[rows])
        after.append(_window_hash(maps[rows + 1], cells, RADIUS, noise[1], size))
    return 1 - _share_of_most(torch.cat(before), torch.cat(after))


def deciding_radius(maps: Tensor, actions: Tensor, starts: Tensor, at: Tensor) -> tuple[int, float]:
    """The smallest window around the mover that decides what a step does, and the share of steps that end as they
    mostly do there."""
    some = torch.randperm(len(starts), generator=torch.Generator().manual_seed(0))[:DECIDED]
    found = {r: ambiguity(maps, actions, starts[some], at[some], r) for r in range(RADIUS, SIGHT + 1)}
    radius = min(r for r, share in found.items() if share <= found[SIGHT] + UNDECIDED)
    return radius, 1 - found[radius]


def _window_hash(maps: Tensor, at: Tensor, radius: int, noise: Tensor, size: int) -> Tensor:
    windows = crop(maps, at, radius, outside=size - 1).flatten(1)
    return noise[windows + torch.arange(windows.shape[1]) * size].sum(1)


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
