"""What a latent of level 0 looks like: the observation that its encoder would make it of, as far as that can be told.

No decoder is learned. Symbols are looked up; of vectors, the encoder is inverted where somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from hplan.types import UsageError

if TYPE_CHECKING:
    from hplan.levels.level import Level

SEEDS, RANGE = 2048, 2.5  # observations that an inversion may begin at, and how many deviations around play's mean
BEGINNINGS, BADLY = 3, 1.0  # where the first leads no nearer than so many steps, the next is tried
ITERATIONS = 2  # of Gauss and Newton
DAMPING = 1e-4  # share of a squared step of the level; of numbers that the encoder does not read, nothing can be told
NUDGE = 0.01  # deviations by which an observation is moved to see what that changes


class Readout(Protocol):
    """`read`: (B, *z) -> observations (B, ...) in canonical form. `around`: (B, *z), margin () -> (N, B, ...): those
    that the latents look like, and such as are that many steps of the level away, each number for itself. real (K,
    *z): latents of observations all over play's range; None where that is no help."""

    @property
    def real(self) -> Tensor | None: ...

    def read(self, z: Tensor) -> Tensor: ...

    def around(self, z: Tensor, margin: float) -> Tensor: ...


class SymbolReadout:
    """Of cells: the ground's features and the mover's, as their vocabularies have them. Predictions are exact or wrong,
    and no margin helps."""

    real = None

    def __init__(self, level: Level) -> None:
        self.encoder = level.encoder

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

    real = None

    def __init__(self, level: Level) -> None:
        self.read = level.encoder.numbers

    def around(self, z: Tensor, margin: float) -> Tensor:
        return self.read(z)[None]


class VectorReadout:
    """Of vectors: the observation x that minimises the distance between E_0(x) and a latent, by damped steps of Gauss
    and Newton from the nearest of `SEEDS` observations drawn over play's range (Levenberg, 1944)."""

    def __init__(self, level: Level) -> None:
        self.level, encoder = level, level.encoder
        self.scale: Tensor = encoder.scale
        draws = torch.rand(SEEDS, len(self.scale), generator=torch.Generator().manual_seed(0))
        self.seeds = encoder.mean + RANGE * self.scale * (2 * draws - 1)
        self.latents = level.encode(self.seeds)
        judge = level.compatibility
        likely = self.latents if judge is None else self.latents[judge(self.latents, self.latents) <= 0]
        self.real = likely if len(likely) else self.latents

    def read(self, z: Tensor) -> Tensor:
        near = torch.cdist(z, self.latents).topk(BEGINNINGS, largest=False).indices
        x = self._descended(self.seeds[near[:, 0]], z)
        left = self._off(x, z)
        for other in near.T[1:]:
            badly = left > BADLY
            if not bool(badly.any()):
                break
            again = self._descended(self.seeds[other[badly]], z[badly])
            off = self._off(again, z[badly])
            x[badly] = torch.where((off < left[badly])[:, None], again, x[badly])
            left[badly] = torch.minimum(off, left[badly])
        return x

    def _descended(self, x: Tensor, z: Tensor) -> Tensor:
        """From x (B, D) towards what looks like z (B, D')."""
        damping = DAMPING * self.level.space.unit.square() * torch.eye(x.shape[1], device=z.device)
        for _ in range(ITERATIONS):
            here, slopes = self._slopes(x)  # per deviation
            step = torch.linalg.solve(slopes @ slopes.mT + damping, (slopes @ (z - here)[..., None])[..., 0])
            x = x + self.scale * step.clamp(-1, 1)
        return x

    def _off(self, x: Tensor, z: Tensor) -> Tensor:
        return self.level.distance(self.level.encode(x), z)

    def around(self, z: Tensor, margin: float) -> Tensor:
        x = self.read(z)
        if not margin:
            return x[None]
        steps = self._slopes(x)[1].norm(dim=-1) / self.level.space.unit  # that one deviation of each number is
        away = torch.diag_embed(self.scale * (margin / steps.clamp(min=margin)))  # at most a deviation
        return torch.cat([x[None], (x[:, None] + away).movedim(1, 0), (x[:, None] - away).movedim(1, 0)])

    def _slopes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> its latents (B, D'), and by how much each number changes them, (B, D, D') a deviation."""
        nudged = x[:, None] + NUDGE * torch.diag(self.scale)
        latents = self.level.encode(torch.cat([x[:, None], nudged], 1))
        return latents[:, 0], (latents[:, 1:] - latents[:, :1]) / NUDGE


def readout_of(level: Level) -> Readout:
    """Raises UsageError where latents of this level 0 cannot be read."""
    encoder = level.encoder
    if all(hasattr(encoder, name) for name in ("cells", "tokens", "ground", "mover")):
        return SymbolReadout(level)
    if hasattr(encoder, "numbers"):
        return VariableReadout(level)
    if hasattr(encoder, "scale") and hasattr(encoder, "mean"):
        return VectorReadout(level)
    raise UsageError(
        f"a constraint on observations: what {type(encoder).__name__} encodes cannot be read from its latents; give an "
        "energy over level-0 latents (with a `threshold`)"
    )
