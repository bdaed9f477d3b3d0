"""What a latent looks like: the observation that the encoders would make it of, as far as that can be told.

No decoder is learned. Symbols are looked up; of vectors, the encoders are inverted where somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from hplan.levels.heads.landmarks import nearest_landmark

if TYPE_CHECKING:
    from hplan.levels.level import Level

SEEDS, RANGE = 2048, 2.5  # observations that an inversion may begin at, and how many deviations around play's mean
BEGINNINGS, BADLY = 3, 1.0  # where the first leads no nearer than so many steps, the next is tried
ITERATIONS = 2  # of Gauss and Newton, at level 0
DAMPING = 1e-4  # share of a squared step of the level; of numbers that the encoder does not read, nothing can be told
NUDGE = 0.01  # deviations by which an observation is moved to see what that changes


class Readout(Protocol):
    """`encode`: observations (B, ...) in canonical form -> (B, *z); `read`: the other way. `around`: (B, *z), margin ()
    -> (N, B, ...): those that the latents look like, and such as are that many steps of the level away, each number for
    itself."""

    def encode(self, x: Tensor) -> Tensor: ...

    def read(self, z: Tensor) -> Tensor: ...

    def around(self, z: Tensor, margin: float) -> Tensor: ...


class SymbolReadout:
    """Of cells: the ground's features and the mover's, as their vocabularies have them. Predictions are exact or wrong,
    and no margin helps."""

    def __init__(self, level: Level) -> None:
        self.level, self.encoder = level, level.encoder

    def encode(self, x: Tensor) -> Tensor:
        return self.level.encode(x)

    def read(self, z: Tensor) -> Tensor:
        encoder = self.encoder
        tokens = len(encoder.tokens)
        found = torch.empty((*z.shape, len(encoder.ground) + len(encoder.mover)), dtype=torch.long, device=z.device)
        found[..., encoder.ground] = encoder.cells[z // tokens]
        found[..., encoder.mover] = encoder.tokens[z % tokens]
        return found

    def around(self, z: Tensor, margin: float) -> Tensor:
        return self.read(z)[None]


class VariableReadout:
    """Of counted variables: what they are, as they are. No margin helps."""

    def __init__(self, level: Level) -> None:
        self.level, self.read = level, level.encoder.numbers

    def encode(self, x: Tensor) -> Tensor:
        return self.level.encode(x)

    def around(self, z: Tensor, margin: float) -> Tensor:
        return self.read(z)[None]


class VectorReadout:
    """Of vectors: the observation x that minimises the distance between E(x) and a latent, by damped steps of Gauss and
    Newton from the nearest of `SEEDS` observations drawn over play's range (Levenberg, 1944). Of these the slopes are
    known, so that the first step costs nothing, and it is the only one above level 0."""

    def __init__(self, levels: Sequence[Level]) -> None:
        """Of the last of these levels, which are all up to it."""
        self.levels, self.level, encoder = levels, levels[-1], levels[0].encoder
        level, self.iterations = self.level, ITERATIONS if len(levels) == 1 else 1
        self.scale: Tensor = encoder.scale
        self.damping = DAMPING * level.space.unit.square() * torch.eye(len(self.scale), device=self.scale.device)
        draws = torch.rand(SEEDS, len(self.scale), generator=torch.Generator().manual_seed(0)).to(self.scale)
        self.seeds = encoder.mean + RANGE * self.scale * (2 * draws - 1)

    @cached_property
    def known(self) -> tuple[Tensor, Tensor]:
        """Latents of the seeds and the slopes there: as long to find as many a plan, and only where somebody reads."""
        return self._slopes(self.seeds)

    def encode(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D')."""
        for level in self.levels:
            x = level.encode(x)
        return x

    def read(self, z: Tensor) -> Tensor:
        return self._read(z)[0]

    def around(self, z: Tensor, margin: float) -> Tensor:
        x, slopes = self._read(z)
        if not margin:
            return x[None]
        steps = slopes.norm(dim=-1) / self.level.space.unit  # that one deviation of each number is
        away = torch.diag_embed(self.scale * (margin / steps).clamp(max=1))  # where too little is known, a deviation
        return torch.cat([x[None], (x[:, None] + away).movedim(1, 0), (x[:, None] - away).movedim(1, 0)])

    def _read(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D') -> what it looks like (B, D), and the slopes there (B, D, D')."""
        x, slopes, left = self._descended(nearest_landmark(z, self.known[0]), z)
        badly = left > BADLY
        if bool(badly.any()):
            others = torch.cdist(z[badly], self.known[0]).topk(BEGINNINGS, largest=False).indices.T[1:]
            for seed in others:
                again = self._descended(seed, z[badly])
                better = again[-1] < left[badly]
                for all_of, part in zip((x, slopes, left), again, strict=True):
                    all_of[badly] = torch.where(better.view(-1, *(1,) * (part.ndim - 1)), part, all_of[badly])
        return x, slopes

    def _descended(self, seed: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From these seeds (B,) towards what looks like z (B, D'): where that leads (B, D), the slopes (B, D, D') that
        led there, and how many steps it is off, as these have it (B,)."""
        x, here, slopes = self.seeds[seed], *(known[seed] for known in self.known)
        for left in range(self.iterations)[::-1]:
            step = torch.linalg.solve(slopes @ slopes.mT + self.damping, (slopes @ (z - here)[..., None])[..., 0])
            step = step.clamp(-1, 1)  # in deviations
            x, here = x + self.scale * step, here + (step[:, None] @ slopes)[:, 0]
            if left:
                here, slopes = self._slopes(x)
        return x, slopes, self.level.distance(here, z)

    def _slopes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> its latents (B, D'), and by how much each number changes them, (B, D, D') a deviation."""
        nudged = x[:, None] + NUDGE * torch.diag(self.scale)
        latents = self.encode(torch.cat([x[:, None], nudged], 1))
        return latents[:, 0], (latents[:, 1:] - latents[:, :1]) / NUDGE


def readout_of(levels: Sequence[Level]) -> Readout | None:
    """Of the last of these levels, which are all up to it; None where its latents cannot be read."""
    encoder, discrete = getattr(levels[0], "encoder", None), any(level.capabilities.discrete for level in levels)
    if len(levels) == 1 and all(hasattr(encoder, name) for name in ("cells", "tokens", "ground", "mover")):
        return SymbolReadout(levels[0])
    if len(levels) == 1 and hasattr(encoder, "numbers"):
        return VariableReadout(levels[0])
    return VectorReadout(levels) if hasattr(encoder, "scale") and hasattr(encoder, "mean") and not discrete else None
