"""How a stack over spatial latents is trained from play: level 0 on cells and actions, then levels of events.

Everything here works on index maps (`hplan.training.maps`); a level above sees the same maps in symbols of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.focus import WINDOW
from hplan.levels.spatial import SpatialLevel
from hplan.objectives.collapse import SAMPLE, examine, some, warn_of_collapse
from hplan.objectives.criterion import Criterion
from hplan.play.play import Play
from hplan.training.calibration import calibrate_stack
from hplan.training.durations import wanted_stride
from hplan.training.fit import Progress, fit
from hplan.training.maps import (
    Maps,
    draw,
    events,
    hold_out,
    index_maps,
    rare_sampler,
)
from hplan.training.slow import Symbols, cell_pairs, separations, slow_symbols, train_slow
from hplan.training.spatial_base import train_base
from hplan.training.success import train_success
from hplan.training.trained import Trained
from hplan.types import UsageError

PRIOR_CELLS = 4096  # in a batch of the prior, about: it looks at whole maps, many times over
SHOWN = 12  # slowest functions whose time scales, in steps, an agent's card tells; the first is the constant


def train_above(
    below: SpatialLevel,
    maps: Maps,
    symbols_below: Tensor,
    slow: Symbols,
    *,
    steps: int,
    batch: int,
    hidden: int,
    objective: str,
    rare: bool,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
) -> tuple[SpatialLevel, Tensor, dict[str, list]]:
    """A level of events over the `slow` symbols of the latents below; also the play in these, for the level above.

    `symbols_below` (N, H, W) are the maps of the level below. The encoder is done: what is left to learn is what events
    do, and which of them come next.
    """
    index, symbols = below.index + 1, slow.table[symbols_below]
    happened = events(symbols, maps.starts)
    torch.manual_seed(seed + index)
    level = SpatialLevel(
        index=index,
        vocabulary=len(slow.sets),
        macros=len(happened.edits),
        channels=slow.sets.shape[1],
        hidden=hidden,
        below=(len(below.codes), below.channels),
        identity=isinstance(slow.encoder, nn.Identity),
    )
    level.embed.load_state_dict(slow.encoder.state_dict())
    level.inputs.copy_(below.codes)
    level.codes.copy_(slow.sets)
    level.freeze()
    level.focused.fill_(symbols[0].numel() > WINDOW and happened.local())
    level.edits.copy_(happened.edits)
    kinds = happened.macro // symbols[0].numel()
    cumulative = rare_sampler(kinds if rare else torch.zeros_like(kinds))
    criterion = Criterion(objective, level.channels, level.embed)
    height, width = symbols.shape[1:]

    def prediction(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = draw(cumulative, batch, generator)
        loss, figures = level.prediction_loss(
            happened.before[rows], happened.macro[rows], happened.after[rows], criterion, rare=rare
        )
        # The prior has to know what can happen rather than how often play did it: rare kinds count for more here too.
        few = rows[:: max(batch * height * width // PRIOR_CELLS, 2)]
        z = level.embeddings()[happened.before[few]].movedim(-1, 1).detach()
        rounds = int(torch.randint(max(height, width) // 2, height + width + 1, (1,), generator=generator))
        log_p = level.event_prior(z, happened.before[few], rounds)
        prior = F.nll_loss(log_p, happened.macro[few])
        return loss + prior, figures | {"prior": prior.detach()}

    name = f"level{index}"
    world = nn.ModuleList([level.predictor, level.prior_net, criterion])
    curves = {
        name: fit(
            world, prediction, name=name, steps=steps, seed=seed, out=out, lr=2e-3, device=device, progress=progress
        )
    }
    curves |= train_success(
        level,
        lambda rows: level.decode(symbols[rows]),
        maps.success,
        seed=seed,
        out=out,
        device=device,
        progress=progress,
    )
    level.eval().stride_.fill_(wanted_stride(level, below, symbols_below, happened, seed))
    return level, symbols, curves


@dataclass(frozen=True)
class SpatialSettings:
    """Sizes and lengths of training; a task may override any by budget (tasks/README.md)."""

    base_steps: int = 1200
    above_steps: int = 400
    batch: int = 256
    channels: int = 24
    hidden: int = 48
    objective: str = "infonce"  # hplan.objectives.objective has the names
    ratio: int = 0  # levels are cut where processes take so many steps, its square, ...; 0: at gaps between them
    identity: bool = False  # levels above take the symbols below as they are, for ablation
    rare: bool = True  # rare kinds of change are drawn more often, weigh more, and mistakes are practised


def train_spatial(
    play: Play,
    *,
    levels: int | str,
    settings: SpatialSettings,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
) -> Trained:
    """A stack over the symbols of play. `levels`: "auto" takes one for every gap between time scales that play shows,
    or for every cut of `settings.ratio`; fewer keep the widest gaps, or the fastest cuts.

    Raises UsageError where more levels are asked for than there are time scales apart.
    """
    maps = index_maps(play, play.observation_spec)
    fitted, apart = hold_out(maps, play.episode.numpy())
    run = {"seed": seed, "out": out, "device": device, "progress": progress}
    shared = run | {"hidden": settings.hidden, "objective": settings.objective, "rare": settings.rare}
    base, curves = train_base(
        fitted,
        play.observation_spec,
        play.action_spec,
        steps=settings.base_steps,
        batch=settings.batch,
        channels=settings.channels,
        **shared,
    )
    warn_of_collapse(base, examine(base, base.decode(some(fitted.maps, SAMPLE))))
    stack, below, facts = [base], fitted.maps, {}

    def trained() -> Trained:
        count, held = len(stack), play.select(torch.from_numpy(apart))
        succeeds = bool(fitted.success.any())
        calibration = calibrate_stack(stack, held, seed)
        return Trained(tuple(stack), calibration, (0.0,) * count, (succeeds,) * count, curves, facts)

    if levels == 1:
        return trained()
    pairs = cell_pairs(base.codes, fitted.maps, fitted.starts)
    slow, more = train_slow(pairs, name="level1-timescales", **run)
    curves |= more
    found = separations(slow, pairs, fitted, play.episode.numpy(), settings.ratio)
    facts = {"time_scales": [round(time, 1) for time in slow.times[1:SHOWN].tolist()]}
    count = len(found) + 1 if levels == "auto" else int(levels)
    if count > len(found) + 1:
        most, by_hand = len(found) + 1, f" by a ratio of {settings.ratio}" if settings.ratio else ""
        raise UsageError(
            f"--levels {count}: this play has {most} time scales apart{by_hand}, choose 1 to {most} or auto"
        )
    # Where fewer levels are wanted than there are gaps, the widest gaps are the ones to keep; of cuts by hand, which
    # are as wide as each other, the fastest.
    for gap in sorted(sorted(found, key=lambda g: (-g.ratio, g.time))[: count - 1], key=lambda g: g.time):
        if len(stack) > 1:
            pairs = cell_pairs(stack[-1].codes, below, fitted.starts)
            slow, more = train_slow(pairs, name=f"level{len(stack)}-timescales", **run)
            curves |= more
        level, below, more = train_above(
            stack[-1],
            fitted,
            below,
            whole(stack[-1]) if settings.identity else slow_symbols(slow, pairs, gap.functions),
            steps=settings.above_steps,
            batch=settings.batch // 2,
            **shared,
        )
        stack.append(level)
        curves |= more
        warn_of_collapse(level, examine(level, level.decode(some(below, SAMPLE))))
    return trained()


def whole(below: SpatialLevel) -> Symbols:
    """Nothing is dropped: what an upper level without an encoder of its own sees."""
    return Symbols(nn.Identity(), below.codes, torch.arange(len(below.codes)))
