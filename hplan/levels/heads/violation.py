"""The violation energy of a level: of steps in which play broke a rule, (B, *z), (B, *z) -> (B,); above 0 is forbidden.

A step of level k is one if any of the environment steps in it was. It is told by both of its ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.remembered import Remembered
from hplan.levels.stage import Stage, Stages, stage_seed
from hplan.levels.tables import Conditional

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

STEPS, BATCH = 600, 256
HARD = 8  # times as many steps that broke no rule are looked at as are learned from
MISSED, TAKEN = 0.01, 0.001  # shares of violations and of other steps that the threshold does not mind
TELLS = 0.5  # share of violations above the threshold, or the head is none
EXAMINED = 8192  # steps of either kind that the threshold is measured on
BROKE = 2  # True, as tables write it
KEPT = 50_000  # cells before and after whose energy is remembered


class VectorViolation(nn.Module):
    """Of vectors: a small network."""

    threshold: Tensor

    def __init__(self, *, latent: int, hidden: int = 64, rules: bool = True) -> None:
        """rules: whether play broke any; else it is about dead ends alone, and nothing is refused for them."""
        super().__init__()
        self.rules = rules
        self.network = nn.Sequential(mlp(2 * latent, hidden, 1), nn.Flatten(0))
        self.register_buffer("threshold", torch.tensor(0.0))  # logit above which a step is forbidden

    def forward(self, level: Level, z: Tensor, following: Tensor) -> Tensor:
        return self.network(torch.cat([z, following], -1)) - self.threshold

    softly = forward


class MapViolation(nn.Module):
    """Of maps: the most of any cell, each seen before and after. Many cells that look a little like it say no more than
    one does: maps may be larger than those of play, and show more of what must not be touched."""

    threshold: Tensor

    def __init__(self, *, channels: int, hidden: int = 24) -> None:
        super().__init__()
        self.cell = nn.Sequential(nn.Conv2d(2 * channels, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, 1, 1))
        self.bias = nn.Parameter(torch.tensor(-3.0))
        self.register_buffer("threshold", torch.tensor(0.0))
        self._forget()

    def train(self, mode: bool = True) -> Self:
        self._forget()
        return super().train(mode)

    def _forget(self) -> None:
        self._known, self._unchanged = Remembered(KEPT), np.zeros(0, np.float32)

    def forward(self, level: Level, z: Tensor, following: Tensor) -> Tensor:
        """Once trained, it looks at each symbol before and after once."""
        if self.training:
            return self._cells(level, z, following).amax(-1) + self.bias - self.threshold
        before, after = (each.flatten(1).numpy(force=True) for each in (z, following))
        energies, changed = self._of_unchanged(level)[before], np.nonzero(before != after)
        pairs = np.stack([before[changed], after[changed]], 1)
        energies[changed] = self._known(pairs, lambda new: self._of_pairs(level, torch.from_numpy(pairs[new])))
        return torch.from_numpy(energies.max(1)).to(z.device) + self.bias - self.threshold

    def _of_unchanged(self, level: Level) -> np.ndarray:
        """(V + 1,): the energy of each symbol that stays as it is, that of what lies outside last."""
        if not len(self._unchanged):
            symbols = torch.arange(level.space.outside + 1)
            self._unchanged = self._of_pairs(level, torch.stack([symbols, symbols], 1))
        return self._unchanged

    def _of_pairs(self, level: Level, pairs: Tensor) -> np.ndarray:
        """Symbols before and after (N, 2) -> (N,)."""
        before, after = pairs.to(self.bias.device).T
        return self._cells(level, before[:, None, None], after[:, None, None])[:, 0].numpy(force=True)

    def softly(self, level: Level, z: Tensor, following: Tensor) -> Tensor:
        """No less than the most, and with a gradient for all cells: to learn from."""
        return self._cells(level, z, following).logsumexp(-1) + self.bias - self.threshold

    def _cells(self, level: Level, z: Tensor, following: Tensor) -> Tensor:
        cells = torch.cat([level.space.embed(z), level.space.embed(following)], -1).movedim(-1, 1)
        return self.cell(cells)[:, 0].flatten(1)


class TableViolation(nn.Module):
    """Of counted variables: a table of what both ends of a step decide, and play mostly broke a rule there."""

    def __init__(self, *, columns: int, **sizes: int) -> None:
        """`sizes`: of the table (`Conditional.sizes`)."""
        super().__init__()
        self.broke = Conditional(macros=1, columns=columns, **sizes)

    def forward(self, level: Level, z: Tensor, following: Tensor) -> Tensor:
        rows = self.broke.rows(torch.zeros(len(z), dtype=torch.long), level.dynamics.columns(z, following))
        return self.broke.chance(rows, torch.full_like(rows, BROKE)) - 0.5


def dead_ends(play: Play) -> Tensor:
    """(N,) bool: steps that ended an episode without success. Nothing comes after."""
    ended = torch.zeros_like(play.violation)
    ended[:-1] = play.terminated[1:]
    return ended & ~play.success


def violation_stages(level: Level, play: Play, latents: Tensor, seed: int, ends: Tensor | None = None) -> Stages:
    """Give the level a violation head, and train it on frozen latents (N, *z) of all rows. Half of each batch broke a
    rule, and the others are those of several times as many that look most like it (online hard example mining;
    Shrivastava et al., 2016), successes among them: what is rare and allowed must not be forbidden. Its zero lies half
    way between violations and other steps, a few of either left out. `ends` (N,) bool: steps that are as bad.

    There is no such head where play broke none, or where latents do not tell."""
    stride = 1 if level.capabilities.discrete else round(level.stride)
    wrong = play.violation if ends is None else play.violation | ends
    if not bool(wrong.any()):
        return
    begin = play.starts(stride)
    broke, solved = (_in_steps(each, begin, stride) for each in (wrong, play.success))
    kinds, rare = (begin[broke], begin[~broke]), begin[solved & ~broke]
    if not len(kinds[0]) or not len(kinds[1]):
        return
    name = f"level{level.index}-violation"
    torch.manual_seed(stage_seed(seed, name))
    if level.capabilities.discrete:
        level.parts["violation"] = {"kind": "map", "channels": level.space.channels}
    else:
        level.parts["violation"] = {"kind": "vector", "latent": level.space.size}
        if not bool(play.violation.any()):
            level.parts["violation"]["rules"] = False
    head = level.made_anew("violation")

    def pairs(rows: Tensor) -> tuple[Tensor, Tensor]:
        return latents[rows], latents[rows + stride]

    def classification(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        bad, other = (
            kind[torch.randint(len(kind), (size,), generator=generator)]
            for kind, size in zip(kinds, (BATCH // 2, HARD * BATCH // 2), strict=True)
        )
        if len(rare):
            other[: BATCH // 2] = rare[torch.randint(len(rare), (BATCH // 2,), generator=generator)]
        with torch.no_grad():
            hardest = head.softly(level, *pairs(other)).topk(BATCH // 2).indices
        logits, broken = head.softly(level, *pairs(torch.cat([bad, other[hardest]]))), torch.arange(BATCH) < BATCH // 2
        loss = F.binary_cross_entropy_with_logits(logits, broken.float())
        return loss, {"accuracy": ((logits > 0) == broken).float().mean()}

    head.requires_grad_(True)
    yield Stage(name, head, classification, STEPS, lr=3e-3)
    head.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        some = [kind[torch.randperm(len(kind), generator=generator)[:EXAMINED]] for kind in (*kinds, rare)]
        some = some[0], torch.cat(some[1:])
        bad, good = (torch.cat([head(level, *pairs(few)) for few in rows.split(512)]) for rows in some)
    least, most = bad.quantile(MISSED), good.quantile(1 - TAKEN)
    head.threshold.copy_(torch.maximum((least + most) / 2, most))
    if float((bad > head.threshold).float().mean()) < TELLS:
        level.violation_head = None


def _in_steps(flags: Tensor, begin: Tensor, stride: int) -> Tensor:
    """(N,) bool, (K,) -> (K,) bool: whether any of the `stride` transitions from each of these rows has it."""
    passed = torch.cat([torch.zeros(1, dtype=torch.long), flags.long().cumsum(0)])
    return passed[begin + stride] > passed[begin]
