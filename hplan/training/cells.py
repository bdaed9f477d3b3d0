"""Level 0 over maps of symbols: what it reads and changes, by what play shows to decide, and how it is learned."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from hplan.levels.dynamics import RADIUS, WINDOW, crop, prediction_loss, turned
from hplan.levels.level import Level
from hplan.levels.stage import Loss, Stage, Stages
from hplan.objectives.criterion import Criterion
from hplan.play.play import Play
from hplan.training.mover import Mover, Spoilers
from hplan.training.symbols import (
    CHUNK,
    DECIDED,
    FEW,
    SURE,
    RareDraws,
    Vocabulary,
    Windows,
    certainty,
    change_kinds,
    changes,
    movers,
    turn_maps,
)
from hplan.training.tiles import Tiles

CHANCES = 4  # times as many steps where chances have to be learned from noise
ROUNDS = 3  # of training level 0, each of the later ones on what the one before got wrong
FIRST, HARD = 0.6, 0.3  # share of the steps that the first round has, and of a batch that are mistakes in later ones
MINED = 40_000  # rows that are looked through for mistakes after a round
ABSORBED = 0.05  # of a batch of level 0 are ended episodes, in which every action changes nothing
MOST_ENDS = 65_536  # ended episodes that these are drawn from
WIDTH = 4  # times wider is a network over a window than one over each cell


class CellLevel:
    """The part of `hplan.training.events.Events` that makes level 0. settings: `EventSettings`; maps (N, H, W) of play
    in terms of the vocabulary; starts (K,): rows with a successor; mover: where play shows one; spoilers: what makes
    its steps fail from afar."""

    settings: Any
    play: Play
    vocabulary: Vocabulary
    maps: Tensor
    starts: Tensor
    mover: Mover | None
    spoilers: Spoilers | None = None
    tiles: Tiles | None
    history: int
    facts: dict[str, Any]
    seed: int
    _kinds: Tensor  # of change next to the mover, by row of `starts`, where there is one

    def _base(self) -> Level:
        settings, play = self.settings, self.play
        actions, observations = play.action_spec, play.observation_spec
        known = self.vocabulary
        vocabulary, tokens = len(known.cells), len(known.tokens)
        token_channels = settings.channels if tokens > 1 else 0
        channels, starts = settings.channels + token_channels, self.starts
        alone = movers(self.maps, starts, vocabulary) if tokens == 1 else None
        local = tokens > 1 or (alone is not None and bool(alone.any()) and self.maps[0].numel() > WINDOW)
        windows: Windows | None = None
        alike: Windows | None = None
        self.facts["symmetric"] = False
        at = starts
        if local:
            if self.mover is None:
                assert alone is not None
                at = torch.cat([alone[self.maps[rows]].flatten(1).long().argmax(1) for rows in starts.split(CHUNK)])
            else:
                at = self.mover.steps.at
            self.facts["far"] = far = changes_afar(self.maps, starts, at, tokens)
            local = not far
        if local:
            self._kinds = 2 * change_kinds(self.maps, play.actions, starts, at) + self._failed[starts]
            draws = RareDraws.of(self._kinds)
            some = draws(DECIDED, torch.Generator().manual_seed(self.seed)).unique()
            pose = torch.zeros_like(some) if self.mover is None else self.mover.poses[self.mover.steps.token[some]]
            ends = self._failed[starts[some]]
            windows = Windows.of(self.maps, play.actions, starts[some], at[some], pose, ends, tokens).deciding()
            self.facts["window"] = 2 * windows.radius + 1
            alike = self._symmetry(windows, starts[some], at[some], ends)
        sizes: dict[str, Any] = {"channels": channels, "macros": actions.size}
        level = Level(
            index=0,
            parts={
                "prior": {
                    "kind": "affordance",
                    "channels": channels,
                    "hidden": settings.hidden,
                    "macros": actions.size,
                },
                "encoder": {
                    "kind": "cells",
                    "inputs": (observations.shape[-1],),
                    "latent": settings.channels,
                    "hidden": settings.hidden,
                    "cardinalities": observations.cardinalities,
                    "vocabulary": vocabulary,
                    "mover": known.mover,
                    "varying": known.varying,
                    "tokens": tokens,
                }
                | (self.tiles.encoder(self.history) if self.tiles else {}),
                "dynamics": {"kind": "local-window", "hidden": WIDTH * settings.hidden, **sizes}
                | {"radius": windows.radius, "tokens": tokens}
                if windows
                else {"kind": "local-convolution", "hidden": settings.hidden, "pointed": False, **sizes},
                "success": {"kind": "map", "channels": channels, "hidden": settings.hidden // 2},
                "space": {
                    "kind": "discrete-map",
                    "vocabulary": vocabulary,
                    "channels": settings.channels,
                    "tokens": tokens,
                    "token_channels": token_channels,
                },
                "macros": {"kind": "actions", "action": "discrete", "size": actions.size, "names": actions.names},
                "uncertainty": {"kind": "outcomes"},
            },
        )
        if self.tiles:
            level.encoder.learn(self.tiles.tiles, self.tiles.features)
        level.encoder.cells.copy_(known.cells)
        level.encoder.tokens.copy_(known.tokens)
        taken = play.actions[starts]
        changed = changes(self.maps, starts).float()
        level.prior_head.supported.copy_(torch.zeros(actions.size).index_add_(0, taken, changed) > 0)
        level.prior_head.risky[taken[self._failed[starts]]] = True
        if bool((changed > 0).any()):
            level.space.typical_change.copy_(changed[changed > 0].median())
        if alone is not None:
            level.space.movers.copy_(alone)
        certain = 1 - windows.ambiguity if windows else certainty(self.maps, play.actions, starts)
        level.uncertainty_head.certainty.fill_(certain)
        if windows:
            self._look(level.dynamics, windows, alike)
        return level

    def _base_stages(self, level: Level) -> Stages:
        """What every action does to every cell, and where it does anything, in rounds: later ones practise what the one
        before got wrong, mostly actions that fail where they seldom are tried."""
        settings, maps, actions, starts = self.settings, self.maps, self.play.actions, self.starts
        # Rare kinds of change are drawn more often, unless the same action may end in several ways: then how often it
        # ends in which is what has to be learned.
        certain = level.uncertainty_head.certain
        rare, steps = settings.rare and certain, settings.base_steps * (1 if certain else CHANCES)
        local, failed = bool(level.dynamics.local), self._failed
        kinds = failed[starts].long()
        if rare:
            kinds = self._kinds if local else 2 * change_kinds(maps, actions, starts) + kinds
        draws = RareDraws.of(kinds)
        ends = torch.nonzero(self.play.terminated)[:, 0]
        ends = ends[:: max(len(ends) // MOST_ENDS, 1)]
        # A window does not show whether the episode has ended.
        absorbed = int(settings.batch * ABSORBED) if len(ends) and not local else 0
        criterion = Criterion(settings.objective, settings.channels, level.encoder)
        prior = level.prior_head

        def prediction(hard: Tensor) -> Loss:
            """The objective; a share of the batch are `hard` rows, if there are any."""
            known = int(settings.batch * HARD) if len(hard) else 0

            def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
                rows = starts[draws(settings.batch - absorbed - known, generator)]
                if known:
                    rows = torch.cat([rows, hard[torch.randint(len(hard), (known,), generator=generator)]])
                taken, following, fails = actions[rows], rows + 1, failed[rows]
                if absorbed:
                    over = ends[torch.randint(len(ends), (absorbed,), generator=generator)]
                    chosen = torch.randint(level.macro.size, (absorbed,), generator=generator)
                    taken = torch.cat([taken, chosen])
                    rows, following = torch.cat([rows, over]), torch.cat([following, over])
                    fails = torch.cat([fails, torch.zeros_like(fails[:absorbed])])
                before, after = maps[rows], maps[following]
                codes = level.encoder.codes()
                total, read, figures = prediction_loss(level, before, taken, after, codes, criterion, rare=rare)
                if local:
                    where = level.space.mover(before)
                    before, after = (crop(each, where, RADIUS, outside=0) for each in (before, after))
                happened = (before != after).flatten(1).any(1).float()
                return total + prior.loss(read, taken, happened, fails.float()), figures

            return loss

        world = nn.ModuleList([level.encoder, level.dynamics, prior, criterion])
        rounds, hard = ROUNDS if rare else 1, torch.empty(0, dtype=torch.long)
        for turn in range(rounds):
            name = "level0" if turn == 0 else f"level0-hard{turn}"
            share = 1.0 if rounds == 1 else FIRST if turn == 0 else (1 - FIRST) / (rounds - 1)
            yield Stage(name, world, prediction(hard), round(steps * share), lr=1e-3 if turn else 2e-3)
            level.space.set_codes(*level.encoder.codes())
            if turn + 1 < rounds:
                hard = mispredicted(level, maps, actions, starts, torch.Generator().manual_seed(turn))
        level.encoder.requires_grad_(False)

    def base_maps(self, rows: Tensor) -> Tensor:
        """(K,) rows of play -> (K, H, W); where all ways are alike, turned one way or another, as the rows decide."""
        relabelled = self.mover.relabelled() if self.mover and self.facts["symmetric"] else None
        if self.mover is None or relabelled is None:
            return self.maps[rows]
        return turn_maps(self.maps[rows], int(rows.sum()) % 4, relabelled, len(self.mover.tokens))

    def _look(self, dynamics: Any, windows: Windows, alike: Windows | None) -> None:
        """What level 0 reads and changes of a window, and how it turns it; alike: see `_symmetry`."""
        mover, found = self.mover, alike or windows
        matters, touches = found.matters(centre=mover is None), found.touches(dynamics.macro.num_embeddings)
        self.facts["read"] = [int(cells) for cells in matters.sum(1)]
        if mover is not None:
            dynamics.turns.copy_(mover.turns)
            relabelled = mover.relabelled()
            if alike and relabelled is not None:
                dynamics.relabelled.copy_(relabelled)
            else:  # as the mover sees it
                matters, touches = matters[mover.poses], touches[mover.poses]
                turns, macros = mover.turns, touches.shape[1]
                matters = turned(matters.unflatten(1, (2 * windows.radius + 1, -1)), turns).flatten(1)
                near = touches.flatten(0, 1).unflatten(1, (2 * RADIUS + 1, -1))
                touches = turned(near, turns.repeat_interleave(macros)).flatten(1).unflatten(0, (-1, macros))
        dynamics.matters.copy_(matters)
        dynamics.touches.copy_(touches)

    def _symmetry(self, windows: Windows, rows: Tensor, at: Tensor, ends: Tensor) -> Windows | None:
        """The windows as the mover sees them, where play shows that steps do the same whichever way it goes; else
        None."""
        mover = self.mover
        relabelled = None if mover is None else mover.relabelled()
        if mover is None or relabelled is None:
            return None
        tokens, height, width = len(mover.tokens), *self.maps.shape[1:]
        token = mover.steps.token[torch.searchsorted(mover.steps.rows, rows)]
        quarter = mover.turns[token]
        parts, order = [], []
        for turn in range(4):
            own = torch.nonzero(quarter == turn)[:, 0]
            pairs = torch.stack([rows[own], rows[own] + 1], 1).flatten()
            maps = turn_maps(self.maps[pairs], turn, relabelled, tokens)
            row, column = at[own] // width, at[own] % width
            for done in range(turn):
                row, column = (height if done % 2 else width) - 1 - column, row
            here = row * maps.shape[-1] + column
            first = torch.arange(0, 2 * len(own), 2)
            actions = torch.zeros(2 * len(own), dtype=torch.long)
            actions[first] = self.play.actions[rows[own]]
            parts.append(Windows.of(maps, actions, first, here, torch.zeros_like(own), ends[own], tokens))
            order.append(own)
        back = torch.cat(order).argsort()
        found = Windows.joined(parts).of_rows(back).within(windows.radius)
        self.facts["symmetric"] = symmetric = windows.symmetric(found)
        return found if symmetric else None

    @cached_property
    def _failed(self) -> Tensor:
        """(N,) bool: as `_ended_badly`, where what is around the mover may tell; not where a level above knows why."""
        return self._ended_badly if self.spoilers is None else self._ended_badly & ~self.spoilers.explained

    @cached_property
    def _ended_badly(self) -> Tensor:
        """(N,) bool: the step from this row ended the episode without success. Where play never succeeded, who knows
        what an end means: none."""
        play = self.play
        failed = torch.zeros(len(play), dtype=torch.bool)
        if bool(play.success.any()):
            failed[:-1] = play.terminated[1:] & ~play.success[:-1]
        return failed


def changes_afar(maps: Tensor, starts: Tensor, at: Tensor, tokens: int = 1) -> bool:
    """Whether steps change ground beyond the cells next to the mover, as who pushes a box does: what changes two cells
    away then hardly ever does alone. maps (N, H, W) of ground * tokens + token; starts, at (K,): rows and cells of the
    mover."""
    alone, together = 0, 0
    for rows, cells in zip(starts.split(CHUNK), at.split(CHUNK), strict=True):
        changed = (maps[rows] // tokens != maps[rows + 1] // tokens).long()
        near, all_ = (crop(changed, cells, radius, outside=0).flatten(1).sum(1) for radius in (RADIUS, RADIUS + 1))
        alone += int(((all_ > near) & (near == 0)).sum())
        together += int(((all_ > near) & (near > 0)).sum())
    return together >= FEW and together >= SURE * (together + alone)


@torch.inference_mode()
def mispredicted(level: Level, maps: Tensor, actions: Tensor, starts: Tensor, generator: torch.Generator) -> Tensor:
    """Rows of play, among some drawn evenly, whose next observation the level gets wrong as it is now."""
    found = []
    for rows in starts[torch.randint(len(starts), (MINED,), generator=generator)].split(512):
        before, after = maps[rows], maps[rows + 1]
        predicted = level.predict(before, actions[rows])
        wrong = predicted != after
        if level.dynamics.local:  # what else changed is not its doing
            at, dynamics = level.space.mover(before), level.dynamics
            near = [dynamics.view(crop(each, at, RADIUS, outside=0), before, at) for each in (predicted, after)]
            wrong = (near[0] != near[1]) & dynamics.touched(before, at, actions[rows])
        found.append(rows[wrong.flatten(1).any(1)])
    return torch.cat(found)
