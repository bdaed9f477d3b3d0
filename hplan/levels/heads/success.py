"""The success energy of a level: a classifier of latents that play was rewarded in, (B, *z) -> (B,) logits.

Where play asked for one thing in one episode and for another in the next (`Play.missions`), what counts as success is
a matter of its mission: a head reads its code (`hplan.reading`) beside the latent.

Where play succeeded by one action alone, which changed nothing, success is a matter of where it is done: a stop action,
as in embodied navigation (Anderson et al., 2018, arXiv 1807.06757). The head is then of latents in which it is right.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.heads.conjunction import conjunction
from hplan.levels.heads.missions import BATCH, Asked, decisive, looked_at, with_code
from hplan.levels.heads.target import target_stages
from hplan.levels.stage import Curve, Loss, Stage, Stages, begin_again, stage_seed

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

STEPS = 600
SPURIOUS = 0.02  # loss by a unit that it says otherwise for the ground where the mover decides, or the other way round
READING = 2  # times as many steps where missions are read
TOLD = 0.1  # loss at the end, above which a classifier may have begun badly
BEGINNINGS = 4  # at the most, of which the best is kept
LATEST = 5  # points of a curve that tell the loss at its end
STOPS, SAME = 10, 0.99  # successes, at the fewest, and share of them, from which one action that changes nothing is why
NEAR = (0, 1, 2)  # what may tell success: anything, what is next to the mover, or at its corners, too
PLACED = 0.95  # share of rewarded rows, and of others, of which places that held in other episodes have to hold
QUERIES = 8  # ways in which a cell may match a mission: "the blue ball" is a ball and blue where the words say so


class VectorSuccess(nn.Module):
    """Of a vector, and of the code of a mission beside it: a small network."""

    def __init__(self, *, latent: int, hidden: int = 64, mission: int = 0, stop: int | None = None) -> None:
        """`mission`: numbers of the code that is read; 0 for none. `stop`: the action that has to be done there."""
        super().__init__()
        self.mission, self.stop = mission, stop
        self.network = nn.Sequential(mlp(latent + mission, hidden, 1), nn.Flatten(0))

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return self.network(with_code(z, level.mission, self.mission))


class MapSuccess(nn.Module):
    """Of a map: the log-sum-exp over cells, so that one cell can say so.

    Cells speak for themselves alone: with their neighbours in view, a few dozen rewards of play are learned by heart.
    Where missions are read, a cell is seen by how well its ground and the mover in it match what the
    mission asks for, in `QUERIES` ways, and by nothing else. So what is blue is blue, whatever thing it is.
    """

    def __init__(
        self,
        *,
        channels: int,
        hidden: int = 24,
        mission: int = 0,
        reads: tuple[int, ...] = (),
        ground: int = 0,
        beside: int = 0,
        stop: int | None = None,
    ) -> None:
        """`mission`: numbers of the code that is read; 0 for none. `stop`: the action that has to be done there.
        `beside`: only what is that near
        the mover can say so, a squared distance; 0: anything. `reads`: the first channel of a cell that is read and the
        one after the last; () for all of them. `ground`: of those that are read, how many are the ground's; 0 where
        there is nothing else."""
        super().__init__()
        self.mission, self.beside, self.stop = mission, beside, stop
        self.reads = slice(*reads) if reads else slice(None)
        channels = len(range(channels)[self.reads])
        self.parts = [slice(0, ground), slice(ground, channels)] if 0 < ground < channels else [slice(0, channels)]
        if mission:
            self.query = nn.Linear(mission, QUERIES * channels)
            channels = QUERIES * len(self.parts)
        self.cell = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, 1, 1))
        self.bias = nn.Parameter(torch.empty(()))
        self._tables: dict[bytes, Tensor] = {}  # by mission, what each symbol says
        self.reset_parameters()

    def train(self, mode: bool = True) -> Self:
        self._tables = {}
        return super().train(mode)

    def reset_parameters(self) -> None:
        """Of its own; those of its parts are theirs."""
        nn.init.constant_(self.bias, -3.0)

    def forward(self, level: Level, z: Tensor, *, sees: Tensor | None = None, where: Tensor | None = None) -> Tensor:
        """z (B, *z). sees (B, parts) bool: which parts of a cell may match the mission; where (B, H, W) bool: which
        cells may say so; None: all."""
        mission = level.mission if self.mission else None
        z = level.space.beside(z, self.beside) if self.beside else z
        one = mission is None or mission.ndim == 1
        if one and sees is None and where is None and not self.training:
            said = self._table(level, mission)[z]
        else:
            said = self._said(level, z, mission, sees)
        if where is not None:
            said = said.masked_fill(~where, -torch.inf)
        if self.beside:
            said = said.masked_fill(z == level.space.outside, -torch.inf)
        return said.flatten(1).logsumexp(-1) + self.bias

    def _table(self, level: Level, mission: Tensor | None) -> Tensor:
        """(V,): what each symbol says of one mission: cells speak for themselves alone."""
        key = b"" if mission is None else mission.numpy(force=True).tobytes()
        if key not in self._tables:
            symbols = torch.arange(level.space.outside + 1, device=self.bias.device)
            self._tables[key] = self._said(level, symbols[None, None], mission, None)[0, 0]
        return self._tables[key]

    def _said(self, level: Level, z: Tensor, mission: Tensor | None, sees: Tensor | None) -> Tensor:
        """(B, H, W): what each cell says."""
        cells = level.space.embed(z)[..., self.reads].movedim(-1, 1)
        if self.mission:
            code = cells.new_zeros(self.mission) if mission is None else mission.to(cells)
            query = self.query(code).view(-1, QUERIES, cells.shape[1]).expand(len(cells), -1, -1)
            matches = [torch.einsum("bchw,bqc->bqhw", cells[:, part], query[..., part]) for part in self.parts]
            if sees is not None:
                matches = [match * sees[:, part, None, None, None] for part, match in enumerate(matches)]
            cells = torch.cat(matches, 1)
        return self.cell(cells)[:, 0]


def success_rows(play: Play) -> Tensor:
    """(N,) bool: the rows that a rewarded step ended in."""
    found = torch.zeros(len(play), dtype=torch.bool)
    found[play.outcomes()[0]] = True
    return found


def stop_action(play: Play) -> int | None:
    """The action that play always succeeded by, and that changed nothing then; None where there is none. What an
    episode was otherwise is no failure: only where that action was taken, it was right or wrong."""
    steps = torch.nonzero(play.success)[:, 0]
    if play.action_spec.kind != "discrete" or play.action_spec.size < 2 or len(steps) < STOPS:
        return None
    action = int(play.actions[steps].mode().values)
    steps = looked_at(steps)
    idle = play.observations[steps].flatten(1) == play.observations[steps + 1].flatten(1)
    found = (play.actions[steps] == action) & idle.all(1)
    return action if float(found.float().mean()) >= SAME else None


def success_stages(
    level: Level,
    latents: Callable[[Tensor], Tensor],
    success: Tensor,
    seed: int,
    play: Play,
    laid_out: Callable[[Tensor], Tensor] | None = None,
) -> Stages:
    """Train the level's success head on frozen latents; half of each batch was rewarded. Where it does not tell the two
    halves apart, it begins again from other parameters, a few times.

    latents(rows) gives those of rows of play; success (N,) bool tells which rows a rewarded step ended in. Without any
    there is nothing to learn, and no stage: the level has no such head. play: whose missions a head learns to read, if
    it has a reading of them; then each of them is as many of the rewarded rows, however seldom play had it. laid_out:
    maps of rows as play had them, where `latents` may be turned.
    """
    head, judged = level.success_head, torch.ones_like(success)
    stop = stop_action(play) if hasattr(head, "stop") else None
    if stop is not None:
        judged[1:] = (play.actions == stop)[:-1] & (play.remaining > 0)[:-1]
    positive, negative = (torch.nonzero(rows & judged)[:, 0] for rows in (success, ~success))
    if not len(positive) or head is None:
        level.success_head = None
        return
    name = f"level{level.index}-success"
    if isinstance(head, VectorSuccess):
        targeted = yield from target_stages(level, latents, success, judged, seed, play, stop)
        if targeted:
            return
    reading = play.reading if hasattr(head, "mission") else None
    learned: Loss = _classification(level, latents, positive, negative)
    steps = STEPS if reading is None else READING * STEPS
    options: dict[str, Any] = {} if stop is None else {"stop": stop}
    beside, told = 0, False  # whether what is in a cell tells it for certain
    if reading is not None:
        torch.manual_seed(stage_seed(seed, name))
        ground = {"ground": getattr(level.space, "ground_channels", 0)} if level.space.discrete else {}
        head = level.made_anew("success", mission=reading.size, **options, **ground)
        asked, beside = _asked(level, latents, play, success, judged)
        if beside:
            head.beside = level.parts["success"]["beside"] = beside
        told = asked.told > 0
        learned = _by_mission(level, _within(level, latents, beside), success, asked)
    elif isinstance(head, MapSuccess):
        telling = {near: decisive(level.space, _within(level, latents, near), positive, negative) for near in NEAR}
        beside = next((near for near in NEAR if telling[near] is not None), 0)
        found = telling[beside]
        told = found is not None
        if found is not None and (beside or found[0] != (True, True)):
            ground, channels = level.space.ground_channels, level.space.channels
            reads = {(True, False): (0, ground), (False, True): (ground, channels), (True, True): ()}[found[0]]
            options |= {"beside": beside, "reads": reads}
        if found is None and stop is None and (several := conjunction(level.space, latents, positive, negative)):
            conditions, symbols = several[0].shape
            level.parts["success"] = {"kind": "conjunction", "conditions": conditions, "symbols": symbols}
            head = level.made_anew("success")
            head.kinds.copy_(several[0])
            head.somewhere.copy_(several[1])
            return
    if laid_out is not None and not told and level.space.has_mover:
        placed = yield from _place_stages(level, laid_out, success, judged, seed, play, options)
        if placed:
            return
    if beside and level.index:  # where exactly the mover is, levels of events do not plan
        level.success_head = None
        return
    if options and reading is None:
        torch.manual_seed(stage_seed(seed, name))
        head = level.made_anew("success", **options)
    head.requires_grad_(True)
    tried: list[tuple[float, dict[str, Tensor]]] = []
    for beginning in range(BEGINNINGS):
        stage = f"{name}-{beginning + 1}" if beginning else name
        if beginning:
            torch.manual_seed(stage_seed(seed, stage, 0))
            begin_again(head)
        curve = yield Stage(stage, head, learned, steps, lr=1e-2)
        tried.append((_loss_at_end(curve), {key: value.clone() for key, value in head.state_dict().items()}))
        if tried[-1][0] <= TOLD:
            break
    head.load_state_dict(min(tried, key=lambda each: each[0])[1])
    head.requires_grad_(False)


def _classification(level: Level, latents: Callable[[Tensor], Tensor], positive: Tensor, negative: Tensor) -> Loss:
    """Half of each batch was rewarded."""

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        half = BATCH // 2
        rows = torch.cat(
            [part[torch.randint(len(part), (half,), generator=generator)] for part in (positive, negative)]
        )
        logits, rewarded = level.success_head(level, latents(rows)), torch.arange(2 * half) < half
        loss = F.binary_cross_entropy_with_logits(logits, rewarded.float())
        return loss, {"accuracy": ((logits > 0) == rewarded).float().mean()}

    return loss


def _place_stages(
    level: Level,
    maps: Callable[[Tensor], Tensor],
    success: Tensor,
    judged: Tensor,
    seed: int,
    play: Play,
    options: dict[str, Any],
) -> Generator[Stage, Curve, bool]:
    """Learn where the mover succeeds, in episodes with even numbers; and where that holds in the others, in all.
    Returns whether it did. Where it did not, the level has the head that it had."""
    name, reading, usual = (
        f"level{level.index}-success-place",
        play.reading,
        (level.parts["success"], level.success_head),
    )
    torch.manual_seed(stage_seed(seed, name))
    level.parts["success"] = {"kind": "place", **({} if reading is None else {"mission": reading.size})}
    head = level.made_anew("success", **{key: value for key, value in options.items() if key == "stop"})
    head.middle.copy_((torch.tensor(maps(torch.tensor([0])).shape[1:]) - 1) / 2)
    even, steps = play.episode % 2 == 0, STEPS if reading is None else READING * STEPS

    def learned(among: Tensor) -> Loss:
        if reading is None:
            return _classification(
                level, maps, *(torch.nonzero(rows & judged & among)[:, 0] for rows in (success, ~success))
            )
        asked = Asked.of_play(play, success & among, judged & among, level.space, maps)
        return _by_mission(level, maps, success, replace(asked, telling=None))

    @torch.no_grad()
    def right(rows: Tensor) -> float:
        rows = looked_at(torch.nonzero(rows & judged & ~even)[:, 0])
        asked = None if play.asked is None else play.asked[play.episode[rows]]
        return float(((head.here(level.asked(asked), maps(rows)) > 0) == success[rows]).float().mean())

    yield Stage(name, head, learned(even), steps, lr=1e-2)
    holds = min(right(success), right(~success)) >= PLACED
    if holds:
        yield Stage(f"{name}-2", head, learned(torch.ones_like(even)), steps, lr=1e-2)
        head.requires_grad_(False)
    else:
        level.parts["success"], level.success_head = usual
    return holds


def _asked(
    level: Level, latents: Callable[[Tensor], Tensor], play: Play, success: Tensor, judged: Tensor
) -> tuple[Asked, int]:
    """What missions of play asked for, and how near the mover what tells it has to be; 0 where that is all the same.
    Where nothing tells it for certain, however near, what mostly does."""
    asked = Asked.of_play(play, success, judged, level.space, latents)
    if asked.telling is None or asked.told == asked.met:
        return asked, 0
    for noisy in (False, True):
        tried = {
            near: Asked.of_play(play, success, judged, level.space, _within(level, latents, near), noisy=noisy)
            for near in NEAR[1:]
        }
        best = max(tried, key=lambda near: tried[near].told)
        if tried[best].told > asked.told:
            return tried[best], best
        if asked.told:
            break
    return asked, 0


def _within(level: Level, latents: Callable[[Tensor], Tensor], beside: int) -> Callable[[Tensor], Tensor]:
    """The same latents as far as they are that near the mover."""
    return (lambda rows: level.space.beside(latents(rows), beside)) if beside else latents


def _loss_at_end(curve: Curve) -> float:
    return sum(point.get("told", point["loss"]) for point in curve[-LATEST:]) / LATEST


def _by_mission(level: Level, latents: Callable[[Tensor], Tensor], success: Tensor, asked: Asked) -> Loss:
    """The same of a head that reads missions. `told`: the loss where it saw one; else there may be no telling."""

    def classification(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows, missions = asked.drawn(level, latents, generator)
        codes, kept = asked.read(missions, generator)
        rewarded = success[rows] & ((missions == asked.of[rows]) | ~codes.any(1))  # without a mission, any success
        z, here = latents(rows), level.asked(codes)
        options = {"where": asked.telling.where(z, missions, rewarded)} if asked.telling else {}
        logits = level.success_head(here, z, **options)
        each = F.binary_cross_entropy_with_logits(logits, rewarded.float(), reduction="none")
        each = each * (rewarded | ~asked.solved(z, codes))
        alone = asked.strange(level, generator)
        right, told = ((logits > 0) == rewarded).float(), each.detach()
        loss = each.mean() + alone.mean()
        if asked.telling and len(level.success_head.parts) > 1:
            plain = level.success_head(here, z, sees=asked.telling.sees[missions])
            loss = loss + SPURIOUS * (level.success_head(here, z) - plain).abs().mean()
        return loss, {"accuracy": right[kept].mean(), "told": told[kept].mean()}

    return classification
