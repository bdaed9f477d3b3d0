"""How level 0 of a spatial stack is trained: what every action does to every cell, and where it does anything."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hplan.levels.focus import WINDOW
from hplan.levels.spatial import CERTAIN, SpatialLevel
from hplan.objectives.criterion import Criterion
from hplan.training.fit import Loss, Progress, fit
from hplan.training.maps import (
    Maps,
    certainty,
    change_kinds,
    changes,
    draw,
    movers,
    rare_sampler,
)
from hplan.training.success import train_success
from hplan.training.trained import Curves
from hplan.types import ActionSpec, ObservationSpec

CHANCES = 4  # times as many steps where chances have to be learned from noise
ROUNDS, FIRST, HARD = (
    3,
    0.6,
    0.3,
)  # of training level 0: how many, the first one's share of steps, mined rows in a batch
MINED = 40_000  # rows that are looked through for mistakes after a round
ABSORBED = 0.05  # of a batch of level 0 are ended episodes, in which every action changes nothing
MOST_ENDS = 65536


def train_base(
    maps: Maps,
    spec: ObservationSpec,
    actions: ActionSpec,
    *,
    steps: int,
    batch: int,
    channels: int,
    hidden: int,
    objective: str,
    rare: bool,
    seed: int,
    out: Path,
    device: str,
    progress: Progress | None,
) -> tuple[SpatialLevel, dict[str, list]]:
    """Level 0: encoder and predictor by `objective` over known cells, then the success head on frozen latents."""
    torch.manual_seed(seed)
    level = SpatialLevel(
        index=0,
        vocabulary=len(maps.cells),
        macros=actions.size,
        channels=channels,
        hidden=hidden,
        cardinalities=spec.cardinalities,
        macro_names=actions.names,
    )
    level.cells.copy_(maps.cells)
    changed = torch.cat([changes(maps.maps, part) for part in maps.starts.split(8192)]).float()
    level.supported.copy_(torch.zeros(actions.size).index_add_(0, maps.actions[maps.starts], changed) > 0)
    level.typical_change.copy_(changed[changed > 0].median() if bool((changed > 0).any()) else torch.tensor(1.0))
    if maps.maps[0].numel() > WINDOW:
        level.movers.copy_(movers(maps))
        level.focused.fill_(bool(level.movers.any()))
    # Rare kinds of change are drawn more often, unless the same action may end in several ways: then how often it ends
    # in which is what has to be learned.
    level.certainty_.fill_(certainty(maps))
    steps *= 1 if level.certainty >= CERTAIN else CHANCES
    rare = rare and level.certainty >= CERTAIN
    kinds = change_kinds(maps) if rare else torch.zeros(len(maps.starts), dtype=torch.long)
    cumulative = rare_sampler(kinds)

    ends = maps.ends[:: max(len(maps.ends) // MOST_ENDS, 1)]
    absorbed = int(batch * ABSORBED) if len(ends) else 0

    criterion = Criterion(objective, channels, level.embed)

    def prediction(hard: Tensor) -> Loss:
        """The objective; a share of the batch are `hard` rows, if there are any."""
        known = int(batch * HARD) if len(hard) else 0

        def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            rows = maps.starts[draw(cumulative, batch - absorbed - known, generator)]
            if known:
                rows = torch.cat([rows, hard[torch.randint(len(hard), (known,), generator=generator)]])
            taken, following = maps.actions[rows], rows + 1
            if absorbed:
                over = ends[torch.randint(len(ends), (absorbed,), generator=generator)]
                taken = torch.cat([taken, torch.randint(actions.size, (absorbed,), generator=generator)])
                rows, following = torch.cat([rows, over]), torch.cat([following, over])
            return level.prediction_loss(maps.maps[rows], taken, maps.maps[following], criterion, rare=rare)

        return loss

    world = nn.ModuleList([level.embed, level.predictor, level.prior_net, criterion])
    curves: Curves = {}
    # Later rounds practise what the one before got wrong: mostly actions that fail where they seldom are tried.
    mined = ROUNDS if rare else 1
    hard = torch.empty(0, dtype=torch.long)
    for turn in range(mined):
        name = "level0" if turn == 0 else f"level0-hard{turn}"
        length = steps if mined == 1 else round(steps * (FIRST if turn == 0 else (1 - FIRST) / (mined - 1)))
        curves[name] = fit(
            world,
            prediction(hard),
            name=name,
            steps=length,
            seed=seed,
            out=out,
            lr=2e-3 if turn == 0 else 1e-3,
            device=device,
            progress=progress,
        )
        if turn + 1 < mined:
            hard = mispredicted(level, maps, torch.Generator().manual_seed(turn))
    level.freeze()
    curves |= train_success(
        level,
        lambda rows: level.decode(maps.maps[rows]),
        maps.success,
        seed=seed,
        out=out,
        device=device,
        progress=progress,
    )
    return level.eval(), curves


@torch.inference_mode()
def mispredicted(level: SpatialLevel, maps: Maps, generator: torch.Generator) -> Tensor:
    """Rows of play, among some drawn evenly, whose next observation the level gets wrong as it is now. Its codes become
    what the encoder says now; `freeze` sets them for good."""
    level.codes.copy_(level.embeddings())
    found = []
    for rows in maps.starts[torch.randint(len(maps.starts), (MINED,), generator=generator)].split(512):
        predicted = level.symbols(level.predict(level.decode(maps.maps[rows]), maps.actions[rows]))
        found.append(rows[(predicted != maps.maps[rows + 1]).flatten(1).any(1)])
    return torch.cat(found)
