"""How a stack over spatial latents is trained from play: level 0 on cells and actions, then levels of events.

Everything here works on *index maps*: a vocabulary of the cells that play showed, and for every observation the (H, W)
numbers of its cells. A level above sees the same maps through its `merge` table (`hplan.models.timescales`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.models.spatial import SpatialLevel, event_of
from hplan.models.timescales import Cut, cuts, transition_rates
from hplan.training.fit import Progress, fit
from hplan.types import ActionSpec, ObservationSpec, UsageError

LARGEST_VOCABULARY = 4096  # known cells; a view with more of them is not symbolic in any useful sense
LARGEST_TYPES = 32  # kinds of event that a level above tells apart, the most frequent first
RARE_SHARE = 0.6  # of a batch is drawn by inverse frequency of the kind of change, the rest evenly


class Play(Protocol):
    """What training reads of `hplan.data.windows.PlayData`."""

    observations: np.ndarray
    actions: np.ndarray
    success: np.ndarray
    remaining: np.ndarray


@dataclass(frozen=True)
class Maps:
    """Play as index maps. maps (N, H, W) int64 codes; cells (V, F); actions (N,); success (N,): of reaching row i.

    `starts`: the rows t whose successor t + 1 belongs to the same episode.
    """

    maps: Tensor
    cells: Tensor
    actions: Tensor
    success: Tensor
    starts: Tensor


def index_maps(play: Play, spec: ObservationSpec) -> Maps:
    """The vocabulary of play and every observation in its terms."""
    weights = np.concatenate([[1], np.cumprod(spec.cardinalities[:-1], dtype=np.int64)])
    flat = np.zeros(play.observations.shape[:3], np.int64)
    for feature, weight in enumerate(weights):  # one feature at a time keeps the peak of memory low
        flat += play.observations[..., feature].astype(np.int64) * weight
    unique, maps = np.unique(flat, return_inverse=True)
    if len(unique) > LARGEST_VOCABULARY:
        raise UsageError(
            f"play shows {len(unique)} different cells, more than {LARGEST_VOCABULARY}: use a vector view of this observation"
        )
    cells = unique[:, None] // weights % np.asarray(spec.cardinalities)
    starts = np.flatnonzero(play.remaining > 0)
    reached = np.zeros(len(maps), bool)
    reached[starts + 1] = play.success[starts]
    return Maps(
        torch.from_numpy(maps.reshape(flat.shape)),
        torch.from_numpy(cells),
        torch.from_numpy(np.asarray(play.actions, dtype=np.int64)),
        torch.from_numpy(reached),
        torch.from_numpy(starts),
    )


def change_kinds(maps: Maps) -> Tensor:
    """(len(starts),) int64: rows of one kind share the action and the set of (before, after) codes of changed cells.

    Where nothing changed, the action alone is the kind, so that failed interactions are a kind too.
    """
    kinds = []
    for part in maps.starts.split(65536):
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


def train_base(
    maps: Maps,
    spec: ObservationSpec,
    actions: ActionSpec,
    *,
    steps: int,
    batch: int,
    channels: int,
    hidden: int,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
) -> tuple[SpatialLevel, dict[str, list]]:
    """Level 0: encoder and predictor by InfoNCE over known cells, then the success head on frozen latents."""
    torch.manual_seed(seed)
    level = SpatialLevel(
        index=0,
        vocabulary=len(maps.cells),
        macros=actions.size,
        channels=channels,
        hidden=hidden,
        cardinalities=spec.cardinalities,
        macro_names=actions.names,
    )
    level.cells.copy_(maps.cells)
    before, after = maps.maps[maps.starts], maps.maps[maps.starts + 1]
    changed = (before != after).flatten(1).sum(1).float()
    level.supported.copy_(torch.zeros(actions.size).index_add_(0, maps.actions[maps.starts], changed) > 0)
    level.typical_change.copy_(changed[changed > 0].median() if bool((changed > 0).any()) else torch.tensor(1.0))
    cumulative = rare_sampler(change_kinds(maps))

    def prediction(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = maps.starts[draw(cumulative, batch, generator)]
        return level.prediction_loss(maps.maps[rows], maps.actions[rows], maps.maps[rows + 1])

    world = nn.ModuleList([level.embed, level.predictor])
    curve = fit(
        world, prediction, name="level0", steps=steps, seed=seed, out=out, lr=2e-3, device=device, progress=progress
    )
    level.freeze()
    curves = {"level0": curve}
    curves |= train_success(level, maps.maps, maps.success, seed=seed, out=out, device=device, progress=progress)
    return level.eval(), curves


def train_success(
    level: SpatialLevel,
    maps: Tensor,
    success: Tensor,
    *,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
    steps: int = 600,
    batch: int = 128,
) -> dict[str, list]:
    """The success energy: a classifier of latents that play was rewarded in, half of each batch. None where play had none."""
    positive, negative = torch.nonzero(success)[:, 0], torch.nonzero(~success)[:, 0]
    if not len(positive):
        return {}
    name = f"level{level.index}-success"

    def classification(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = torch.cat(
            [part[torch.randint(len(part), (batch // 2,), generator=generator)] for part in (positive, negative)]
        )
        logits = level.success(level.decode(maps[rows]))
        loss = F.binary_cross_entropy_with_logits(logits, success[rows].float())
        return loss, {"accuracy": ((logits > 0) == success[rows]).float().mean()}

    return {
        name: fit(
            level.success,
            classification,
            name=name,
            steps=steps,
            seed=seed,
            out=out,
            lr=1e-2,
            device=device,
            progress=progress,
        )
    }


def separations(maps: Maps) -> list[Cut]:
    """The gaps between time scales of this play, the fastest first: the levels that there are to learn."""
    rates = transition_rates(maps.maps.numpy(), maps.starts.numpy(), len(maps.cells))
    return cuts(rates)


@dataclass(frozen=True)
class Events:
    """Steps of a level above. before, after (E, H, W) symbols; macro (E,) flat (type, cell); duration (E,) of level-0 steps."""

    before: Tensor
    after: Tensor
    macro: Tensor
    duration: Tensor
    edits: Tensor


def events(symbols: Tensor, starts: Tensor) -> Events:
    """Where the symbols of an upper level change, from one event to the next, within episodes."""
    changed = torch.zeros(len(symbols), dtype=torch.bool)
    for part in starts.split(65536):
        changed[part] = (symbols[part] != symbols[part + 1]).flatten(1).any(1)
    at = torch.nonzero(changed)[:, 0]
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
    return Events(before[known], after[known], macro[known], duration[known].float(), edits)


def train_above(
    below: SpatialLevel,
    maps: Maps,
    cut: Cut,
    symbols_below: Tensor,
    *,
    steps: int,
    batch: int,
    channels: int,
    hidden: int,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
) -> tuple[SpatialLevel, Tensor, dict[str, list]]:
    """A level of events over the symbols that `cut` leaves apart; also the play in its symbols, for the level above.

    `cut.merge` is of level-0 codes; `symbols_below` (N, H, W) are the maps of the level below, which it refines.
    """
    index, merge = below.index + 1, torch.from_numpy(cut.merge)
    symbols = merge[maps.maps]
    happened = events(symbols, maps.starts)
    torch.manual_seed(seed + index)
    level = SpatialLevel(
        index=index,
        vocabulary=cut.symbols,
        macros=len(happened.edits),
        stride=float(happened.duration.mean()),
        channels=channels,
        hidden=hidden,
        below=tuple(below.codes.shape),
    )
    table = torch.zeros(len(below.codes), dtype=torch.long)
    table[symbols_below.flatten()] = symbols.flatten()
    level.merge.copy_(table)
    level.below_codes.copy_(below.codes)
    level.edits.copy_(happened.edits)
    kinds = happened.macro // symbols[0].numel()
    cumulative = rare_sampler(kinds)
    height, width = symbols.shape[1:]

    def prediction(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = draw(cumulative, batch, generator)
        loss, figures = level.prediction_loss(happened.before[rows], happened.macro[rows], happened.after[rows])
        even = torch.randint(len(happened.macro), (batch,), generator=generator)
        z = level.embeddings()[happened.before[even]].movedim(-1, 1).detach()
        rounds = int(torch.randint(max(height, width) // 2, height + width + 1, (1,), generator=generator))
        log_p = level.prior_net(z, rounds)
        prior = F.nll_loss(log_p, happened.macro[even])
        return loss + prior, figures | {"prior": prior.detach()}

    name = f"level{index}"
    world = nn.ModuleList([level.embed, level.predictor, level.prior_net])
    curves = {
        name: fit(
            world, prediction, name=name, steps=steps, seed=seed, out=out, lr=2e-3, device=device, progress=progress
        )
    }
    level.freeze()
    curves |= train_success(level, symbols, maps.success, seed=seed, out=out, device=device, progress=progress)
    return level.eval(), symbols, curves
