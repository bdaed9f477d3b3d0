"""One level over vectors, as levels of strides are made of: its parts, and how they are learned together from play."""

from __future__ import annotations

from math import prod
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from hplan.levels.encoders import standardised
from hplan.levels.heads.conditioning import level_at, square
from hplan.levels.heads.landmarks import farthest_points, nearest_landmark
from hplan.levels.level import Level
from hplan.levels.sampling import MOVING, RAREST, EvenDraws, moving, throughout
from hplan.levels.spaces import NEAR
from hplan.levels.stage import Stage, Stages
from hplan.objectives.criterion import Criterion
from hplan.objectives.diagnostics import perplexity
from hplan.objectives.slowness import slowness
from hplan.objectives.welsch import trust
from hplan.objectives.whole_batch import own_rows, whole_batch
from hplan.parts import find
from hplan.play.play import Play
from hplan.training.chance import leaps, ordinary, repeatable
from hplan.training.told import Reader
from hplan.training.train import History, Ratio
from hplan.types import ActionSpec, ObservationSpec
from hplan.validation import Count, Integer, NonNegative, Number, validated

SAMPLE = 20_000  # latents and windows that statistics are measured on
LANDMARKS = 2048  # at most; as far apart as latents are the same place (`NEAR`)
LATTICE = 1.0  # steps across a cell of the lattice that tells latents apart where no landmark is near
SQUARED = 600  # first steps of level 0 in which nothing counts as chance, unless an eye has learned what is near
RAREST_OBSERVED = 1.5  # times that a row counts at level 0: of many more, leaps of chance would pass for long steps
RARE = 8  # one in so many of a batch is a rare long step that is no chance, where there are any
SUPPORT_STEPS, SUPPORT_BATCH = 1000, 1024  # of the classifier of where play has been
SMALLEST_RATE = 1e-3  # of latents that collapse: the unit does not vanish with them
SMOOTHING = 0.99  # of the running size of a step, in which the dynamics counts while it is trained
CONTRAST = 0.1  # weight of the compatibility's own loss while the level is trained
COMMITMENT = 0.25  # weight of codes being near what they stand for
BLACK_OR_WHITE = (1, 1.0)  # channels of a map's pixels, and their largest value
CHUNK = 16_384  # rows that are encoded at once


@validated
class StrideSettings:
    """Sizes and lengths of training; a task may override any by budget (tasks/README.md)."""

    eye_steps: Count = 3000  # of what sees images
    base_steps: Count = 6000
    critic_steps: Count = 6000  # of the values, where an agent aims for reward
    above_steps: Count = 2500
    batch: Annotated[Integer, Field(ge=8)] = 128
    codes: Count = 64
    latent: Count = 16  # numbers of a latent
    hidden: Annotated[Integer, Field(ge=4)] = 128
    history: History = "auto"  # observations that level 0 sees at once; auto: as many as it takes to predict the next
    encoder: str = "auto"  # hplan.parts has the names; auto: fourier or standard numbers, one-hot symbols, colours
    objective: str = "vicreg"  # hplan.parts has the names
    eye_objective: str = "inverse"  # what sees images learns by; hplan.parts has the names
    discount: Annotated[Number, Field(gt=0, lt=1)] = 0.99  # of rewards, for each environment step
    labelled: Annotated[Number, Field(gt=0, le=1)] = 1.0  # share of the episodes of play of which actions are known
    inverse: bool = True  # latents of level 0 have to tell the action between them
    identity: bool = False  # levels above take the latents below as they are, for ablation
    rollout: Count = 3  # steps of level 1 that it is trained to predict open loop
    slow: NonNegative = 2.0  # weight of slowness above level 0: what a level keeps should outlast its steps
    shuffle: bool = False  # levels above 0 see the latents of an episode out of order: a negative control
    ratio: Ratio = 0  # steps of a level in one of the next; 0: as the level below is found reliable

    def steps(self, level: int) -> int:
        """How long a level learns. No head of it learns longer."""
        return self.above_steps if level else self.base_steps


def base_level(
    observation: ObservationSpec,
    actions: ActionSpec,
    *,
    encoder: str = "auto",
    latent: int = 16,
    hidden: int = 128,
    view: int = 0,
    pixel: tuple[int, float] = BLACK_OR_WHITE,
    history: int = 1,
    beginning: bool = False,
    ignored: tuple[int, ...] = (),
) -> Level:
    """An untrained level 0 for these spaces; `view`: pixels to each side that it sees of a layout; `pixel`: channels
    and largest value of each; `history`: how many observations make one of `observation`; `beginning`: whether the
    first one of the episode comes after them; `ignored`: numbers of a vector that it does not look at."""
    usual = {"vector": "fourier", "symbols": "one-hot", "image": "colours"}[observation.kind]
    kind = usual if encoder == "auto" else encoder
    latent = prod(observation.shape) - len(ignored) if kind == "standard" else latent
    seen, width = latent + (square(view, pixel[0]) if view else 0), actions.size + sum(actions.choices)
    image = observation.kind == "image"
    between = image or (observation.kind == "vector" and history > 1)  # two at once go together: none is mixed
    parts = {"conditioning": _sight(latent, hidden, view, pixel, judges=False)} if view else {}
    parts["encoder"] = {"kind": kind, "inputs": observation.shape, "latent": latent, "hidden": hidden}
    parts["encoder"] |= {"ignored": ignored} if ignored else {}
    if image:
        parts["encoder"] |= {"kind": "pixels", "eye": kind, "history": history, "beginning": beginning}
        parts["encoder"] |= {"numbers": observation.numbers} if observation.numbers else {}
    if observation.cardinalities:
        parts["encoder"]["cardinalities"] = observation.cardinalities
    parts["macros"] = {
        "kind": "actions",
        "action": actions.kind,
        "size": actions.size,
        "low": actions.low,
        "high": actions.high,
        "names": actions.names,
        **({"choices": actions.choices} if actions.choices else {}),
        "inverse": latent,
        "hidden": hidden,
    }
    parts["compatibility"] = {"kind": "in-distribution", "seen": seen, "hidden": hidden, "between": between}
    parts["dynamics"] = {"kind": "residual", "seen": seen, "macro": width, "latent": latent, "hidden": hidden}
    if image and hasattr(eye := find("encoder", kind), "dynamics"):
        parts["dynamics"] |= {"kind": eye.dynamics, "frames": observation.shape[2] // eye.channels}
    if actions.kind == "discrete":
        parts["prior"] = {"kind": "categorical", "seen": seen, "macros": actions.size, "hidden": hidden}
    return Level(index=0, parts=parts | _heads(seen, width, latent, hidden))


def level_above(
    below: Level,
    *,
    stride: int,
    codes: int = 64,
    latent: int = 16,
    hidden: int = 128,
    width: int = 8,
    identity: bool = False,
    view: int = 0,
    pixel: tuple[int, float] = BLACK_OR_WHITE,
    by_actions: bool = True,
) -> Level:
    """An untrained level above `below`; its steps last `stride` environment steps. `identity`: it encodes nothing.
    `by_actions`: right above level 0, codes stand for the actions in a step, and not for the latents at its ends."""
    inputs, index = below.space.size, below.index + 1
    latent = inputs if identity else latent
    seen = latent + (square(view, pixel[0]) if view else 0)
    window = stride * below.macro.size if below.index == 0 and by_actions else 0
    parts = {"conditioning": _sight(latent, hidden, view, pixel, judges=True)} if view else {}
    kind = "identity" if identity else "mlp"
    parts["encoder"] = {"kind": kind, "inputs": (inputs,), "latent": latent, "hidden": hidden}
    parts["macros"] = {
        "kind": "codes",
        "size": codes,
        "width": width,
        "window": window,
        "latent": latent,
        "hidden": hidden,
    }
    parts["compatibility"] = {"kind": "contrastive", "seen": seen, "latent": latent, "hidden": hidden}
    parts["dynamics"] = {"kind": "residual", "seen": seen, "macro": width, "latent": latent, "hidden": hidden}
    if below.macro.kind == "continuous":
        parts["policy"] = {
            "kind": "subgoal",
            "below": inputs,
            "seen": seen,
            "latent": latent,
            "actions": below.macro.size,
            "hidden": hidden,
        }
    parts["prior"] = {"kind": "categorical", "seen": seen, "macros": codes, "hidden": hidden}
    return Level(index=index, stride=stride, parts=parts | _heads(seen, width, latent, hidden))


def _sight(latent: int, hidden: int, view: int, pixel: tuple[int, float], *, judges: bool) -> dict[str, Any]:
    """What a level sees of a layout by."""
    sizes = {"latent": latent, "hidden": hidden, "reach": view, "judges": judges}
    return {"kind": "map", "channels": pixel[0], "white": pixel[1], **sizes}


def _heads(seen: int, macro: int, latent: int, hidden: int) -> dict[str, dict[str, Any]]:
    """What every level over vectors has at the end."""
    return {
        "success": {"kind": "vector", "latent": latent, "hidden": hidden // 2},
        "uncertainty": {"kind": "expected-error", "seen": seen, "macro": macro, "hidden": hidden // 2},
        "space": {"kind": "vector", "latent": latent, "landmarks": LANDMARKS},
    }


def level_stages(
    level: Level,
    play: Play,
    settings: StrideSettings,
    *,
    rollout: int,
    seed: int,
    slow: float = 0.0,
    name: str = "",
    labels: Tensor | None = None,
    told: Tensor | None = None,
) -> Stages:
    """Train one level on windows of `rollout` of its steps, then measure and freeze it. `slow`: weight of slowness;
    `name`: what is added to that of the stage; `labels` (N,) bool: rows whose actions are known, None for all. Level 0
    learns from these alone; `told` (D,) bool: numbers of observations that its latents have to tell."""
    level.requires_grad_(True)
    stride, conditioning, layouts = round(level.stride), level.conditioning, play.layouts
    rows = play.starts(rollout * stride)
    images = level.index == 0 and play.observation_spec.kind == "image"
    if level.index == 0:
        rows = rows if labels is None else rows[labels[rows]]
        rows = rows[throughout(~leaps(play), rows, rollout, 1)] if images else rows
        if hasattr(level.encoder, "measure"):
            level.encoder.measure(play.below)
        seen, rarest = standardised(play.below.flatten(1).float()), RAREST_OBSERVED
    else:
        rows = rows[throughout(moving(play, stride), rows, rollout, stride)]
        seen, rarest = play.below, RAREST
    even = EvenDraws(rows, seen[rows], rarest)
    joints, within = torch.arange(rollout + 1) * stride, torch.arange(rollout * stride)
    if conditioning is not None and layouts is not None:
        conditioning.measure(layouts.places)
    criterion = Criterion(settings.objective, level.space.size, level.encoder)
    reader = None if told is None else Reader(level.space.size, told)
    certain, rare = torch.zeros(len(play), dtype=torch.bool), rows[:0]
    close = ordinary(play) if images else None
    if level.index == 0 and play.observation_spec.kind == "vector":
        rare = repeatable(play)
        certain[rare] = True
        rare = rare[torch.isin(rare, rows)]

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        drawn = even(settings.batch, generator)
        if len(rare):
            share = settings.batch // RARE
            drawn[:share] = rare[torch.randint(len(rare), (share,), generator=generator)]
        at = drawn[:, None]
        actions = play.actions[at + within]
        if level.index:
            actions = actions.unflatten(1, (rollout, stride))
        below = play.below[at + joints]
        robust = None
        if level.index == 0 and (step >= SQUARED or close is not None):
            robust = ~certain[at + within]
        here, near = level_at(level, play, drawn), None if close is None else close[at + within]
        options = {"inverse": settings.inverse, "robust": robust, "near": near, "slow": slow}
        value, figures = joint_loss(here, below, actions, generator, criterion, **options)
        if reader is not None:
            off = reader.loss(level.encode(below[:, 0]), seen[drawn])
            value, figures["told"] = value + off, off.detach()
        if conditioning is not None and layouts is not None:
            places = conditioning.place_loss(level.encode(below).detach(), layouts.places[at + joints])
            value, figures["place"] = value + places, places.detach()
        return value, figures

    learners = nn.ModuleList([each for each in (level, criterion, reader) if each is not None])
    yield Stage(f"level{level.index}{name}", learners, loss, settings.steps(level.index))
    if level.index == 0:
        yield from _support_stages(level, play, settings.base_steps, name)
    measure(level, play, seed=seed)
    level.requires_grad_(False)


def joint_loss(
    level: Level,
    below: Tensor,
    actions: Tensor,
    generator: torch.Generator,
    criterion: Criterion,
    *,
    inverse: bool = True,
    robust: Tensor | None = None,
    near: Tensor | None = None,
    slow: float = 0.0,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Open-loop prediction in units of a step, by `criterion`; inverse dynamics or codes; compatibility; of H steps.

    below (B, H + 1, *inputs); actions (B, H, ...) at level 0, (B, H, S, ...) above, of S environment steps each.
    `inverse`: whether latents of level 0 have to tell the action between them. `robust` (B, H) bool: steps of which
    what is predicted far off counts as chance, and is not learned, but for such as are `near` (B, H) bool: what is seen
    hardly changed, so that the latents tear apart what is close. `slow`: weight of slowness.
    """
    z = level.encode(below)
    copy = criterion.follow(level.encoder)
    targets = z[:, 1:] if copy is None else copy(below[:, 1:])
    start, end = z[:, :-1].flatten(0, 1), z[:, 1:].flatten(0, 1)
    dynamics = level.dynamics
    if level.training:
        step = whole_batch((end - start).detach()).square().mean().sqrt()
        dynamics.rate.lerp_(step.clamp(min=SMALLEST_RATE), 1 - SMOOTHING)
    figures: dict[str, Tensor] = {}
    extra, macro, vectors = _macro_loss(level, start, end, actions, generator, figures, inverse=inverse)
    path = [z[:, 0]]
    for each in vectors.view(len(z), -1, vectors.shape[-1]).unbind(1):
        path.append(dynamics.advance(level, path[-1], each))
    unit = dynamics.rate * z.shape[-1] ** 0.5  # a typical step has length one
    predicted, target = torch.stack(path[1:], 1).flatten(0, 1) / unit, targets.flatten(0, 1) / unit
    costs = criterion.objective.agreement(predicted, whole_batch(target), own_rows(target))
    if robust is not None:
        close = None if near is None else near.flatten()
        weight = trust(predicted, target, whole_batch(end - start) / unit, near=close)
        costs = costs * weight.where(robust.flatten(), 1.0)
    spread = criterion.objective.spread(whole_batch(z[:, 0]))
    if level.index:
        contrast = level.compatibility_head.loss(level, z[:, 0], z[:, 1])
    else:
        contrast = level.compatibility_head.loss(level, z[:, 0].detach(), below[:, 0], generator)
    moved = slowness(z[:, 0], z[:, 1])
    total = costs.mean() + spread + slow * moved + CONTRAST * contrast + extra
    if level.prior_head is not None:
        prior = level.prior_head.loss(level, z[:, :-1].detach(), macro)
        total, figures["prior"] = total + prior, prior
    figures |= {"prediction": costs.view(len(z), -1)[:, 0], "spread": spread}
    figures |= {"slowness": moved, "contrast": contrast}
    return total, {name: figure.detach().mean() for name, figure in figures.items()}


def _macro_loss(
    level: Level,
    start: Tensor,
    end: Tensor,
    actions: Tensor,
    generator: torch.Generator,
    figures: dict[str, Tensor],
    *,
    inverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, macro-actions, their vectors) of the steps start -> end (B * H, D)."""
    macros = level.macros
    if level.index:
        x = macros.describe(level, start, end, actions.flatten(0, 1))
        macro, vectors, commitment = macros.quantise(x)
        taken = whole_batch(macro)
        if level.training:
            macros.follow(whole_batch(x.detach()), taken, generator)
        figures["codes"] = torch.tensor(perplexity(taken, level.macro.size))
        return COMMITMENT * commitment, macro, vectors
    macro = actions.flatten(0, 1)
    vectors = macros.embed(macro)
    if not inverse:
        return torch.zeros((), device=start.device), macro, vectors
    guess = macros.inverse(torch.cat([start, (end - start) / level.dynamics.rate], -1))
    numbers = vectors[..., : guess.shape[-1]]
    discrete = level.macro.kind == "discrete"
    loss = nn.functional.cross_entropy(guess, macro) if discrete else nn.functional.mse_loss(guess, numbers)
    figures["inverse"] = loss.detach()
    return loss, macro, vectors


def _support_stages(level: Level, play: Play, steps: int, name: str) -> Stages:
    """Finish what level 0 knows of where play has been, on its frozen latents: walls are thin, and a few thousand
    observations in a batch tell where they are."""
    z, head = encoded(level, play).below, level.compatibility_head
    even = EvenDraws(torch.arange(len(z)), z)

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        rows = even(SUPPORT_BATCH, generator)
        value = head.loss(level_at(level, play, rows), z[rows], play.below[rows], generator)
        return value, {"support": value.detach()}

    yield Stage(f"level0{name}-support", head, loss, min(steps, SUPPORT_STEPS), lr=3e-3)


@torch.no_grad()
def measure(level: Level, play: Play, *, seed: int) -> None:
    """Measure on play what one step of this level is: its size, the energies of real steps (but those of obstruction,
    which has a threshold of its own), and where latents lie.

    Windows that hardly moved (a demonstrator that hovers) are left out of the size and of the threshold.
    """
    generator, space = torch.Generator().manual_seed(seed), level.space
    stride = round(level.stride)
    rows = play.starts(stride)
    rows = rows[torch.randint(len(rows), (SAMPLE,), generator=generator)]
    z, following = level.encode(play.below[rows]), level.encode(play.below[rows + stride])
    size = (following - z).square().sum(-1).sqrt()
    moved = size > MOVING * size.quantile(0.95)
    space.unit.copy_(size[moved].median() if bool(moved.any()) else torch.tensor(1.0))
    if level.obstruction is None:
        head = level.compatibility_head
        head.threshold.zero_()
        energies = head(level_at(level, play, rows), z, following)
        head.threshold.copy_(energies[moved].quantile(0.99) if bool(moved.any()) else energies.max())
    count = len(space.points)
    places = z[farthest_points(z, count, NEAR * float(space.unit))]
    space.points.copy_(places[torch.arange(count).clamp(max=len(places) - 1)])
    gap = (z - space.points[nearest_landmark(z, space.points)]).square().sum(-1).sqrt().max()
    everywhere = play.places_are_shared and gap <= 2 * NEAR * space.unit  # in another layout, ways lead where none did
    space.lattice.fill_(torch.inf if everywhere else LATTICE * space.unit)


@torch.no_grad()
def encoded(level: Level, play: Play) -> Play:
    """The same play as the level above sees it."""
    return play.with_latents(torch.cat([level.encode(part) for part in play.below.split(CHUNK)]))
