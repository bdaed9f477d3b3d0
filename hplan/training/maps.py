"""Play over symbols as index maps: a vocabulary of the cells that it showed, and for every observation their numbers.

Also what training draws from them: rows by the kind of change, and events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.levels.cells import event_of
from hplan.levels.focus import REACH, crop
from hplan.play.play import Play
from hplan.types import ObservationSpec, UsageError

LARGEST_VOCABULARY = 4096  # known cells; a view with more of them is not symbolic in any useful sense
LARGEST_TYPES = 256  # kinds of event that a level above tells apart, the most frequent first
HELD_OUT = 20  # every so many-th episode is kept from training and calibrates the thresholds
RARE_SHARE = 0.6  # of a batch is drawn by inverse frequency of the kind of change, the rest evenly


@dataclass(frozen=True)
class Maps:
    """Play as index maps. maps (N, H, W) int64 codes; cells (V, F); actions (N,); success (N,): of reaching row i.

    `starts`: the rows t whose successor t + 1 belongs to the same episode. `ends`: rows in which the environment ended;
    nothing leads on from them, and training says so by letting every action there change nothing.
    """

    maps: Tensor
    cells: Tensor
    actions: Tensor
    success: Tensor
    starts: Tensor
    ends: Tensor


def index_maps(play: Play, spec: ObservationSpec) -> Maps:
    """The vocabulary of play and every observation in its terms."""
    weights = np.concatenate([[1], np.cumprod(spec.cardinalities[:-1], dtype=np.int64)])
    observations = play.observations.numpy()
    flat = np.zeros(observations.shape[:3], np.int64)
    for feature, weight in enumerate(weights):  # one feature at a time keeps the peak of memory low
        flat += observations[..., feature].astype(np.int64) * weight
    unique, maps = np.unique(flat, return_inverse=True)
    if len(unique) > LARGEST_VOCABULARY:
        raise UsageError(f"play shows {len(unique)} different cells, more than {LARGEST_VOCABULARY}: use a vector view")
    cells = unique[:, None] // weights % np.asarray(spec.cardinalities)
    starts = np.flatnonzero(play.remaining.numpy() > 0)
    reached = np.zeros(len(maps), bool)
    reached[starts + 1] = play.success.numpy()[starts]
    return Maps(
        torch.from_numpy(maps.reshape(flat.shape)),
        torch.from_numpy(cells),
        play.actions.long(),
        torch.from_numpy(reached),
        torch.from_numpy(starts),
        torch.nonzero(play.terminated)[:, 0],
    )


def certainty(maps: Maps) -> float:
    """Share of steps that ended as the same action in the same observation mostly does; 1 in a deterministic world.

    Measured on (observation, action) pairs that play met more than once; 1 where it met none.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(2**62, (*maps.maps.shape[1:], len(maps.cells)), generator=generator)
    hashes = torch.cat([_hash(part, noise) for part in maps.maps.split(8192)])
    before, after = hashes[maps.starts] * 64 + maps.actions[maps.starts], hashes[maps.starts + 1]
    pairs, pair, met = torch.unique(before, return_inverse=True, return_counts=True)
    endings, counts = torch.unique(torch.stack([pair, after], 1), dim=0, return_counts=True)
    most = torch.zeros(len(pairs), dtype=torch.long).scatter_reduce(0, endings[:, 0], counts, "amax")
    often = met > 1
    return float(most[often].sum() / met[often].sum()) if bool(often.any()) else 1.0


def _hash(maps: Tensor, noise: Tensor) -> Tensor:
    """(B, H, W) -> (B,) int64: a sum of one random number for every (place, symbol); equal maps have equal sums."""
    return noise.gather(-1, maps.movedim(0, -1)).sum((0, 1))


def movers(maps: Maps) -> Tensor:
    """(V,) bool: a set of symbols, one of which every map of play shows, and shows once, and a step changes nothing but
    next to it. None where play is not like that."""
    size = len(maps.cells)
    apart, most = torch.zeros(size), torch.zeros(size, dtype=torch.long)
    together = torch.zeros(size, size)
    for part in maps.starts.split(1024):
        before = maps.maps[part]
        changed = (before != maps.maps[part + 1]).float()
        near = F.avg_pool2d(changed[:, None], 2 * REACH + 1, 1, REACH, divisor_override=1)[:, 0]
        apart += torch.bincount(before[near < changed.sum((1, 2), keepdim=True)], minlength=size)
        shown = torch.zeros(len(part), size).scatter_add_(1, before.flatten(1), torch.ones(before.flatten(1).shape))
        most = torch.maximum(most, shown.amax(0).long())
        together += (present := shown.clamp(max=1)).T @ present
    taken = torch.zeros(size, dtype=torch.bool)
    # What is seen in a few maps can be next to everything in them by chance, and then shares them with the real one.
    able = torch.nonzero((apart == 0) & (most == 1))[:, 0]
    for symbol in able[together.diagonal()[able].argsort(descending=True, stable=True)]:
        taken[symbol] = not bool((together[symbol] * taken).any())
    everywhere = all(bool((taken[maps.maps[part]].sum((1, 2)) == 1).all()) for part in maps.starts.split(8192))
    return taken if everywhere else torch.zeros_like(taken)


def change_kinds(maps: Maps) -> Tensor:
    """(len(starts),) int64: rows of one kind share the action and the set of (before, after) codes of changed cells.

    Where nothing changed, the action alone is the kind, so that failed interactions are a kind too.
    """
    kinds = []
    for part in maps.starts.split(8192):
        before, after = maps.maps[part].flatten(1), maps.maps[part + 1].flatten(1)
        # A sum of pseudo-random numbers of the changed pairs identifies their multiset.
        pair = before * len(maps.cells) + after
        noise = (pair * 2654435761 + 97) % 2147483647 * (before != after)
        kinds.append(noise.sum(1) * 64 + maps.actions[part])
    return torch.unique(torch.cat(kinds), return_inverse=True)[1]


def rare_sampler(kinds: Tensor) -> Tensor:
    """Cumulative weights over rows: every kind is as likely as any other, tempered by a square root."""
    counts = torch.bincount(kinds).double()
    return counts.pow(-0.75)[kinds].cumsum(0)


def draw(cumulative: Tensor, size: int, generator: torch.Generator) -> Tensor:
    rare = int(size * RARE_SHARE)
    at = torch.rand(rare, generator=generator, dtype=torch.float64) * cumulative[-1]
    even = torch.randint(len(cumulative), (size - rare,), generator=generator)
    return torch.cat([torch.searchsorted(cumulative, at).clamp(max=len(cumulative) - 1), even])


def hold_out(maps: Maps, episode: np.ndarray) -> tuple[Maps, np.ndarray]:
    """The maps without every twentieth episode (the last one where there are fewer), and which these are, (E,) bool."""
    numbers = np.arange(int(episode.max()) + 1)
    apart = numbers % HELD_OUT == HELD_OUT - 1 if len(numbers) >= HELD_OUT else numbers == len(numbers) - 1
    held = torch.from_numpy(apart[episode])
    return replace(maps, starts=maps.starts[~held[maps.starts]], success=maps.success & ~held), apart


def count_events(symbols: Tensor, maps: Maps, episode: np.ndarray) -> np.ndarray:
    """How many steps of each episode change anything of symbols (N, H, W)."""
    at = torch.cat([part[changes(symbols, part) > 0] for part in maps.starts.split(8192)])
    return np.bincount(episode[at.numpy()], minlength=int(episode.max()) + 1)


def changes(symbols: Tensor, rows: Tensor) -> Tensor:
    """(K,) int64: how many cells differ between each row and the next."""
    return (symbols[rows] != symbols[rows + 1]).flatten(1).sum(1)


@dataclass(frozen=True)
class Events:
    """Steps of a level above. rows (E,): of play, right before each; before, after (E, H, W) symbols; macro (E,) flat
    (type, cell); duration (E,) in steps of the environment; edits (types, 2): the (before, after) symbols of every
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
        changes = (self.before != self.after).flatten(1).sum(1)
        near = crop(self.before, at, REACH, outside=-1) != crop(self.after, at, REACH, outside=-1)
        return bool((near.flatten(1).sum(1) == changes).all())


def events(symbols: Tensor, starts: Tensor) -> Events:
    """Where the symbols of an upper level change, from one event to the next, within episodes."""
    at = torch.cat([part[changes(symbols, part) > 0] for part in starts.split(8192)])
    before, after = symbols[at], symbols[at + 1]
    size = int(symbols.max()) + 1
    pair = (before * size + after)[before != after]
    counts = torch.bincount(pair, minlength=size * size)
    kinds = counts.argsort(descending=True)[: min(LARGEST_TYPES, int((counts > 0).sum()))]
    edits = torch.stack([kinds // size, kinds % size], -1)
    macro, known = event_of(before, after, edits)
    first = torch.ones(len(symbols), dtype=torch.bool)
    first[starts + 1] = False
    episode = first.long().cumsum(0)
    previous = torch.cat([torch.tensor([-1]), at[:-1]])
    begin = torch.nonzero(first)[:, 0][episode[at] - 1]
    duration = at + 1 - torch.maximum(previous + 1, begin)
    return Events(at[known], before[known], after[known], macro[known], duration[known].float(), edits)
