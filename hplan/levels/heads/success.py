"""The success energy of a level: a classifier of latents that play was rewarded in, (B, *z) -> (B,) logits.

Where play asked for one thing in one episode and for another in the next, in words (`Play.missions`), what counts as
success is a matter of its mission: `MapSuccess` reads its words beside the latent. Words are a bag: their order tells
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.stage import Curve, Loss, Stage, Stages, stage_seed

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

STEPS, BATCH = 600, 128
SPURIOUS = 0.02  # loss by a unit that it says otherwise for the ground where the mover decides, or the other way round
LOOKED = 4096  # rows, at the most, that tell which part of a cell decides, of those rewarded and of the others
CHANCE = 0.01  # share of them that may be otherwise
READING = 2  # times as many steps where missions are read
TOLD = 0.1  # loss at the end, above which a classifier may have begun badly
BEGINNINGS = 4  # at the most, of which the best is kept
HARD = 8  # times as many rows without success are looked at as are learned from: those most like success
LATEST = 5  # points of a curve that tell the loss at its end
QUERIES = 8  # ways in which a cell may match a mission: "the blue ball" is a ball and blue where the words say so
DROPPED = 0.25  # of a batch sees no mission, so that a goal without one still means any success
# Another share sees it with words left out (word dropout; Iyyer et al., 2015), few or many: others say it in fewer.
SHORTENED = 0.25


class VectorSuccess(nn.Module):
    """Of a vector: a small network."""

    def __init__(self, *, latent: int, hidden: int = 64) -> None:
        super().__init__()
        self.network = nn.Sequential(mlp(latent, hidden, 1), nn.Flatten(0))

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return self.network(z)


class MapSuccess(nn.Module):
    """Of a map: the log-sum-exp over cells, so that one cell can say so.

    Cells speak for themselves alone: with their neighbours in view, a few dozen rewards of play are learned by heart.
    words: that missions are made of; with any, a cell is seen by how well its ground and the mover in it match what the
    mission asks for, in `QUERIES` ways, and by nothing else. So what is blue is blue, whatever thing it is.
    """

    def __init__(
        self,
        *,
        channels: int,
        hidden: int = 24,
        words: tuple[str, ...] = (),
        reads: tuple[int, ...] = (),
        ground: int = 0,
        missions: tuple[str, ...] = (),
    ) -> None:
        """`missions`: those that succeeded in play. `reads`: the first channel of a cell that is read and the one after
        the last; () for all of them. `ground`: of those that are read, how many are the ground's; 0 where there is
        nothing else."""
        super().__init__()
        self.missions = tuple(missions)
        self.words, self.reads = words, slice(*reads) if reads else slice(None)
        channels = len(range(channels)[self.reads])
        self.parts = [slice(0, ground), slice(ground, channels)] if 0 < ground < channels else [slice(0, channels)]
        if words:
            self.query = nn.Linear(len(words), QUERIES * channels)
            channels = QUERIES * len(self.parts)
        self.cell = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1))
        self.bias = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Of its own; those of its parts are theirs."""
        nn.init.constant_(self.bias, -3.0)

    def nearest(self, mission: str) -> str:
        """The mission that succeeded in play and has most words in common with this one, of those that either has
        (Jaccard, 1901); itself where there is none."""
        asked = set(words_of(mission))

        def alike(other: str) -> float:
            words = set(words_of(other))
            return len(asked & words) / len(asked | words)

        return max(self.missions, key=alike, default=mission)

    def bag(self, mission: str) -> Tensor:
        """(words,) float: 1 for each word of the vocabulary that the mission has."""
        there = set(words_of(mission))
        return torch.tensor([float(word in there) for word in self.words], device=self.bias.device)

    def forward(
        self,
        level: Level,
        z: Tensor,
        mission: Tensor | None = None,
        *,
        sees: Tensor | None = None,
        where: Tensor | None = None,
    ) -> Tensor:
        """z (B, *z), mission (words,) or (B, words): a bag for all or for each, None or zeros where none is known.
        sees (B, parts) bool: which parts of a cell may match the mission; where (B, H, W) bool: which cells may say so;
        None: all."""
        cells = level.space.embed(z)[..., self.reads].movedim(-1, 1)
        if self.words:
            bags = cells.new_zeros(len(self.words)) if mission is None else mission
            query = self.query(bags).view(-1, QUERIES, cells.shape[1]).expand(len(cells), -1, -1)
            matches = [torch.einsum("bchw,bqc->bqhw", cells[:, part], query[..., part]) for part in self.parts]
            if sees is not None:
                matches = [match * sees[:, part, None, None, None] for part, match in enumerate(matches)]
            cells = torch.cat(matches, 1)
        said = self.cell(cells)[:, 0]
        if where is not None:
            said = said.masked_fill(~where, -torch.inf)
        return said.flatten(1).logsumexp(-1) + self.bias


def words_of(mission: str) -> list[str]:
    """In lower case, in order."""
    return re.findall(r"\w+", mission.lower())


def vocabulary(missions: tuple[str, ...]) -> tuple[str, ...]:
    """The words of play's missions, sorted; none where all ask for the same, which tells nothing."""
    texts = {mission for mission in missions if mission}
    return tuple(sorted({word for text in texts for word in words_of(text)})) if len(texts) > 1 else ()


def success_rows(play: Play) -> Tensor:
    """(N,) bool: the rows that a rewarded step ended in."""
    found = torch.zeros(len(play), dtype=torch.bool)
    found[play.outcomes()[0]] = True
    return found


def success_stages(
    level: Level, latents: Callable[[Tensor], Tensor], success: Tensor, seed: int, play: Play | None = None
) -> Stages:
    """Train the level's success head on frozen latents; half of each batch was rewarded. Where it does not tell the two
    halves apart, it begins again from other parameters, a few times.

    latents(rows) gives those of rows of play; success (N,) bool tells which rows a rewarded step ended in. Without any
    there is nothing to learn, and no stage: the level has no such head. play: whose missions a head over maps learns to
    read, if there are several; then each of them is as many of the rewarded rows, however seldom play had it.
    """
    positive, negative = (torch.nonzero(rows)[:, 0] for rows in (success, ~success))
    head = level.success_head
    if not len(positive) or head is None:
        level.success_head = None
        return
    name = f"level{level.index}-success"
    words = vocabulary(play.missions) if play is not None and isinstance(head, MapSuccess) else ()

    def classification(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = torch.cat(
            [part[torch.randint(len(part), (BATCH // 2,), generator=generator)] for part in (positive, negative)]
        )
        logits, rewarded = level.success_head(level, latents(rows)), success[rows]
        loss = F.binary_cross_entropy_with_logits(logits, rewarded.float())
        return loss, {"accuracy": ((logits > 0) == rewarded).float().mean()}

    learned: Loss = classification
    steps = READING * STEPS if words else STEPS
    if words:
        assert play is not None
        torch.manual_seed(stage_seed(seed, name))
        met = {play.missions[episode] for episode in play.episode[success].unique().tolist()}
        options = {"words": words, "missions": tuple(sorted(met)), "ground": getattr(level.space, "ground_channels", 0)}
        head = level.made_anew("success", **options)
        learned = _by_mission(level, latents, success, _Asked.of_play(play, head, success, level.space, latents))
    elif isinstance(head, MapSuccess):
        found = decisive(level.space, latents, positive, negative)
        if found is not None and found[0] != (True, True):
            torch.manual_seed(stage_seed(seed, name))
            ground, channels = level.space.ground_channels, level.space.channels
            head = level.made_anew("success", reads=(0, ground) if found[0][0] else (ground, channels))
    head.requires_grad_(True)
    tried: list[tuple[float, dict[str, Tensor]]] = []
    for beginning in range(BEGINNINGS):
        stage = f"{name}-{beginning + 1}" if beginning else name
        if beginning:
            _begin_again(head, stage_seed(seed, stage, 0))
        curve = yield Stage(stage, head, learned, steps, lr=1e-2)
        tried.append((_loss_at_end(curve), {key: value.clone() for key, value in head.state_dict().items()}))
        if tried[-1][0] <= TOLD:
            break
    head.load_state_dict(min(tried, key=lambda each: each[0])[1])
    head.requires_grad_(False)


def _loss_at_end(curve: Curve) -> float:
    return sum(point.get("told", point["loss"]) for point in curve[-LATEST:]) / LATEST


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
    evenly = [rows[torch.linspace(0, len(rows) - 1, min(len(rows), LOOKED)).long()] for rows in (positive, negative)]
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


def _by_mission(level: Level, latents: Callable[[Tensor], Tensor], success: Tensor, asked: _Asked) -> Loss:
    """The same of a head that reads missions. `told`: the loss where it saw one; else there may be no telling."""

    def classification(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows, missions = asked.drawn(level, latents, generator)
        bags, kept = asked.read(missions, generator)
        rewarded = success[rows] & ((missions == asked.of[rows]) | ~bags.any(1))  # without words, any success
        z = latents(rows)
        logits = level.success_head(level, z, bags, where=asked.where(z, missions, rewarded))
        each = F.binary_cross_entropy_with_logits(logits, rewarded.float(), reduction="none")
        each = each * (rewarded | ~asked.solved(z, bags))
        alone = asked.strange(level, generator)
        right, told = ((logits > 0) == rewarded).float(), each.detach()
        loss = each.mean() + alone.mean()
        if len(level.success_head.parts) > 1:
            plain = level.success_head(level, z, bags, sees=asked.sees[missions])
            loss = loss + SPURIOUS * (level.success_head(level, z, bags) - plain).abs().mean()
        return loss, {"accuracy": right[kept].mean(), "told": told[kept].mean()}

    return classification


@dataclass(frozen=True)
class _Even:
    """Rows (K,) by group, where those of each begin and how many they are: every group is drawn as often."""

    rows: Tensor
    first: Tensor
    counts: Tensor

    @staticmethod
    def of(rows: Tensor, group: Tensor) -> _Even:
        """group (N,) int64: of each row that there is."""
        rows = rows[group[rows].argsort(stable=True)]
        _, counts = group[rows].unique_consecutive(return_counts=True)
        return _Even(rows, counts.cumsum(0) - counts, counts)

    def __call__(self, count: int, generator: torch.Generator) -> Tensor:
        group = torch.randint(len(self.counts), (count,), generator=generator)
        within = torch.rand(count, generator=generator, dtype=torch.float64) * self.counts[group]
        return self.rows[self.first[group] + within.long()]


@dataclass(frozen=True)
class _Asked:
    """What rows of play were asked for.

    bags (M, words): one for each mission; of (N,) int64: which is each row's; apart (M, M) bool: which missions share
    no word, but for those that all have; sees (M, 2) bool: whether success is a matter of the ground, of the mover;
    tells (M, V + 1) bool: which symbols tell it, and never (M, V + 1) bool: which do not, whether play showed them or
    not. The rest: rows that were rewarded; those that were not, but had a mission that was; those that were not.
    """

    bags: Tensor
    of: Tensor
    apart: Tensor
    sees: Tensor
    tells: Tensor
    never: Tensor
    positive: _Even
    negative: _Even
    other: Tensor

    @staticmethod
    def of_play(
        play: Play, head: MapSuccess, success: Tensor, space: Any, latents: Callable[[Tensor], Tensor]
    ) -> _Asked:
        texts = sorted(set(play.missions))
        number = {text: i for i, text in enumerate(texts)}
        of = torch.tensor([number[text] for text in play.missions])[play.episode]
        bags = torch.stack([head.bag(text) for text in texts])
        met = torch.zeros(len(texts), dtype=torch.bool)
        met[of[success]] = True
        positive, negative, other = (torch.nonzero(rows)[:, 0] for rows in (success, ~success & met[of], ~success))
        own = bags * (bags.mean(0) < 1)
        sees = torch.ones(len(texts), 2, dtype=torch.bool)
        tells = torch.zeros(len(texts), space.outside + 1, dtype=torch.bool)
        for mission in torch.nonzero(met)[:, 0].tolist():
            found = decisive(space, latents, *(rows[of[rows] == mission] for rows in (positive, negative)))
            if found is not None:
                sees[mission], tells[mission] = torch.tensor(found[0]), found[1]
        never = _never(tells, sees, space.tokens)
        return _Asked(
            bags, of, own @ own.T == 0, sees, tells, never, _Even.of(positive, of), _Even.of(negative, of), other
        )

    def where(self, z: Tensor, missions: Tensor, rewarded: Tensor) -> Tensor:
        """(B, H, W) bool: the cells that may tell success of maps z with missions (B,): any, but where these were
        rewarded. There, one that play shows to tell it, or else another that is there by chance learns to."""
        tells = self.tells[missions[:, None, None], z]
        return tells | ~(rewarded & tells.flatten(1).any(1))[:, None, None]

    def drawn(
        self, level: Level, latents: Callable[[Tensor], Tensor], generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """(B,) rows, and missions to read with them. Half a batch was rewarded; then as many that were not: half of
        them of the same missions, or words alone would tell success, and a quarter of any, with a mission that they do
        not tell success of, or what its own play never met might be one. An eighth more was success of another mission
        that shares no word with the one that is read, and is none of it.

        Rows of the first two are the ones that the head takes for success most (online hard example mining; Shrivastava
        et al., 2016): in one of ten a key is in hand, and the door is not open yet.
        """
        half, foreign = BATCH // 2, self.positive(BATCH // 8, generator)
        near, other, strange = (
            self.negative(HARD * half // 2, generator),
            *(self.other[torch.randint(len(self.other), (n * half // 4,), generator=generator)] for n in (1, HARD)),
        )
        told = torch.nonzero(self.tells.any(1))[:, 0]
        asked = told[torch.randint(len(told), strange.shape, generator=generator)] if len(told) else self.of[strange]
        with torch.no_grad():
            near = near[level.success_head(level, latents(near), self.bags[self.of[near]]).topk(half // 2)[1]]
            z = latents(strange)
            like = level.success_head(level, z, self.bags[asked])
            most = like.masked_fill(self._tell(z, (~self.apart[asked]).float()), -torch.inf).topk(half // 4)[1]
        rows = torch.cat([self.positive(half, generator), near, other])
        own = self.of[foreign]
        chance = self.apart[own].float()
        chance[torch.arange(len(own)), own] += (chance.sum(1) == 0).float()  # or else its own
        missions = torch.multinomial(chance, 1, generator=generator)[:, 0]
        return torch.cat([rows, strange[most], foreign]), torch.cat([self.of[rows], asked[most], missions])

    def strange(self, level: Level, generator: torch.Generator) -> Tensor:
        """(B,): the loss of single symbols that tell no success of a mission, those that the head takes for it most.
        Most of them play never met: it would have to be in a red doorway with the red key, and look up."""
        told = torch.nonzero(self.never.any(1))[:, 0]
        if not len(told):
            return self.bags.new_zeros(1)
        count = self.never.shape[1] - 1
        missions = told[torch.randint(len(told), (HARD * BATCH,), generator=generator)]
        symbols = torch.randint(count, missions.shape, generator=generator)
        with torch.no_grad():
            logits = level.success_head(level, symbols[:, None, None], self.bags[missions])
            most = logits.masked_fill(~self.never[missions, symbols], -torch.inf).topk(BATCH // 2)[1]
        logits = level.success_head(level, symbols[most][:, None, None], self.bags[missions[most]])
        return F.softplus(logits) * self.never[missions[most], symbols[most]]

    def solved(self, z: Tensor, bags: Tensor) -> Tensor:
        """(B,) bool: a map shows success of some mission that has all these words (B, words), and may have others."""
        return self._tell(z, (bags @ (1 - self.bags).T == 0).float())

    def _tell(self, z: Tensor, missions: Tensor) -> Tensor:
        """(B,) bool: a map has a symbol that tells success of one of these missions, (B, M) float."""
        return (missions @ self.tells.float()).gather(1, z.flatten(1)).any(1)

    def read(self, missions: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(B, words) of missions (B,), with all, some or none of their words; (B,) bool: which have all."""
        bags, share = self.bags[missions], torch.rand(len(missions), generator=generator)
        some = bags * (torch.rand(bags.shape, generator=generator) >= torch.rand(len(bags), 1, generator=generator))
        kept = share >= DROPPED + SHORTENED
        return torch.where(kept[:, None], bags, some * (share >= DROPPED)[:, None]), kept


def _never(tells: Tensor, sees: Tensor, tokens: int) -> Tensor:
    """As `_Asked.never`: symbols of a ground that none which tells success has, where it is a matter of the ground. Of
    the mover, play may not have shown all ways to look. tells (M, V + 1), sees (M, 2) bool."""
    symbols = torch.arange(tells.shape[1])
    found = torch.zeros_like(tells)
    for mission in torch.nonzero(tells.any(1) & sees[:, 0])[:, 0].tolist():
        found[mission] = ~torch.isin(symbols // tokens, symbols[tells[mission]] // tokens)
    return found


def _begin_again(head: nn.Module, seed: int) -> None:
    """Other parameters, as if it had just been made."""
    torch.manual_seed(seed)
    for part in head.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
