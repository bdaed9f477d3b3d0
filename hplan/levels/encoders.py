"""Encoders: a canonical observation, or a latent of the level below, to features, which the latent space then snaps.

An encoder is a `torch.nn.Module` that is made with keyword arguments alone: `inputs`, the shape of what it reads;
`latent`, numbers of a feature vector; `hidden`, width; `cardinalities` of symbols, () elsewhere. Where it has a method
`measure(observations)`, that is given all of play (N, *inputs) before training.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.types import UsageError


class MLP(nn.Sequential):
    """Hidden layers with normalised SiLU activations and a linear one: (..., inputs) -> (..., outputs). It calls no
    module for a layer: in networks this small that takes a tenth of the time of planning."""

    def __init__(self, inputs: int, hidden: int, outputs: int, layers: int) -> None:
        widths = [inputs] + [hidden] * layers
        parts: list[nn.Module] = []
        for before, after in pairwise(widths):
            parts += [nn.Linear(before, after), nn.LayerNorm(after), nn.SiLU()]
        super().__init__(*parts, nn.Linear(hidden, outputs))
        self.pairs: list[Any] = list(zip(parts[::3], parts[1::3], strict=True))
        self.last: Any = [self[-1]]  # in a list, which is not registered once more

    def forward(self, input: Tensor) -> Tensor:
        x = input
        for linear, norm in self.pairs:
            x = F.linear(x, linear.weight, linear.bias)
            x = F.silu(F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps))
        return F.linear(x, self.last[0].weight, self.last[0].bias)


def mlp(inputs: int, hidden: int, outputs: int, *, layers: int = 2) -> MLP:
    """`layers` hidden layers with normalised SiLU activations: (..., inputs) -> (..., outputs)."""
    return MLP(inputs, hidden, outputs, layers)


class StandardEncoder(nn.Module):
    """Every number in units of its deviation, from its mean: (..., D) -> (..., latent). Nothing is learned, and so a
    network on top sees numbers beyond those of play as what they are: beyond.

    `mean` and `scale` (D,) are buffers, so that the normalisation of training is the normalisation of use. A constant
    feature has scale 1 and thus stays 0. `latent` is D, less those that are ignored.
    """

    mean: Tensor
    scale: Tensor
    kept: Tensor | None

    def __init__(self, *, inputs: tuple[int, ...], ignored: tuple[int, ...] = (), **_: Any) -> None:
        """`ignored`: numbers of an observation that are not looked at."""
        super().__init__()
        kept = [number for number in range(prod(inputs)) if number not in ignored]
        self.register_buffer("kept", torch.tensor(kept) if ignored else None, persistent=False)
        self.register_buffer("mean", torch.zeros(prod(inputs)))
        self.register_buffer("scale", torch.ones(prod(inputs)))

    def measure(self, observations: Tensor) -> None:
        self.mean.copy_(_middle(observations))
        self.scale.copy_(_deviation(observations))

    def forward(self, observation: Tensor) -> Tensor:
        numbers = (observation - self.mean) / self.scale
        return numbers if self.kept is None else numbers[..., self.kept]


class FourierEncoder(StandardEncoder):
    """Standardised numbers and their octaves through a network: (..., D) -> (..., latent). Without octaves it is too
    smooth to see a thin wall. The longest wavelength is 4 standard deviations.

    Source: Tancik et al., 2020, "Fourier features let networks learn high frequency functions", arXiv 2006.10739; here
    along the axes and with octaves, as in NeRF, so that of the world's scale only its standard deviation has to be
    known.
    """

    frequencies: Tensor

    def __init__(
        self, *, inputs: tuple[int, ...], latent: int, hidden: int = 128, octaves: int = 5, **options: Any
    ) -> None:
        super().__init__(inputs=inputs, **options)
        self.register_buffer("frequencies", torch.pi / 2 * 2.0 ** torch.arange(octaves), persistent=False)
        count = prod(inputs) if self.kept is None else len(self.kept)
        self.network = mlp(count * (1 + 2 * octaves), hidden, latent)

    def forward(self, observation: Tensor) -> Tensor:
        x = super().forward(observation)
        angles = (x[..., None] * self.frequencies).flatten(-2)
        return self.network(torch.cat([x, angles.sin(), angles.cos()], -1))


def standardised(observations: Tensor, like: Tensor | None = None) -> Tensor:
    """(N, D) -> (N, D): each number in units of its deviation, from its mean; or of those of `like` (M, D)."""
    like = observations if like is None else like
    return (observations - _middle(like)) / _deviation(like)


def _middle(observations: Tensor) -> Tensor:
    """The mean; of what never changes its value, from which rounding takes the mean away: 1.7e9 becomes 1.7e9 + 128."""
    return torch.where(_constant(observations), observations[0], observations.mean(0))


def _deviation(observations: Tensor) -> Tensor:
    """1 for what never changes, or only trembles by rounding; however small it is, what changes is no constant."""
    deviation = observations.std(0)
    rounding = (1e-6 * observations.abs().amax(0)).clamp(1e-12, 1e-6)
    return torch.where(~_constant(observations) & (deviation > rounding), deviation, torch.ones_like(deviation))


def _constant(observations: Tensor) -> Tensor:
    return (observations == observations[:1]).all(0)


class OneHotEncoder(nn.Module):
    """Symbols (..., H, W, F), each feature as a one-hot vector, through a network: (..., latent). For symbols that are
    no map of places, such as a Dict of discrete parts."""

    offsets: Tensor
    highest: Tensor

    def __init__(
        self, *, inputs: tuple[int, ...], latent: int, cardinalities: tuple[int, ...], hidden: int = 128, **_: Any
    ) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, *cardinalities[:-1]]).cumsum(0), persistent=False)
        self.register_buffer("highest", torch.tensor(cardinalities) - 1, persistent=False)
        self.inputs, self.dimensions, self.values = tuple(inputs), len(inputs), sum(cardinalities)
        self.network = mlp(self.values * prod(inputs[:-1]), hidden, latent)

    def forward(self, symbols: Tensor) -> Tensor:
        """Raises UsageError for a map of another size: a network has as many inputs as it has."""
        if (shape := tuple(symbols.shape[-self.dimensions :])) != self.inputs:
            raise UsageError(
                f"an observation of shape {shape}, and encoder 'one-hot' reads shape {self.inputs} alone: act in "
                "layouts of one size, or train with the encoder 'cells', which reads any"
            )
        which = torch.minimum(symbols.long(), self.highest) + self.offsets
        return self.network(F.one_hot(which, self.values).sum(-2).float().flatten(-self.dimensions))


class MLPEncoder(nn.Module):
    """A plain network over latents of the level below: (..., D below) -> (..., latent)."""

    def __init__(self, *, inputs: tuple[int, ...], latent: int, hidden: int = 128, **_: Any) -> None:
        super().__init__()
        self.network = mlp(prod(inputs), hidden, latent)

    def forward(self, below: Tensor) -> Tensor:
        return self.network(below)


class IdentityEncoder(nn.Module):
    """The latents of the level below as they are, for ablation."""

    def __init__(self, **_: Any) -> None:
        super().__init__()

    def forward(self, below: Tensor) -> Tensor:
        return below


class FeatureCodes(nn.Module):
    """Features of single cells to unit vectors: (..., F) int64 -> (..., latent). Every feature has numbers of its own,
    a unit vector for each of its values. So features which were never seen together have a code as well, and what
    changes one of them changes it alike whatever the others are."""

    offsets: Tensor
    highest: Tensor

    def __init__(self, cardinalities: tuple[int, ...], latent: int, varying: tuple[int, ...] = ()) -> None:
        """`varying`: features that have more than one value, which alone get numbers; () for all."""
        super().__init__()
        self.varying = list(varying) or list(range(len(cardinalities)))
        self.register_buffer("offsets", torch.tensor([0, *cardinalities[:-1]]).cumsum(0), persistent=False)
        self.register_buffer("highest", torch.tensor(cardinalities) - 1, persistent=False)
        self.latent, own = latent, latent // len(self.varying)
        if own < 1:
            raise UsageError(f"cells of {len(self.varying)} features need as many channels, not {latent}")
        self.embedding = nn.Embedding(sum(cardinalities), own)

    def forward(self, features: Tensor) -> Tensor:
        features = torch.minimum(features.long(), self.highest)
        which = (features + self.offsets)[..., self.varying]
        codes = F.normalize(self.embedding(which), dim=-1).flatten(-2) / len(self.varying) ** 0.5
        return F.pad(codes, (0, self.latent - codes.shape[-1]))


class JointCodes(nn.Module):
    """The same by one network over all features together, which learns faster where they do not vary independently."""

    offsets: Tensor
    highest: Tensor

    def __init__(self, cardinalities: tuple[int, ...], latent: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, *cardinalities[:-1]]).cumsum(0), persistent=False)
        self.register_buffer("highest", torch.tensor(cardinalities) - 1, persistent=False)
        self.embedding = nn.Embedding(sum(cardinalities), hidden)
        self.mix = nn.Sequential(nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, latent))

    def forward(self, features: Tensor) -> Tensor:
        features = torch.minimum(features.long(), self.highest)
        return F.normalize(self.mix(self.embedding(features + self.offsets).sum(-2)), dim=-1)


class CellEncoder(nn.Module):
    """Cells (..., F) int64 to symbols (...) int64: ground * T + token, as `hplan.levels.spaces.DiscreteMap` has them.

    `cells` (V, F - M) are the kinds of ground and `tokens` (T, M) those of the mover, whose features are `mover` (M,),
    the first token nothing; with no such features T = 1. `varying`: features that have a code, () for all; without a
    mover all have one together. A cell that is neither is the one with the nearest code. `strange`: what was so in the
    latest maps (B, H, W, F), or had not one mover, in words; by what it was.
    """

    cells: Tensor
    tokens: Tensor

    def __init__(
        self,
        *,
        inputs: tuple[int, ...],
        latent: int,
        cardinalities: tuple[int, ...],
        vocabulary: int,
        mover: tuple[int, ...] = (),
        tokens: int = 1,
        varying: tuple[int, ...] = (),
        hidden: int = 48,
        **_: Any,
    ) -> None:
        super().__init__()
        self.mover, self.ground = list(mover), [f for f in range(inputs[-1]) if f not in mover]
        self.register_buffer("cells", torch.zeros(vocabulary, len(self.ground), dtype=torch.long))
        self.register_buffer("tokens", torch.zeros(tokens, len(mover), dtype=torch.long))

        def codes(own: list[int]) -> FeatureCodes:
            sizes = tuple(cardinalities[f] for f in own)
            return FeatureCodes(sizes, latent, tuple(i for i, f in enumerate(own) if f in varying))

        self.ground_codes = codes(self.ground) if mover else JointCodes(cardinalities, latent, hidden)
        self.token_codes = codes(self.mover) if mover else None
        self.strange: dict[object, str] = {}

    def forward(self, cells: Tensor) -> Tensor:
        cells, self.strange = cells.long(), {}
        found = self._looked_up(cells, self.ground, self.cells, self.ground_codes)
        if self.token_codes is None:
            return found
        token = self._looked_up(cells, self.mover, self.tokens, self.token_codes)
        count = (token > 0).flatten(1).sum(1) if token.ndim > 2 else torch.ones(1)  # of maps alone
        if bool((count != 1).any()):
            wrong = int(count[count != 1][0])
            self.strange[wrong] = f"a map shows {wrong or 'no'} movers, where play always showed one"
        return found * len(self.tokens) + token

    def _looked_up(self, cells: Tensor, features: list[int], known: Tensor, codes: FeatureCodes | JointCodes) -> Tensor:
        """Some features of cells (..., F) -> (...): which row of `known` they are, or has the nearest code."""
        asked = cells[..., features]
        found, strange = _looked_up(asked, known, codes)
        for place in strange.nonzero().tolist() if strange.ndim > 1 and bool(strange.any()) else ():
            seen = tuple(asked[tuple(place)].tolist())
            if (*features, seen) not in self.strange:
                which, at = ", ".join(map(str, features)), ", ".join(map(str, place[-2:]))
                taken = tuple(known[found[tuple(place)]].tolist())
                self.strange[*features, seen] = (
                    f"cell ({at}) shows {seen} in features {which}, which play never met; it is taken for {taken}"
                )
        return found

    def codes(self) -> tuple[Tensor, Tensor | None]:
        """(V, latent) and (T, latent): what it says of the vocabulary now; differentiable."""
        return self.ground_codes(self.cells), None if self.token_codes is None else self.token_codes(self.tokens)


def _looked_up(features: Tensor, known: Tensor, codes: FeatureCodes | JointCodes) -> tuple[Tensor, Tensor]:
    """Features (..., F) -> (...): which row of `known` (V, F) they are, or has the nearest code; and (...) bool, where
    it is none of them."""
    weights = torch.cumprod(torch.cat([torch.ones(1, dtype=torch.long), codes.highest[:-1] + 1]), 0)
    flat, order = (known @ weights).sort()
    asked = torch.minimum(features, codes.highest) @ weights
    at = torch.searchsorted(flat, asked).clamp(max=len(flat) - 1)
    found, strange = order[at], flat[at] != asked
    if bool(strange.any()):
        found[strange] = (codes(features[strange]) @ codes(known).T).argmax(-1)
    return found, strange


class SlowSymbols(nn.Module):
    """Symbols (..., H, W) of the level below to those of this level: `table` (V below,) says which each of them is.

    The table is what a slow encoder (`hplan.levels.timescales`) tells apart of the codes below; nothing else can be
    met, so that the network is asked once, when the table is made.
    """

    table: Tensor

    def __init__(self, *, vocabulary: int, **_: Any) -> None:
        """`vocabulary`: symbols of the level below."""
        super().__init__()
        self.register_buffer("table", torch.zeros(vocabulary, dtype=torch.long))

    def forward(self, below: Tensor) -> Tensor:
        return self.table[below]

    def instance(self, z: Tensor) -> Tensor:
        """Symbols (...) -> for each the first one of the level below that it stands for."""
        return (self.table == z[..., None]).int().argmax(-1)
