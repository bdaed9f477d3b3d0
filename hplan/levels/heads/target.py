"""Success over vectors that is to be where the mission of an episode says.

    d(z)  =  | (o(z) - W x) / width |             logit  =  4 (1 - d / farthest)

o: numbers of the observation that are told by x in moments of success, by least squares, and are read off the latent;
x: the code of the mission, 1, and if need be the products of two of its numbers. A classifier of latent and mission
side by side has to see each target with each place that is none; this takes a few dozen successes to know it of targets
that play never had. In a GoalEnv o is what is achieved and W x what is desired, of themselves: play tells but how near
is near, and in which numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp, standardised
from hplan.levels.heads.missions import looked_at
from hplan.levels.stage import Curve, Stage, stage_seed
from hplan.levels.tables import SURE

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

FEWEST, EACH = 6, 2  # successes, at the fewest, and for each independent number that they are told by
REACHED = 3  # the same in a GoalEnv, where nothing has to be fitted
TOLD = 0.9  # share of its variance among successes, from which a number is told
INSIDE = 0.95  # of the successes of play that are as near as `farthest`
HELD, OUTSIDE = 0.85, 0.95  # shares of successes and of other moments of other episodes that have to be told,
MISSED = 1  # of few successes, one may always be told wrong
BEYOND = 1.5  # by so many times as far: few successes are told better than others
SLACK, MANY = 1.1, 20  # the same where nothing was fitted, and of so many successes
MATTERS = 0.7  # times as far off as at any moment: a number of a GoalEnv that is not so near at success does not count
NARROWEST = 0.1  # of the widest number: what is ever the same in moments of success says nothing of how near is near
STEPS, BATCH = 1500, 256
LEAST = 1e-4  # deviation of what is left, where nothing is
KNOWN = 256  # targets of play that stand for a mission which no one says


class TargetSuccess(nn.Module):
    """weights (F, K), width (K,): as above; targets (T, K): those of play. K numbers are told by F."""

    weights: Tensor
    width: Tensor
    targets: Tensor
    farthest: Tensor

    def __init__(
        self,
        *,
        latent: int,
        columns: int,
        mission: int,
        products: bool = False,
        targets: int = 1,
        hidden: int = 128,
        stop: int | None = None,
    ) -> None:
        """`columns`: K; `mission`: numbers of the code that is read; `products`: whether products of two are, too."""
        super().__init__()
        self.mission, self.stop, self.columns, self.products = mission, stop, columns, products
        self.read = mlp(latent, hidden, columns)
        count = mission + 1 + products * mission * (mission + 1) // 2
        self.register_buffer("weights", torch.zeros(count, columns))
        self.register_buffer("width", torch.ones(columns))
        self.register_buffer("targets", torch.zeros(targets, columns))
        self.register_buffer("farthest", torch.tensor(1.0))

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return SURE * (1 - self.away(self.read(z), level.mission) / self.farthest)

    def away(self, here: Tensor, mission: Tensor | None) -> Tensor:
        """(B, K) -> (B,): how far those numbers are from their target; without a mission from any."""
        if mission is None:
            return torch.cdist(here / self.width, self.targets / self.width).amin(1)
        told_by = features(mission.to(here).view(-1, self.mission), self.products)
        return ((here - told_by @ self.weights) / self.width).norm(dim=1)


def features(x: Tensor, products: bool) -> Tensor:
    """(B, N) -> (B, F): the numbers and 1; and the products of two."""
    ones = torch.ones_like(x[:, :1])
    if not products:
        return torch.cat([x, ones], 1)
    one, two = torch.triu_indices(x.shape[1], x.shape[1])
    return torch.cat([x, ones, x[:, one] * x[:, two]], 1)


def target_stages(
    level: Level,
    latents: Callable[[Tensor], Tensor],
    success: Tensor,
    judged: Tensor,
    seed: int,
    play: Play,
    stop: int | None,
) -> Generator[Stage, Curve, bool]:
    """Learn where to be, in episodes with even numbers; whether that holds in the others is returned. Where it does
    not, the level has the head that it had. Nothing is tried where an episode says nothing."""
    asked = play.asked
    if play.observation_spec.kind != "vector" or level.space.discrete or asked is None:
        return False
    mission = asked[play.episode]
    seen, even = standardised(play.observations.float()), play.episode % 2 == 0
    seen[:, list(play.asking)] = 0
    rows = torch.nonzero(success & judged & even)[:, 0]
    found = _told(seen, mission, rows) if not play.goals else _achieved(play, seen, mission, rows)
    if found is None:
        return False
    told, products, weights, width = found
    usual = level.parts["success"], level.success_head
    name = f"level{level.index}-success-target"
    torch.manual_seed(stage_seed(seed, name))
    level.parts["success"] = {"kind": "target", "latent": level.space.size, "columns": len(width)}
    options = {"mission": mission.shape[1], "products": products}
    options |= {"targets": min(len(rows), KNOWN), **({} if stop is None else {"stop": stop})}
    head = level.made_anew("success", **options)
    head.weights.copy_(weights)
    head.width.copy_(width)
    numbers = seen[:, told]
    head.targets.copy_(numbers[rows[torch.linspace(0, len(rows) - 1, options["targets"]).long()]])

    def reading(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at = torch.randint(len(play), (BATCH,), generator=generator)
        off = head.read(latents(at)) - numbers[at]
        nothing = torch.zeros_like(off)
        loss = F.smooth_l1_loss(off / width, nothing) + F.smooth_l1_loss(off, nothing)
        return loss, {"off": off.detach().abs().mean()}

    yield Stage(name, head.read, reading, STEPS, lr=2e-3)
    head.requires_grad_(False)

    def away(where: Tensor) -> Tensor:
        some = looked_at(torch.nonzero(where & judged)[:, 0])
        return head.away(head.read(latents(some)), mission[some])

    farthest = (SLACK if play.goals and len(rows) >= MANY else BEYOND) * away(success & even).quantile(INSIDE)
    inside, outside = (away(each & ~even) <= farthest for each in (success, ~success))
    missed = int((~inside).sum())
    near = missed <= max((1 - HELD) * len(inside), MISSED) and missed < len(inside)
    if not near or float((~outside).float().mean()) < OUTSIDE:
        level.parts["success"], level.success_head = usual
        return False
    if not play.goals:
        rows = torch.nonzero(success & judged)[:, 0]
        weights, width = _fitted(numbers[rows], mission[rows], products)
        head.weights.copy_(weights)
        head.width.copy_(width)
    head.farthest.copy_(away(success).quantile(INSIDE))
    return True


def _told(moving: Tensor, by: Tensor, rows: Tensor) -> tuple[Tensor, bool, Tensor, Tensor] | None:
    """Which numbers of `moving` (N, D) are told by those of `by` (N, S) in these rows: (D,) bool, whether it takes
    products, weights (F, K) and the deviation of what is left (K,). None where nothing is."""
    for products in (False, True):
        count = int(torch.linalg.matrix_rank(features(by[rows], products)))
        if len(rows) < max(FEWEST, EACH * count):
            return None
        weights, width = _fitted(moving[rows], by[rows], products)
        told = width.square() < (1 - TOLD) * moving[rows].var(0)
        if bool(told.any()):
            return told, products, weights[:, told], width[told]
    return None


def _achieved(play: Play, seen: Tensor, by: Tensor, rows: Tensor) -> tuple[Tensor, bool, Tensor, Tensor] | None:
    """The same of a GoalEnv, whose first numbers are to be those of the mission. seen (N, D): its observations,
    standardised; rows (K,): of success."""
    if len(rows) < REACHED or any(len(mission) != play.goals for mission in play.missions):
        return None
    asked = torch.tensor(play.missions, dtype=torch.float32)[play.episode]
    goals = standardised(asked, play.observations[:, : play.goals].float())
    told = torch.arange(seen.shape[1]) < play.goals
    away = (seen[:, told] - goals).square()
    off = away[rows].mean(0).sqrt()
    counts = off < MATTERS * away.mean(0).sqrt()
    if not bool(counts.any()):
        return None
    off = off[counts]
    told[: play.goals] = counts
    width = off.clamp(min=max(LEAST, NARROWEST * float(off.max())))
    return told, False, _fitted(goals[:, counts], by, False)[0], width


def _fitted(moving: Tensor, by: Tensor, products: bool) -> tuple[Tensor, Tensor]:
    """(N, D), (N, S) -> weights (F, D) by least squares, and the deviation of what is left (D,)."""
    x, y = features(by, products).double(), moving.double()
    weights = torch.linalg.lstsq(x, y, driver="gelsd").solution
    left = (y - x @ weights).square().sum(0) / max(len(x) - x.shape[1], 1)
    return weights.float(), left.sqrt().clamp(min=LEAST).float()
