"""How a level over vector latents is trained from play: level 0 on observations, each level above on latents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from hplan.levels.landmarks import farthest_points, nearest_landmark
from hplan.levels.vector import NEAR, VectorLevel
from hplan.objectives.criterion import Criterion
from hplan.play.play import Layouts
from hplan.training.balance import RAREST, EvenDraws
from hplan.training.fit import Progress, fit
from hplan.types import ActionSpec, HplanError, ObservationSpec

SAMPLE = 20_000  # latents and windows that calibration looks at
LANDMARKS = 2048  # at most; as far apart as latents are the same place (`NEAR`)
LATTICE = 1.0  # steps across a cell of the lattice that tells latents apart where no landmark is near
SQUARED = 600  # first steps of training level 0, in which nothing counts as chance: it knows too little to say
RAREST_OBSERVED = 1.5  # times that a row counts at level 0: of many more, leaps of chance would pass for long steps
SUPPORT_STEPS, SUPPORT_BATCH = 1000, 1024
MOVING = 0.25  # a window moved if its step is more than this share of a long one (the 95th percentile)


@dataclass(frozen=True)
class Play:
    """What a level sees of play: below (N, inputs) float, actions (N, ...), remaining (N,) steps left in it, and the
    layouts that it is in, if there are any."""

    below: Tensor
    actions: Tensor
    remaining: Tensor
    layouts: Layouts | None = None

    def starts(self, horizon: int) -> Tensor:
        """(K,) int64 rows at which a window of `horizon` environment steps starts."""
        found = torch.nonzero(self.remaining >= horizon)[:, 0]
        if not len(found):
            raise HplanError(
                f"no episode of play has {horizon} steps, which a window of this level takes: play longer episodes or "
                "use fewer levels"
            )
        return found

    def at(self, rows: Tensor, level: VectorLevel) -> VectorLevel:
        """The level as it is at these rows (K,): given the layouts that they are in."""
        return level if self.layouts is None else self.layouts.given(level, rows)

    def reach(self, stride: int) -> int:
        """Pixels of a layout that a level of this stride has to see to each side; 0 where there is none."""
        return 0 if self.layouts is None else self.layouts.reach(self.starts(stride), stride)


def base_level(
    spec: ObservationSpec,
    actions: ActionSpec,
    *,
    latent: int = 16,
    hidden: int = 128,
    octaves: int = 5,
    view: int = 0,
) -> VectorLevel:
    """An untrained level 0 for these spaces."""
    return VectorLevel(
        index=0,
        inputs=spec.shape[0],
        macros=actions.size,
        macro_kind=actions.kind,
        macro_low=actions.low if actions.kind == "continuous" else (),
        macro_high=actions.high if actions.kind == "continuous" else (),
        macro_names=actions.names,
        landmarks=LANDMARKS if actions.kind == "discrete" else 1,  # nothing searches over continuous actions
        latent=latent,
        hidden=hidden,
        octaves=octaves,
        view=view,
    )


def level_above(
    below: VectorLevel,
    *,
    stride: int,
    codes: int = 64,
    latent: int = 16,
    hidden: int = 128,
    identity: bool = False,
    view: int = 0,
) -> VectorLevel:
    """An untrained level above `below`; its steps last `stride` environment steps. `identity`: it encodes nothing."""
    window = stride * below.macro.size if below.index == 0 else 0
    return VectorLevel(
        index=below.index + 1,
        inputs=below.config["latent"],
        macros=codes,
        stride=stride,
        window=window,
        latent=below.config["latent"] if identity else latent,
        identity=identity,
        hidden=hidden,
        landmarks=LANDMARKS,
        view=view,
        guides=below.macro.size if below.macro.kind == "continuous" else 0,
    )


def train_vector_level(
    level: VectorLevel,
    play: Play,
    *,
    steps: int,
    seed: int,
    out: Path,
    batch: int = 256,
    rollout: int = 3,
    objective: str = "vicreg",
    inverse: bool = True,
    slow: float = 0.0,
    lr: float = 1e-3,
    device: str = "cpu",
    progress: Progress | None = None,
    stage: str = "",
) -> dict[str, list]:
    """Train one level on windows of `rollout` of its steps, calibrate and freeze it; returns the curve by stage.

    `objective`: by name (`hplan.objectives.objective`). Raises UsageError for an unknown one. `slow`: weight of
    slowness. `stage`: its name (default: the level's).
    """
    stride = round(level.stride)
    rows = play.starts(rollout * stride)
    if level.index == 0:
        level.features.measure(play.below)
    else:
        moved = moving(play, stride)
        rows = rows[torch.stack([moved[rows + i * stride] for i in range(rollout)]).all(0)]
    seen, rarest = (play.below, RAREST) if level.index else (level.features.standard(play.below), RAREST_OBSERVED)
    even = EvenDraws(rows, seen[rows], rarest)
    joints = torch.arange(rollout + 1) * stride
    within = torch.arange(rollout * stride)

    if level.sight is not None and play.layouts is not None:
        level.sight.measure(play.layouts.places)
    criterion = Criterion(objective, level.config["latent"], level.encoder)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = even(batch, generator)
        at = drawn[:, None]
        actions = play.actions[at + within]
        if level.index:
            actions = actions.unflatten(1, (rollout, stride))
        reads_actions = level.index == 0 or level.config["window"]
        below = play.below[at + joints]
        robust = level.index == 0 and step >= SQUARED
        read = actions if reads_actions else None
        here = play.at(drawn, level)
        value, figures = here.loss(below, read, generator, criterion, inverse=inverse, robust=robust, slow=slow)
        if level.sight is not None and play.layouts is not None:
            places = level.sight.loss(level.encode(below).detach(), play.layouts.places[at + joints])
            value, figures["place"] = value + places, places.detach()
        return value, figures

    name = stage or f"level{level.index}"
    world = nn.ModuleList([level, criterion])
    curve = fit(world, loss, name=name, steps=steps, seed=seed, out=out, lr=lr, device=device, progress=progress)
    curves = {name: curve}
    if level.index == 0:
        curves |= train_support(level, play, seed=seed, out=out, device=device, progress=progress)
    calibrate(level, play, seed=seed)
    level.requires_grad_(False)
    return curves


def train_support(
    level: VectorLevel, play: Play, *, seed: int, out: Path, device: str, progress: Progress | None
) -> dict[str, list]:
    """Finish what level 0 knows of where play has been, on its frozen latents: walls are thin, and a few thousand
    observations in a batch tell where they are."""
    name = "level0-support"
    z = encode_play(level, play).below
    even = EvenDraws(torch.arange(len(z)), z)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = even(SUPPORT_BATCH, generator)
        value = play.at(rows, level).support_loss(z[rows], play.below[rows], generator)
        return value, {"support": value.detach()}

    curve = fit(
        level.support,
        loss,
        name=name,
        steps=SUPPORT_STEPS,
        seed=seed,
        out=out,
        lr=3e-3,
        device=device,
        progress=progress,
    )
    return {name: curve}


def moving(play: Play, stride: int) -> Tensor:
    """(N,) bool: whether a step of `stride` environment steps from each row goes anywhere, seen from the level below.

    A demonstrator that hovers shows steps that lead nowhere; where it hovered, they would be all that a prior knows.
    """
    rows = play.starts(stride)
    size = (play.below[rows + stride] - play.below[rows]).square().sum(-1).sqrt()
    longest = size[:: max(len(size) // SAMPLE, 1)].quantile(0.95)
    moved = torch.zeros(len(play.below), dtype=torch.bool)
    moved[rows] = size > MOVING * longest
    return moved


@torch.no_grad()
def calibrate(level: VectorLevel, play: Play, *, seed: int) -> None:
    """Measure on play what one step of this level is: its size, the energies of real steps (but those that `train_fits`
    learns), and where latents lie.

    Windows that hardly moved (a demonstrator that hovers) are left out of the size and of the threshold.
    """
    generator = torch.Generator().manual_seed(seed)
    stride = round(level.stride)
    rows = play.starts(stride)
    rows = rows[torch.randint(len(rows), (SAMPLE,), generator=generator)]
    z, following = level.encode(play.below[rows]), level.encode(play.below[rows + stride])
    size = (following - z).square().sum(-1).sqrt()
    moved = size > MOVING * size.quantile(0.95)
    level.unit.copy_(size[moved].median() if bool(moved.any()) else torch.tensor(1.0))
    level.hop_threshold.zero_()
    if not level.judges_steps:
        level.hop_threshold.copy_(play.at(rows, level).compatibility(z, following)[moved].quantile(0.99))
    count = len(level.landmarks)
    places = z[farthest_points(z, count, NEAR * float(level.unit))]
    level.landmarks.copy_(places[torch.arange(count).clamp(max=len(places) - 1)])
    gap = (z - level.landmarks[nearest_landmark(z, level.landmarks)]).square().sum(-1).sqrt().max()
    everywhere = play.layouts is None and gap <= 2 * NEAR * level.unit  # in another layout, ways lead where no play was
    level.lattice.fill_(torch.inf if everywhere else LATTICE * level.unit)


@torch.no_grad()
def encode_play(level: VectorLevel, play: Play) -> Play:
    """The same play as the level above sees it."""
    latents = torch.cat([level.encode(part) for part in play.below.split(16384)])
    return replace(play, below=latents)
