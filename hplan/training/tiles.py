"""How images that are made of tiles become maps of symbols: which tiles there are, and what each of them is made of.

Where one tile of every image is a mover's, it shows the ground below it as well. Both are told apart by play: the
ground of a mover's tile is what is there before it comes and after it has gone, and tiles show the same mover on
different grounds if the same action led to them from the same tile. So a map has two features, as if the world had
shown them, and all that is known of movers holds (`hplan.training.mover`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from hplan.levels.tile_encoder import CHUNK, TileEncoder, tile_keys, tiles_of
from hplan.play.explore import permitted
from hplan.play.play import Play
from hplan.training.symbols import movers
from hplan.types import ObservationSpec, UsageError

SIZES = (32, 16, 8, 4)  # pixels along a side of a tile
FEWEST, MOST = 3, 512  # tiles along a side of an image, and different ones in play
RESETS, STEPS = 40, 10  # of a world that is looked at for tiles, and steps of each
ALIGNED = 0.75  # of the tiles that frames hold half a tile off: 0.1 to 0.4 where they are made of them, else 1
KNOWN = 0.9  # share of later frames, all tiles of which earlier ones showed


def tile_size(frames: Tensor) -> int:
    """Pixels along a side of the tiles that frames (N, H, W, C) uint8 are made of; 0 where they are of none: tiles
    that the first half of them shows are all that there is in nearly every later one, and half a tile off there are
    more. What moves by single pixels is cut anywhere, and looks alike in both. Of several sizes, the one by which the
    frames are told in fewest bits, the tiles themselves and which of them is where (Rissanen, 1978)."""
    height, width, channels = frames.shape[1:]
    half, found = len(frames) // 2, {}
    for size in SIZES:
        if height % size or width % size or min(height, width) // size < FEWEST:
            continue
        keys = tile_keys(tiles_of(frames, size)).flatten(1)
        seen = keys[:half].unique()
        known = torch.isin(keys[half:], seen).all(1).float().mean()
        if 1 < len(seen) <= MOST and float(known) >= KNOWN and _is_aligned(frames, size, len(keys.unique())):
            found[size] = 8 * len(seen) * size * size * channels + keys.numel() * math.log2(len(seen))
    return min(found, key=found.__getitem__, default=0)


def _is_aligned(frames: Tensor, size: int, kinds: int) -> bool:
    """Whether frames hold fewer kinds of tiles of that size than half a tile off."""
    half = size // 2
    inner = frames[:, half : half - size, half : half - size].contiguous()
    return kinds <= ALIGNED * len(tile_keys(tiles_of(inner, size)).unique())


def shows_tiles(world: Any) -> bool:
    """Whether the images of a world are made of tiles, by a few episodes of random actions."""
    rng, frames = np.random.default_rng(0), []
    for seed in range(RESETS):
        observation, _ = world.reset(seed=seed)
        for _ in range(STEPS):
            frames.append(world.codec.encode(observation))
            action = permitted(world, int(rng.integers(world.codec.action_spec.size)), rng)
            observation, _, terminated, truncated, _ = world.step(world.codec.decode(action))
            if terminated or truncated:
                break
    order = rng.permutation(len(frames))
    return tile_size(torch.from_numpy(np.stack(frames)[order])) > 0


@dataclass(frozen=True)
class Tiles:
    """Of play: pixels along a side of one, the different ones (V, B) uint8, and features of each (V, F) int64."""

    size: int
    channels: int
    tiles: Tensor
    features: Tensor

    @classmethod
    def of(cls, play: Play) -> Tiles:
        """Raises UsageError where images are not made of any."""
        some = torch.linspace(0, len(play) - 1, min(len(play), 2 * CHUNK)).long()
        some = some[torch.randperm(len(some), generator=torch.Generator().manual_seed(0))]
        size = tile_size(play.observations[some])
        if not size:
            raise UsageError(
                "levels of events are over maps of symbols, and these images are not made of tiles: choose abstraction "
                "'strides'"
            )
        keys: list[Tensor] = []
        kinds: dict[int, Tensor] = {}
        for frames in play.observations.split(CHUNK):
            tiles = tiles_of(frames, size)
            keys.append(tile_keys(tiles))
            flat, first = np.unique(keys[-1].numpy(), return_index=True)
            for key, at in zip(flat.tolist(), first.tolist(), strict=True):
                kinds.setdefault(key, tiles.flatten(0, 2)[at].clone())
        known = torch.tensor(sorted(kinds))
        maps = torch.searchsorted(known, torch.cat(keys))
        tiles = torch.stack([kinds[key] for key in known.tolist()])
        return cls(size, play.observations.shape[-1], tiles, features_of(maps, play, len(known)))

    def encoder(self, history: int) -> dict[str, Any]:
        """What `hplan.levels.tile_encoder.TileEncoder` is made with, beside what any encoder of cells is."""
        sizes = {"size": self.size, "channels": self.channels, "known": len(self.tiles)}
        return {"kind": "tiles", "history": history, **sizes}

    def seen(self, play: Play) -> Play:
        """The same play as maps of symbols (N, H / size, W / size, F) int16."""
        looked = TileEncoder(
            inputs=(self.features.shape[1],),
            latent=self.features.shape[1],
            cardinalities=(1,) * self.features.shape[1],
            vocabulary=1,
            size=self.size,
            channels=self.channels,
            known=len(self.tiles),
        )
        looked.learn(self.tiles, self.features)
        maps = torch.cat([looked.look(frames).to(torch.int16) for frames in play.observations.split(CHUNK)])
        sizes = tuple((self.features.amax(0) + 1).tolist())
        return replace(
            play, observations=maps, observation_spec=ObservationSpec("symbols", tuple(maps.shape[1:]), sizes)
        )


def features_of(maps: Tensor, play: Play, count: int) -> Tensor:
    """(V, 2) int64: the ground of each of V symbols of maps (N, H, W), and the mover on it, from 1, 0 for none. (V, 1),
    each symbol by itself, where play shows no mover, or does not tell what its tiles are made of."""
    starts = play.starts(1)
    moving, alone = movers(maps, starts, count), torch.arange(count)[:, None]
    if bool(moving.any()):
        moving = _at_ends(maps, moving)
    if not bool(moving.any()):
        return alone
    actions = play.action_spec.size
    ground = torch.zeros(count, count, dtype=torch.long)
    moves: list[Tensor] = []  # (symbol before, action, symbol after), from one cell to another
    stays: list[Tensor] = []  # and in place, where nothing else changed
    for rows in starts.split(CHUNK):
        before, after = maps[rows].flatten(1), maps[rows + 1].flatten(1)
        at, to = (moving[part].long().argmax(1) for part in (before, after))
        one, other = (part.gather(1, cell[:, None])[:, 0] for part, cell in ((before, at), (after, to)))
        came, left = (part.gather(1, cell[:, None])[:, 0] for part, cell in ((before, to), (after, at)))
        step, gone = torch.stack([one, play.actions[rows], other], 1), at != to
        for symbol, below in ((other, came), (one, left)):
            once = torch.ones(int(gone.sum()), dtype=torch.long)
            ground.index_put_((symbol[gone], below[gone]), once, accumulate=True)
        moves.append(step[gone].unique(dim=0))
        stays.append(step[~gone & ((before != after).sum(1) <= 1)].unique(dim=0))
    went, stood = torch.cat(moves).unique(dim=0), torch.cat(stays).unique(dim=0)
    below = _grounds(ground, moving, stood)
    token = _tokens(went, stood, moving, actions)
    found = torch.stack([below, token], 1)
    if bool((below < 0).any()) or len(found.unique(dim=0)) < count:
        return alone
    return torch.stack([below.unique(return_inverse=True)[1], token], 1)


def _grounds(ground: Tensor, moving: Tensor, stood: Tensor) -> Tensor:
    """(V,): what each symbol lies on, itself where it is no mover's, -1 where play does not tell. ground (V, V): how
    often one was there before and after another; stood (K, 3): steps in place."""
    ground = ground.masked_fill(moving, 0)
    below = torch.where(ground.sum(1) > 0, ground.argmax(1), -1)
    below = torch.where(moving, below, torch.arange(len(moving)))
    while True:
        new = stood[(below[stood[:, 2]] < 0) & (below[stood[:, 0]] >= 0)]
        if not len(new):
            return below
        below[new[:, 2]] = below[new[:, 0]]


def _tokens(went: Tensor, stood: Tensor, moving: Tensor, actions: int) -> Tensor:
    """(V,): which mover a symbol shows, from 1; 0 where none. went, stood (K, 3): steps to another cell and in place,
    as symbol before, action and symbol after.

    Symbols show the same one if the same action led to them from the same symbol, with a step to another cell; or, in
    place, from symbols that show the same one.
    """
    count = len(moving)
    same = torch.arange(count)
    while True:
        links = torch.cat([went, torch.stack([same[stood[:, 0]], stood[:, 1] + actions, stood[:, 2]], 1)])
        nodes = count + links[:, 0] * 2 * actions + links[:, 1]
        every = torch.cat([torch.stack([nodes, links[:, 2]]), torch.stack([torch.arange(count), same])], 1)
        size = count + 2 * actions * count
        graph = coo_matrix((np.ones(every.shape[1]), every.numpy()), shape=(size, size))
        found = torch.from_numpy(connected_components(graph, directed=False)[1][:count]).long()
        first = torch.full((count,), count).scatter_reduce(0, found.unique(return_inverse=True)[1], same, "amin")
        found = first[found.unique(return_inverse=True)[1]]  # each class by its first symbol
        if torch.equal(found, same):
            break
        same = found
    token = torch.zeros(count, dtype=torch.long)
    token[moving] = 1 + same[moving].unique(return_inverse=True)[1]
    return token


def _at_ends(maps: Tensor, moving: Tensor) -> Tensor:
    """Symbols of a mover (V,) bool, and those that are there in its place where an episode ends; none where a map shows
    none or several."""
    beside, instead = torch.zeros_like(moving), torch.zeros_like(moving)
    for part in maps.split(CHUNK):
        flat = part.flatten(1)
        there = moving[flat].any(1)
        beside[flat[there].unique()] = True
        instead[flat[~there].unique()] = True
    found = moving | (instead & ~beside)
    once = all(bool((found[part].sum((1, 2)) == 1).all()) for part in maps.split(CHUNK))
    return found if once else torch.zeros_like(moving)
