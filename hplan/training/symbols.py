"""Play over symbols as maps of integers, and what training draws from it: a vocabulary, kinds of change, events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.levels.dynamics import RADIUS, crop
from hplan.levels.macros import event_of
from hplan.play.play import Play
from hplan.types import UsageError

LARGEST_VOCABULARY = 4096  # known cells; a view with more of them is not symbolic in any useful sense
LARGEST_TYPES = 256  # kinds of event that a level above tells apart, the most frequent first
RARE_SHARE = 0.6  # of a batch is drawn by inverse frequency of the kind of change, the rest evenly
CHUNK = 8192  # maps that are looked at in one go


def index_maps(play: Play) -> tuple[Tensor, Tensor]:
    """The vocabulary of play, cells (V, F) int64, and every observation in its terms, maps (N, H, W) int64.

    Raises UsageError where play shows more different cells than can be symbols.
    """
    cardinalities = play.observation_spec.cardinalities
    weights = np.concatenate([[1], np.cumprod(cardinalities[:-1], dtype=np.int64)])
    observations = play.observations.numpy()
    flat = np.zeros(observations.shape[:3], np.int64)
    for feature, weight in enumerate(weights):  # one feature at a time keeps the peak of memory low
        flat += observations[..., feature].astype(np.int64) * weight
    unique, maps = np.unique(flat, return_inverse=True)
    if len(unique) > LARGEST_VOCABULARY:
        raise UsageError(f"play shows {len(unique)} different cells, more than {LARGEST_VOCABULARY}: use a vector view")
    cells = unique[:, None] // weights % np.asarray(cardinalities)
    return torch.from_numpy(cells), torch.from_numpy(maps.reshape(flat.shape))


def certainty(maps: Tensor, actions: Tensor, starts: Tensor) -> float:
    """Share of steps that ended as the same action in the same observation mostly does; 1 in a deterministic world.

    maps (N, H, W), actions (N,), starts (K,) rows that have a successor. Measured on (observation, action) pairs that
    play met more than once; 1 where it met none.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(2**62, (*maps.shape[1:], int(maps.max()) + 1), generator=generator)
    hashes = torch.cat([_hash(part, noise) for part in maps.split(CHUNK)])
    before, after = hashes[starts] * 64 + actions[starts], hashes[starts + 1]
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


def change_kinds(maps: Tensor, actions: Tensor, starts: Tensor) -> Tensor:
    """(len(starts),) int64: rows of one kind share the action and the set of (before, after) codes of changed cells.

    Where nothing changed, the action alone is the kind, so that failed interactions are a kind too.
    """
    kinds, size = [], int(maps.max()) + 1
    for part in starts.split(CHUNK):
        before, after = maps[part].flatten(1), maps[part + 1].flatten(1)
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
