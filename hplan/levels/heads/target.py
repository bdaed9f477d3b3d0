"""Success over vectors that is to be where the episode says: by its mission, or by numbers that stay all along.

    d(z)  =  | (o(z) - W x(z)) / width |          logit  =  4 (1 - d / farthest)

o: numbers of the observation that are told by x in moments of success, by least squares; x: numbers that stay the same
in an episode, the code of its mission, 1, and if need be the products of two of them. Both are read off the latent. A
classifier of the two side by side has to see each target with each place that is none; this takes a few dozen
successes to know it of targets that play never had.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp, standardised
from hplan.levels.heads.missions import looked_at, with_code
from hplan.levels.stage import Curve, Stage, stage_seed
from hplan.levels.tables import SURE

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

FEWEST, EACH = 6, 2  # successes, at the fewest, and for each number that they are told by
TOLD = 0.9  # share of its variance among successes, from which a number is told
INSIDE = 0.95  # of the successes of play that are as near as `farthest`
HELD, OUTSIDE = 0.85, 0.95  # shares of successes and of other moments of other episodes that have to be told,
BEYOND = 1.5  # by so many times as far: few successes are told better than others
STEPS, BATCH = 1500, 256
LEAST = 1e-4  # deviation of what is left, where nothing is
KNOWN = 256  # targets of play that stand for a mission which no one says


class TargetSuccess(nn.Module):
    """weights (F, K), width (K,): as above; targets (T, K): those of play. K numbers are told by F, of which `still`
    are read off the latent, too."""

    weights: Tensor
    width: Tensor
    targets: Tensor
    farthest: Tensor

    def __init__(
        self,
        *,
        latent: int,
        columns: int,
        still: int = 0,
        mission: int = 0,
        products: bool = False,
        targets: int = 1,
        hidden: int = 128,
        stop: int | None = None,
    ) -> None:
        """`columns`: K; `mission`: numbers of the code that is read; `products`: whether products of two are, too."""
        super().__init__()
        self.mission, self.stop, self.columns, self.products = mission, stop, columns, products
        self.read = mlp(latent, hidden, columns + still)
        count = still + mission
        count += 1 + products * count * (count + 1) // 2
        self.register_buffer("weights", torch.zeros(count, columns))
        self.register_buffer("width", torch.ones(columns))
        self.register_buffer("targets", torch.zeros(targets, columns))
        self.register_buffer("farthest", torch.tensor(1.0))

    def forward(self, level: Level, z: Tensor) -> Tensor:
        return SURE * (1 - self.away(self.read(z), level.mission) / self.farthest)

    def away(self, seen: Tensor, mission: Tensor | None) -> Tensor:
        """(B, K + still) -> (B,): how far those numbers are from their target; without a mission from any."""
        here, still = seen[:, : self.columns], seen[:, self.columns :]
        if self.mission and mission is None:
            return torch.cdist(here / self.width, self.targets / self.width).amin(1)
        told_by = features(with_code(still, mission, self.mission), self.products)
        return ((here - told_by @ self.weights) / self.width).norm(dim=1)


def features(x: Tensor, products: bool) -> Tensor:
    """(B, N) -> (B, F): the numbers and 1; and the products of two."""
    ones = torch.ones_like(x[:, :1]) if x.shape[1] else x.new_ones(len(x), 1)
    if not products:
        return torch.cat([x, ones], 1)
    one, two = torch.triu_indices(x.shape[1], x.shape[1])
    return torch.cat([x, ones, x[:, one] * x[:, two]], 1)


def unchanging(play: Play) -> Tensor:
    """(D,) bool: numbers of observations (N, D) that stay the same within every episode, and differ between them."""
    seen, of = play.observations, play.episode[:, None].expand_as(play.observations)
    bounds = [
        torch.zeros(play.episodes, seen.shape[1], dtype=seen.dtype).scatter_reduce(0, of, seen, how, include_self=False)
        for how in ("amin", "amax")
    ]
    return (bounds[0] == bounds[1]).all(0) & (bounds[0] != bounds[0][:1]).any(0)


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
    if play.observation_spec.kind != "vector" or level.space.discrete:
        return False
    still, asked = unchanging(play), play.asked
    mission = torch.zeros(len(play), 0) if asked is None else asked[play.episode]
    if not still.any() and not mission.shape[1]:
        return False
    seen, even = standardised(play.observations.float()), play.episode % 2 == 0
    rows = torch.nonzero(success & judged & even)[:, 0]
    found = _told(seen[:, ~still], torch.cat([seen[:, still], mission], 1), rows)
    if found is None:
        return False
    told, products, weights, width = found
    usual = level.parts["success"], level.success_head
    name = f"level{level.index}-success-target"
    torch.manual_seed(stage_seed(seed, name))
    level.parts["success"] = {"kind": "target", "latent": level.space.size, "columns": len(width)}
    options = {"still": int(still.sum()), "mission": mission.shape[1], "products": products}
    options |= {"targets": min(len(rows), KNOWN), **({} if stop is None else {"stop": stop})}
    head = level.made_anew("success", **options)
    head.weights.copy_(weights)
    head.width.copy_(width)
    numbers = torch.cat([seen[:, ~still][:, told], seen[:, still]], 1)

    def numbers_of(rows: Tensor) -> tuple[Tensor, Tensor]:
        return numbers[rows, : len(width)], torch.cat([numbers[rows, len(width) :], mission[rows]], 1)

    some = rows[torch.linspace(0, len(rows) - 1, options["targets"]).long()]
    head.targets.copy_(numbers[some, : len(width)])

    def reading(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at = torch.randint(len(play), (BATCH,), generator=generator)
        off = head.read(latents(at)) - numbers[at]
        loss = F.smooth_l1_loss(off[:, : len(width)] / width, torch.zeros_like(off[:, : len(width)]))
        return loss + F.smooth_l1_loss(off, torch.zeros_like(off)), {"off": off.detach().abs().mean()}

    yield Stage(name, head.read, reading, STEPS, lr=2e-3)
    head.requires_grad_(False)

    def away(where: Tensor) -> Tensor:
        some = looked_at(torch.nonzero(where & judged)[:, 0])
        return head.away(head.read(latents(some)), mission[some] if mission.shape[1] else None)

    farthest = BEYOND * away(success & even).quantile(INSIDE)
    inside, outside = (away(each & ~even) <= farthest for each in (success, ~success))
    holds = bool(len(inside)) and float(inside.float().mean()) >= HELD and float((~outside).float().mean()) >= OUTSIDE
    if not holds:
        level.parts["success"], level.success_head = usual
        return False
    weights, width = _fitted(*numbers_of(torch.nonzero(success & judged)[:, 0]), products)
    head.weights.copy_(weights)
    head.width.copy_(width)
    head.farthest.copy_(away(success).quantile(INSIDE))
    return True


def _told(moving: Tensor, by: Tensor, rows: Tensor) -> tuple[Tensor, bool, Tensor, Tensor] | None:
    """Which numbers of `moving` (N, D) are told by those of `by` (N, S) in these rows: (D,) bool, whether it takes
    products, weights (F, K) and the deviation of what is left (K,). None where nothing is."""
    for products in (False, True):
        count = features(by[:1], products).shape[1]
        if len(rows) < max(FEWEST, EACH * count):
            return None
        weights, width = _fitted(moving[rows], by[rows], products)
        told = width.square() < (1 - TOLD) * moving[rows].var(0)
        if bool(told.any()):
            return told, products, weights[:, told], width[told]
    return None


def _fitted(moving: Tensor, by: Tensor, products: bool) -> tuple[Tensor, Tensor]:
    """(N, D), (N, S) -> weights (F, D) by least squares, and the deviation of what is left (D,)."""
    x, y = features(by, products).double(), moving.double()
    weights = torch.linalg.lstsq(x, y, driver="gelsd").solution
    left = (y - x @ weights).square().sum(0) / max(len(x) - x.shape[1], 1)
    return weights.float(), left.sqrt().clamp(min=LEAST).float()
