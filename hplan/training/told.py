"""Numbers of a vector that latents of level 0 do not tell, though each can be foretold.

    lost  =  rms( o - read(z) ) > LOST deviations        of a number o that is lawful, in episodes that `read` never saw
    lawful:  the next one is told by observation and action to within LAWFUL of its deviation

Latents that tell of a few numbers only, such as velocities, can be as far apart as objectives want, and foretold
without error: collapse to what is easy to foretell (Sobal et al., 2022, arXiv 2211.10831). Then level 0 is trained
again, and its latents have to tell all that is lawful. What is noise it may forget.
"""

from __future__ import annotations

from collections.abc import Generator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp, standardised
from hplan.levels.level import Level
from hplan.levels.stage import Curve, Stage, stage_seed
from hplan.play.play import Play
from hplan.training.history import LEAST, errors, judged_on

LAWFUL, LOST = 0.5, 0.5
STEPS, BATCH, HIDDEN = 1000, 256, 128


class Reader(nn.Module):
    """Reads numbers off latents."""

    def __init__(self, latent: int, numbers: Tensor, hidden: int = HIDDEN) -> None:
        """`numbers` (D,) bool: those of an observation that are read."""
        super().__init__()
        self.numbers, self.network = numbers, mlp(latent, hidden, int(numbers.sum()))

    def loss(self, z: Tensor, seen: Tensor) -> Tensor:
        """z (B, latent); seen (B, D): standardised observations."""
        return F.mse_loss(self.network(z), seen[:, self.numbers])


def lost_stages(level: Level, play: Play, seed: int) -> Generator[Stage, Curve, tuple[Tensor, Tensor]]:
    """(D,) bool twice: the lawful numbers of observations (N, D), and those of them that a trained level 0 lost."""
    lawful, seen = lawful_numbers(play, seed), standardised(play.below.float())
    if not bool(lawful.any()):
        return lawful, lawful
    with torch.random.fork_rng():  # what nothing is lost of is trained as if nobody had looked
        torch.manual_seed(stage_seed(seed, "level0-told"))
        reader = Reader(level.space.size, lawful)
    rows, odd = judged_on(play, seed)
    learned, tested = rows[~odd], rows[odd]

    def reading(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at = learned[torch.randint(len(learned), (BATCH,), generator=generator)]
        loss = reader.loss(level.encode(play.below[at]), seen[at])
        return loss, {"off": loss.detach().sqrt()}

    yield Stage("level0-told", reader, reading, STEPS, lr=2e-3)
    with torch.no_grad():
        off = (reader.network(level.encode(play.below[tested])) - seen[tested][:, lawful]).square().mean(0).sqrt()
    lost = torch.zeros_like(lawful)
    lost[lawful] = off > LOST
    return lawful, lost


@torch.no_grad()
def lawful_numbers(play: Play, seed: int) -> Tensor:
    """(D,) bool: none where play is too short to judge by."""
    seen = play.below.double()
    rows, odd = judged_on(play, seed)
    if min(int(odd.sum()), int((~odd).sum())) < LEAST:
        return torch.zeros(seen.shape[1], dtype=torch.bool)
    change, deviation = seen[rows + 1] - seen[rows], seen.std(0)
    size = (change - change.mean(0)).abs().mean(0)
    off = errors(play, rows, odd, 1, seed) * size
    return (off <= LAWFUL * deviation) & (deviation > 0) & ~_looked_past(play)


def _looked_past(play: Play) -> Tensor:
    """(D,) bool: numbers that level 0 does not look at."""
    ignored = torch.zeros(play.below.shape[1], dtype=torch.bool)
    ignored[list(play.asking)] = True
    return ignored
