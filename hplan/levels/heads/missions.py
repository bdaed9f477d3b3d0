"""What play asked for, and what a success head learns to read it from; of maps also what tells that it was done, which
is counted before.

Rows of play that were rewarded show symbols that no others do. Where several missions were asked for, each has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hplan.reading import Words

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

BATCH = 128
LOOKED = 4096  # rows, at the most, that tell which part of a cell decides, of those rewarded and of the others
CHANCE = 0.01  # share of them that may be otherwise
MOSTLY = 0.3  # more often in rewarded maps than in others, from which a ground tells success though others say no
HARD = 8  # times as many rows without success are looked at as are learned from: those most like success
DROPPED = 0.25  # of a batch sees no mission, so that a goal without one still means any success
# Another share sees it with words left out (word dropout; Iyyer et al., 2015), few or many: others say it in fewer.
SHORTENED = 0.25


def with_code(z: Tensor, mission: Tensor | None, size: int) -> Tensor:
    """What a head reads of latents (..., D): them, and the code of a mission (K,), or (B, K) of each row; zeros where
    none is known, and nothing for a head that reads none."""
    if not size:
        return z
    code = z.new_zeros(size) if mission is None else mission.to(z)
    code = code.view(len(code), *[1] * (z.ndim - 2), size) if code.ndim > 1 else code
    return torch.cat([z, code.expand(*z.shape[:-1], size)], -1)


def asked_of(play: Play) -> tuple[Tensor, Tensor]:
    """Codes (M, K) of what episodes of play asked for, each once, and which of them each row (N,) was."""
    assert play.reading is not None
    missions = sorted(set(play.missions), key=str)
    number = {mission: i for i, mission in enumerate(missions)}
    codes = torch.from_numpy(np.stack([play.reading.code(mission) for mission in missions]))
    return codes, torch.tensor([number[mission] for mission in play.missions])[play.episode]


def looked_at(rows: Tensor) -> Tensor:
    """Of rows (K,), as many as are looked at, evenly."""
    return rows[torch.linspace(0, len(rows) - 1, min(len(rows), LOOKED)).long()]


def decisive(
    space: Any, latents: Callable[[Tensor], Tensor], positive: Tensor, negative: Tensor
) -> tuple[tuple[bool, bool], Tensor] | None:
    """Whether the ground and the mover of a cell are needed to tell rows of play that were rewarded (K,) from those
    that were not; and (V + 1,) bool, which symbols tell it. None where no single cell does.

    By counts: some of these symbols are in the rewarded maps, and in none of the others. What play shows a part to
    decide is decided by it: what else was there may have been chance. A network that is told no more than the two kinds
    of map settles for less: with the key in hand in every rewarded one, and in a sixth of the others, it never looks at
    the door.
    """
    evenly = [looked_at(rows) for rows in (positive, negative)]
    rewarded, others = ([latents(some).flatten(1) for some in rows.split(512)] for rows in evenly)
    symbols = torch.arange(space.outside + 1)
    for needed, kinds in (
        ((False, True), symbols % space.tokens),
        ((True, False), symbols // space.tokens),
        ((True, True), symbols),
    ):
        size = int(kinds.max()) + 1
        if size == 1:  # no mover apart from the ground
            continue
        there, elsewhere = (
            torch.cat([torch.zeros(len(z), size, dtype=torch.bool).scatter_(1, kinds[z], True) for z in maps])
            for maps in (rewarded, others)
        )
        tells = there.any(0) & (elsewhere.float().mean(0) <= CHANCE / size)
        if there[:, tells].any(1).float().mean() >= 1 - CHANCE:
            return needed, tells[kinds]
    return None


def mostly(
    space: Any, latents: Callable[[Tensor], Tensor], positive: Tensor, negative: Tensor
) -> tuple[Tensor, float] | None:
    """(V + 1,) bool: symbols of the ground that rewarded maps show much more often than others do (Youden, 1950), where
    none tells for certain, since what decides cannot all be seen; and by how much. None where no ground does."""
    shares = []
    for rows in (positive, negative):
        if not len(rows):
            return None
        there = [
            torch.zeros(len(part), space.outside // space.tokens + 1).scatter_(
                1, latents(part).flatten(1) // space.tokens, 1.0
            )
            for part in looked_at(rows).split(512)
        ]
        shares.append(torch.cat(there).mean(0))
    told, best = (shares[0] - shares[1])[:-1].max(0)
    return (torch.arange(space.outside + 1) // space.tokens == best, float(told)) if told >= MOSTLY else None


@dataclass(frozen=True)
class Even:
    """Rows (K,) by group, where those of each begin and how many they are: every group is drawn as often."""

    rows: Tensor
    first: Tensor
    counts: Tensor

    @staticmethod
    def of(rows: Tensor, group: Tensor) -> Even:
        """group (N,) int64: of each row that there is."""
        rows = rows[group[rows].argsort(stable=True)]
        _, counts = group[rows].unique_consecutive(return_counts=True)
        return Even(rows, counts.cumsum(0) - counts, counts)

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        group = torch.randint(len(self.counts), (count,), generator=generator)
        within = torch.rand(count, generator=generator, dtype=torch.float64) * self.counts[group]
        return self.rows[self.first[group] + within.long()]


@dataclass(frozen=True)
class Telling:
    """What tells success of each of M missions over maps of V symbols, as counted.

    sees (M, 2) bool: whether success is a matter of the ground, of the mover; tells (M, V + 1) bool: which symbols tell
    it, and never (M, V + 1) bool: which do not, whether play showed them or not. told (M,): how surely, from 0 to 1.
    """

    sees: Tensor
    tells: Tensor
    never: Tensor
    told: Tensor

    def where(self, z: Tensor, missions: Tensor, rewarded: Tensor) -> Tensor:
        """(B, H, W) bool: the cells that may tell success of maps z with missions (B,): any, but where these were
        rewarded. There, one that play shows to tell it, or else another that is there by chance learns to."""
        tells = self.tells[missions[:, None, None], z]
        return tells | ~(rewarded & tells.flatten(1).any(1))[:, None, None]

    def own(self, latents: Callable[[Tensor], Tensor], rows: Tensor, of: Tensor) -> Tensor:
        """(K,) bool: rows whose map has a symbol that tells success of their mission of (N,)."""
        parts = [self.tells[of[part][:, None, None], latents(part)].flatten(1).any(1) for part in rows.split(512)]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.bool)

    def of(self, z: Tensor, missions: Tensor) -> Tensor:
        """(B,) bool: a map has a symbol that tells success of one of these missions, (B, M) float."""
        return (missions @ self.tells.float()).gather(1, z.flatten(1)).any(1)


@dataclass(frozen=True)
class Asked:
    """What rows of play were asked for.

    codes (M, K): one for each mission; of (N,) int64: which is each row's; apart (M, M) bool: success of which is none
    of which; parted: a part of a code is one, too, of fewer words; met: missions that succeeded. The rest: rows that
    were rewarded; those that were not, but had a mission that was; those that were not; and over maps, what tells it.
    """

    codes: Tensor
    of: Tensor
    apart: Tensor
    parted: bool
    met: int
    positive: Even
    negative: Even
    other: Tensor
    telling: Telling | None

    @staticmethod
    def of_play(
        play: Play,
        success: Tensor,
        judged: Tensor,
        space: Any,
        latents: Callable[[Tensor], Tensor],
        *,
        noisy: bool = False,
    ) -> Asked:
        """play: with a reading of its missions. success, judged (N,) bool: rows that a rewarded step ended in; and
        those that could have been. What tells is counted for words alone: numbers are others each time. `noisy`: what
        mostly tells is taken for it, and rows that say otherwise are left out."""
        reading = play.reading
        assert reading is not None
        codes, of = asked_of(play)
        met = torch.zeros(len(codes), dtype=torch.bool)
        met[of[success]] = True
        positive, negative, other = (
            torch.nonzero(rows)[:, 0] for rows in (success, ~success & judged & met[of], ~success & judged)
        )
        telling = None
        if space.discrete:
            sees = torch.ones(len(codes), 2, dtype=torch.bool)
            tells = torch.zeros(len(codes), space.outside + 1, dtype=torch.bool)
            told = torch.zeros(len(codes))
            counted = torch.nonzero(met)[:, 0].tolist() if isinstance(reading, Words) else []
            for mission in counted:
                own = [rows[of[rows] == mission] for rows in (positive, negative)]
                if noisy:
                    ground = mostly(space, latents, *own)
                    found = None if ground is None else ((True, False), *ground)
                else:
                    certain = decisive(space, latents, *own)
                    found = None if certain is None else (*certain, 1.0)
                if found is not None:
                    sees[mission], tells[mission], told[mission] = torch.tensor(found[0]), found[1], found[2]
            telling = Telling(sees, tells, _never(tells, sees, space.tokens), told)
            if noisy:
                positive, negative, other = (
                    rows[telling.own(latents, rows, of) == rewarded]
                    for rows, rewarded in ((positive, True), (negative, False), (other, False))
                )
        apart = torch.from_numpy(reading.apart(codes.numpy()))
        parted = isinstance(reading, Words) and bool((codes.sum(1) > 1).any())
        drawn = Even.of(positive, of), Even.of(negative, of), other
        return Asked(codes, of, apart, parted, int(met.sum()), *drawn, telling)

    @property
    def told(self) -> float:
        """Of how many missions symbols tell success; one that is told in half the cases more is half a mission."""
        return float(self.telling.told.sum()) if self.telling else 0.0

    def drawn(
        self, level: Level, latents: Callable[[Tensor], Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """(B,) rows, and missions to read with them. Half a batch was rewarded; then as many that were not: half of
        them of the same missions, or a mission alone would tell success, and a quarter of any, with a mission that they
        do not tell success of, or what its own play never met might be one. An eighth more was success of another
        mission that is none of the one that is read.

        Rows of the first two are the ones that the head takes for success most (online hard example mining; Shrivastava
        et al., 2016): in one of ten a key is in hand, and the door is not open yet.
        """
        half, foreign = BATCH // 2, self.positive(BATCH // 8, generator)
        near, other, strange = (
            self.negative(HARD * half // 2, generator),
            *(self.other[torch.randint(len(self.other), (n * half // 4,), generator=generator)] for n in (1, HARD)),
        )
        told = torch.nonzero(self.telling.tells.any(1))[:, 0] if self.telling else self.of[:0]
        asked = told[torch.randint(len(told), strange.shape, generator=generator)] if len(told) else self.of[strange]
        with torch.no_grad():
            near = near[self._like(level, latents(near), self.of[near]).topk(half // 2)[1]]
            z = latents(strange)
            like = self._like(level, z, asked)
            if self.telling:
                like = like.masked_fill(self.telling.of(z, (~self.apart[asked]).float()), -torch.inf)
            most = like.topk(half // 4)[1]
        rows = torch.cat([self.positive(half, generator), near, other])
        own = self.of[foreign]
        chance = self.apart[own].float()
        chance[torch.arange(len(own)), own] += (chance.sum(1) == 0).float()  # or else its own
        missions = torch.multinomial(chance, 1, generator=generator)[:, 0]
        return torch.cat([rows, strange[most], foreign]), torch.cat([self.of[rows], asked[most], missions])

    def _like(self, level: Level, z: Tensor, missions: Tensor) -> Tensor:
        """(B,): how much latents look like success of these missions (B,)."""
        return level.success_head(level.asked(self.codes[missions]), z)

    def strange(self, level: Level, generator: torch.Generator) -> Tensor:
        """(B,): the loss of single symbols that tell no success of a mission, those that the head takes for it most.
        Most of them play never met: it would have to be in a red doorway with the red key, and look up."""
        never = self.telling.never if self.telling else self.apart[:, :0]
        told = torch.nonzero(never.any(1))[:, 0]
        if not len(told):
            return self.codes.new_zeros(1)
        count = never.shape[1] - 1
        missions = told[torch.randint(len(told), (HARD * BATCH,), generator=generator)]
        symbols = torch.randint(count, missions.shape, generator=generator)
        with torch.no_grad():
            logits = self._like(level, symbols[:, None, None], missions)
            most = logits.masked_fill(~never[missions, symbols], -torch.inf).topk(BATCH // 2)[1]
        logits = self._like(level, symbols[most][:, None, None], missions[most])
        return F.softplus(logits) * never[missions[most], symbols[most]]

    def solved(self, z: Tensor, codes: Tensor) -> Tensor:
        """(B,) bool: a latent shows success of some mission that has all these words (B, K), and may have others."""
        if self.telling is None:
            return torch.zeros(len(z), dtype=torch.bool)
        return self.telling.of(z, (codes @ (1 - self.codes).T == 0).float())

    def read(self, missions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(B, K), codes of missions (B,), with all, some or none of their words; (B,) bool: which have all. Of numbers
        all or none."""
        codes, share = self.codes[missions], torch.rand(len(missions), generator=generator)
        some = codes * (torch.rand(codes.shape, generator=generator) >= torch.rand(len(codes), 1, generator=generator))
        shortened = SHORTENED * self.parted
        kept = share >= DROPPED + shortened
        return torch.where(kept[:, None], codes, some * (share >= DROPPED)[:, None]), kept


def _never(tells: Tensor, sees: Tensor, tokens: int) -> Tensor:
    """As `Asked.never`: symbols of a ground that none which tells success has, where it is a matter of the ground. Of
    the mover, play may not have shown all ways to look. tells (M, V + 1), sees (M, 2) bool."""
    symbols = torch.arange(tells.shape[1])
    found = torch.zeros_like(tells)
    for mission in torch.nonzero(tells.any(1) & sees[:, 0])[:, 0].tolist():
        found[mission] = ~torch.isin(symbols // tokens, symbols[tells[mission]] // tokens)
    return found
