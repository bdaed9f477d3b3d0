"""Levels of events, for observations that are maps of symbols: level 0 on cells and actions, then one for every gap
between the time scales that play shows.

A level above 0 has the metastable sets of the symbols below for symbols (`hplan.levels.timescales`), and a step of it
is an event: some cell changes its symbol.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from hplan.levels.dynamics import WINDOW, prediction_loss
from hplan.levels.heads.event_returns import count_returns
from hplan.levels.heads.landmarks import LandmarkEdges
from hplan.levels.heads.success import success_rows, success_stages
from hplan.levels.heads.violation import violation_stages
from hplan.levels.level import Level
from hplan.levels.stage import Stage, Stages
from hplan.levels.timescales import (
    Gap,
    Pairs,
    SlowEncoder,
    Symbols,
    cell_pairs,
    cuts,
    functions_of,
    gaps,
    slow_stages,
    slow_symbols,
)
from hplan.objectives.collapse import SAMPLE as EXAMINED
from hplan.objectives.collapse import examine, some, warn_of_collapse
from hplan.objectives.criterion import Criterion
from hplan.planning.energy import Lifted, NearLatent
from hplan.planning.search import BestFirstSearch
from hplan.play.play import Play
from hplan.training.cells import CellLevel
from hplan.training.counting import are_variables, table_level
from hplan.training.history import history_of
from hplan.training.mover import Mover, Spoilers, reach_level, several_movers
from hplan.training.mover import wanted_stride as reach_stride
from hplan.training.symbols import (
    EventSteps,
    RareDraws,
    count_events,
    event_steps,
    index_maps,
)
from hplan.training.tiles import Tiles
from hplan.training.train import History, Ratio
from hplan.types import Budget, SymbolWarning, UsageError
from hplan.validation import Count, Integer, Number, validated

PRIOR_CELLS = 4096  # in a batch of the prior, about: it looks at whole maps, many times over
SHOWN = 12  # slowest functions whose time scales, in steps, the metadata tells; the first is the constant
LEAST_EVENTS, LONGER = 2, 2  # of a level: events in the busiest tenth of episodes, steps of the one below in each
TRIED = 50  # events that are planned to find how long a step is, but for those left when all have spent too much
EVALUATIONS, ALL_EVALUATIONS, HORIZON = 2048, 20_000, 256  # of one such plan and of all, and steps ahead


@validated
class EventSettings:
    """Sizes and lengths of training; a task may override any by budget (tasks/README.md)."""

    base_steps: Count = 1200
    above_steps: Count = 400
    batch: Annotated[Integer, Field(ge=8)] = 256
    channels: Count = 24
    hidden: Annotated[Integer, Field(ge=3)] = 48
    objective: str = "infonce"  # hplan.parts has the names
    discount: Annotated[Number, Field(gt=0, lt=1)] = 0.999  # of rewards, for each environment step: tables are exact
    history: History = "auto"  # observations that level 0 sees at once; auto: as many as it takes to predict the next
    ratio: Ratio = 0  # levels are cut at processes of so many steps, its square, ...; 0: at gaps between time scales
    identity: bool = False  # levels above take the symbols below as they are, for ablation
    rare: bool = True  # rare kinds of change are drawn more often, weigh more, and mistakes are practised


class Events(CellLevel):
    """How levels are cut and learned, `hplan.training.train.Abstraction`."""

    Settings = EventSettings
    observations = ("symbols", "image")

    def __init__(self, settings: EventSettings, play: Play, held: Play, *, count: int | None, seed: int) -> None:
        """`play` to learn from, and `held` out to check on. `count`: of levels, None for as many
        as play has time scales apart; fewer keep the widest gaps, or the fastest cuts of `settings.ratio`."""
        self.tiles: Tiles | None = None
        if play.observation_spec.kind == "image":
            self.tiles = Tiles.of(play)
            play, held = self.tiles.seen(play), self.tiles.seen(held)
        self.beginning = False
        self.history = history_of(play, seed) if settings.history == "auto" else settings.history
        play, held = play.with_history(self.history), held.with_history(self.history)
        self.settings, self.play, self.held, self.count, self.seed = settings, play, held, count, seed
        self.edges: dict[int, LandmarkEdges] = {}  # maps have no landmarks
        self.facts: dict[str, Any] = {}
        self.tables = are_variables(play)
        if self.tables and play.reading is not None:
            self.play, self.held = play, held = play.with_missions(), held.with_missions()
        if self.tables and (count or 1) > 1:
            raise UsageError(
                f"--levels {count}: a few discrete variables are planned as a whole, on one level: choose 1 or auto"
            )
        if self.tables:
            return
        self.vocabulary, self.maps = index_maps(play)  # of the highest level so far
        self.starts = play.starts(1)
        self.success = success_rows(play)
        # Where there is a mover apart from the ground, events are what it can reach.
        self.mover: Mover | None = None
        if self.vocabulary.mover:
            shown = len(self.vocabulary.tokens)
            self.mover = Mover.of(self.vocabulary.tokens, self.maps, self.starts)
            self.vocabulary = replace(self.vocabulary, tokens=self.mover.tokens)
            self.maps = self.maps // shown * len(self.mover.tokens) + self.maps % shown
            if self.reaches and count != 1:
                self.spoilers = Spoilers.of(self.maps, len(self.mover.tokens), self.mover.steps, self._ended_badly)
        elif self.tiles is None and (several := several_movers(play.observations)):
            warnings.warn(
                f"feature {several[0]} marks {several[1]} cells of every map, as if there were {several[1]} movers: "
                "what one of them can reach is not learned, and levels are cut by time scales alone",
                SymbolWarning,
                stacklevel=2,
            )
        self.facts["mover"] = self.mover is not None
        self.pairs: Pairs | None = None
        self.slow: SlowEncoder | None = None
        self.gaps: list[Gap] = []
        self.happened: EventSteps | None = None

    def tolerance(self, level: Level) -> float:
        """Steps of the level within which a goal observation counts as reached: equal symbols are."""
        return 0.0

    def prepare(self, stack: tuple[Level, ...]) -> Stages:
        """Before the next level can be drafted: the time scales of the symbols of the highest one."""
        if self.tables:
            return
        if len(stack) == 1 and self.reaches and (self.count or 0) > 2:
            raise UsageError(
                f"--levels {self.count}: above what the mover can reach there is no level: choose 1, 2 or auto"
            )
        if not stack or len(stack) == self.count or self.reaches or (len(stack) > 1 and not self.gaps):
            return
        below = stack[len(stack) - 1]
        self.pairs = cell_pairs(below.space.symbols, self.maps, self.starts)
        torch.manual_seed(self.seed)
        self.slow = SlowEncoder(self.pairs.latents.shape[1], functions_of(len(self.pairs.latents)))
        yield from slow_stages(self.slow, self.pairs, f"level{len(stack)}-timescales")
        if len(stack) == 1:
            self.facts["time_scales"] = [round(time, 1) for time in self.slow.times[1:SHOWN].tolist()]
            self.gaps = self._chosen(self._separations())

    def draft(self, stack: tuple[Level, ...]) -> Level | None:
        """The next level, untrained; None where there is none worth it."""
        if self.tables:
            return None if stack else table_level(self.play, self.held, self.settings.discount, self.facts)
        if not stack:
            torch.manual_seed(self.seed)
            return self._base()
        if self.reaches:
            level = self._reach(stack[0]) if len(stack) == 1 != self.count else None
            if level is None and (self.count or 1) > len(stack):
                raise UsageError(
                    f"--levels {self.count}: play shows no event, nothing but the mover ever changed: choose 1 or "
                    "auto, or play more (--steps)"
                )
            return level
        if not self.gaps:
            return None
        assert self.pairs is not None and self.slow is not None
        gap, below = self.gaps.pop(0), stack[-1]
        slow = _all_symbols(below) if self.settings.identity else slow_symbols(self.slow, self.pairs, gap.functions)
        self.maps_below, self.maps = self.maps, slow.table[self.maps]
        self.happened = event_steps(self.maps, self.play)
        torch.manual_seed(self.seed + len(stack))
        return self._above(below, slow, self.happened)

    def stages(self, level: Level, stack: tuple[Level, ...]) -> Stages:
        """What `level` learns, above `stack`. Tables are counted already."""
        if self.tables:
            return
        if level.index == 0:
            yield from self._base_stages(level)
        elif not self.reaches:
            yield from self._event_stages(level)
        maps = self.maps
        latents = maps.__getitem__ if level.index else self.base_maps
        laid_out = maps.__getitem__ if self.reaches or not level.index else None
        yield from success_stages(level, latents, self.success, self.seed, self.play, laid_out)
        yield from violation_stages(level, self.play, self.maps, self.seed)
        if level.index and self.reaches:
            if not self.success.any() and bool(self.play.rewards.any()):
                told = count_returns(level, self.play, self.maps, self.settings.discount)
                self.facts["rewards_explained"] = round(told, 3)
            level.eval()
            level.stride = reach_stride(level, maps, self.play, self.seed)
        elif level.index:
            assert self.happened is not None
            level.eval()
            level.stride = wanted_stride(level, stack[-1], self.maps_below, self.happened, self.seed)

    def finish(self, level: Level) -> bool:
        """Whether the level is kept; warns of one that collapsed. What is counted cannot."""
        if self.tables:
            return True
        warn_of_collapse(level, examine(level, some(self.maps, EXAMINED)))
        return True

    # ----------------------------------------------------------------------------------------------- levels of events

    @property
    def reaches(self) -> bool:
        """Whether events are what the mover can reach. By hand they are cut by time, for ablation."""
        return self.mover is not None and not (self.settings.ratio or self.settings.identity)

    def _reach(self, base: Level) -> Level | None:
        torch.manual_seed(self.seed + 1)
        assert self.mover is not None
        found = reach_level(base, self.mover, self.maps, self.play, self.settings.hidden // 2, self.spoilers)
        if found is None:
            return None
        level, self.maps = found
        return level

    def _above(self, below: Level, slow: Symbols, happened: EventSteps) -> Level:
        settings, (vocabulary, channels) = self.settings, slow.sets.shape
        types, sizes = len(happened.edits), {"channels": channels, "hidden": settings.hidden}
        level = Level(
            index=below.index + 1,
            parts={
                "encoder": {"kind": "slow-symbols", "vocabulary": len(below.space.symbols)},
                "prior": {"kind": "event", "types": types, **sizes},
                "dynamics": {
                    "kind": "local-convolution",
                    "macros": types,
                    "pointed": True,
                    **sizes,
                },
                "success": {"kind": "map", "channels": channels, "hidden": settings.hidden // 2},
                "space": {"kind": "discrete-map", "vocabulary": vocabulary, "channels": channels},
                "macros": {"kind": "events", "types": types},
            },
        )
        level.encoder.table.copy_(slow.table)
        level.space.set_codes(slow.sets)
        level.dynamics.local.fill_(self.maps[0].numel() > WINDOW and happened.local())
        level.macros.edits.copy_(happened.edits)
        return level

    def _event_stages(self, level: Level) -> Stages:
        """What events do, and which of them come next. The encoder is done."""
        settings, happened = self.settings, self.happened
        assert happened is not None
        batch, rare = settings.batch // 2, settings.rare
        height, width = self.maps.shape[1:]
        kinds = happened.macro // (height * width)
        draws = RareDraws.of(kinds if rare else torch.zeros_like(kinds))
        codes, prior = (level.space.codes[:-1], None), level.prior_head
        criterion = Criterion(settings.objective, level.space.channels, level.encoder)

        def prediction(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            rows = draws(batch, generator)
            before, after, macro = happened.before[rows], happened.after[rows], happened.macro[rows]
            loss, _, figures = prediction_loss(level, before, macro, after, codes, criterion, rare=rare)
            # The prior has to know what can happen rather than how often play did it: rare kinds count for more here.
            few = rows[:: max(batch * height * width // PRIOR_CELLS, 2)]
            rounds = int(torch.randint(max(height, width) // 2, height + width + 1, (1,), generator=generator))
            likelihood = F.nll_loss(prior(level, happened.before[few], rounds), happened.macro[few])
            return loss + likelihood, figures | {"prior": likelihood.detach()}

        world = nn.ModuleList([level.dynamics, prior, criterion])
        yield Stage(f"level{level.index}", world, prediction, settings.above_steps, lr=2e-3)

    def _separations(self) -> list[Gap]:
        """The gaps of the spectrum that are levels of their own, the fastest first.

        There are gaps, too, between what never happens and what hardly ever does, and between a slow world and what was
        seen in it once. So something has to happen on a level, or there is nothing to plan: two events an episode, in
        one episode of ten. And something has to be dropped from it: its steps take two of the level below, or more.
        `settings.ratio`: the cuts of `hplan.levels.timescales.cuts` instead, all at which anything is dropped and
        anything happens.
        """
        assert self.slow is not None and self.pairs is not None
        ratio, found, below = self.settings.ratio, [], count_events(self.maps, self.play).sum()
        for gap in cuts(self.slow.times, ratio) if ratio else gaps(self.slow.times):
            table = slow_symbols(self.slow, self.pairs, gap.functions).table
            count = count_events(table[self.maps], self.play)
            total = count.sum()
            often = np.quantile(count, 0.9) >= LEAST_EVENTS and total * LONGER <= below
            if 0 < total < below if ratio else often:
                found.append(gap)
                below = total
        return found

    def _chosen(self, there: list[Gap]) -> list[Gap]:
        """Where fewer levels are wanted than there are gaps, the widest gaps are the ones to keep; of cuts by hand,
        which are as wide as each other, the fastest."""
        most = len(there) + 1
        if self.count is not None and self.count > most:
            by_hand = f" by a ratio of {self.settings.ratio}" if self.settings.ratio else ""
            raise UsageError(
                f"--levels {self.count}: this play has {most} time scales apart{by_hand}, choose 1 to {most} or auto"
            )
        widest = sorted(there, key=lambda gap: (-gap.ratio, gap.time))[: (self.count or most) - 1]
        return sorted(widest, key=lambda gap: gap.time)


@torch.inference_mode()
def wanted_stride(level: Level, below: Level, maps_below: Tensor, happened: EventSteps, seed: int) -> float:
    """Environment steps of a step of a level of events when it is wanted: the mean over plans of the level below for
    events that play showed, from where the event before had left it. Play's own mean where no plan is found, since play
    takes its time. maps_below (N, H, W) are all of play as the level below sees it."""
    planner, lengths, spent = BestFirstSearch(), [], 0
    some = torch.randperm(len(happened.rows), generator=torch.Generator().manual_seed(seed))[:TRIED]
    for i in some.tolist():
        if spent >= ALL_EVALUATIONS:
            break
        goal = Lifted(level, NearLatent(level, happened.after[i], 0.0))
        start = maps_below[happened.rows[i] + 1 - int(happened.duration[i])]
        result = planner.plan(below, start, goal, budget=Budget(EVALUATIONS, HORIZON))
        spent += result.evaluations
        lengths += [len(result)] * result.reached
    return float(np.mean(lengths)) * below.stride if lengths else float(happened.duration.mean())


def _all_symbols(below: Level) -> Symbols:
    """Nothing is dropped: what an upper level without an encoder of its own sees."""
    return Symbols(below.space.symbols, torch.arange(len(below.space.symbols)))
