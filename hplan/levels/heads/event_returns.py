"""What events pay, counted: rewards of a level whose macro-actions are events (`hplan.levels.reach.ReachEvents`).

    worth of an event, d steps away  =  discount^(d - 1) (r - u - discount e u / (1 - discount))

r: what it is paid on average, over all ways in which it may end; e: how often it ends the episode; u: what a step is
paid in which nothing happens, which is had or lost with all steps that no longer come. So events are worth what they
pay beside doing nothing, which is worth nothing: no value of latents has to be learned, and plans stop where nothing
pays any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hplan.levels.heads.returns import LevelReturns

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

EXPLAINED = 0.5  # of the variance of rewards that events have to explain
CHUNK = 4096


class EventReturns(nn.Module):
    """reward, ends (types,): of an event; usual (): of any other step; far: discount of one environment step."""

    discount = 1.0  # of a step of the level: events last unlike long, and what they leave of the future is their end
    mission, policy = 0, None
    reward: Tensor
    ends: Tensor
    usual: Tensor

    def __init__(self, *, types: int, far: float) -> None:
        super().__init__()
        self.far = far
        self.register_buffer("reward", torch.zeros(types))
        self.register_buffer("ends", torch.zeros(types))
        self.register_buffer("usual", torch.tensor(0.0))

    def of(self, level: Level) -> LevelReturns:
        return LevelReturns(level, self)

    def step(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        kind = macro // z[0].numel()
        ends = self.ends[kind]
        waits = self.far ** (level.macros.steps(level, z, macro) - 1)
        lost = self.far * self.usual / (1 - self.far)
        return waits * (self.reward[kind] - self.usual - ends * lost), 1 - self.far * waits * (1 - ends)

    def value(self, level: Level, z: Tensor) -> Tensor:
        return torch.zeros(len(z), device=z.device)

    def doubt(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> Tensor:
        return torch.zeros(len(z), device=z.device)


@torch.no_grad()
def count_returns(level: Level, play: Play, maps: Tensor, far: float) -> float:
    """Give a level of events, which sees play as maps (N, H, W), its returns, unless these explain too little. Returns
    the share of the variance of what steps were worth, reward and end, that they do explain."""
    rows, types = play.starts(1), level.macro.size
    rewards, kinds = play.rewards[rows], []
    for part in rows.split(CHUNK):
        macro, known = level.macros.hindsight(level, maps[part], maps[part + 1], play.actions[part])
        kinds.append(torch.where(known, macro // maps[0].numel(), types))
    kind = torch.cat(kinds)
    met = torch.bincount(kind, minlength=types + 1).clamp(min=1)
    end = play.terminated[rows + 1].float()
    paid, ended = (torch.zeros(types + 1).index_add_(0, kind, each) / met for each in (rewards, end))
    usual = paid[-1]
    told, happened = (r - far * e * usual / (1 - far) for r, e in ((paid[kind], ended[kind]), (rewards, end)))
    spread = (happened - happened.mean()).square().sum()
    explained = float(1 - (happened - told).square().sum() / spread) if spread > 0 else 1.0
    if explained >= EXPLAINED:
        head = level.made_anew("returns", kind="events", types=types, far=far)
        group, chance = level.macros.group, level.macros.chance
        head.reward.copy_(on_average(paid[:-1], group, chance))
        head.ends.copy_(on_average(ended[:-1], group, chance))
        head.usual.copy_(usual)
    return explained


def on_average(values: Tensor, group: Tensor, chance: Tensor) -> Tensor:
    """(types,): of what each type of a group (types,) may end as, by their chances: nobody chooses which."""
    sums = torch.zeros(int(group.max()) + 1, 2)
    sums.index_add_(0, group, torch.stack([values * chance, chance], 1))
    return (sums[:, 0] / sums[:, 1].clamp(min=1e-9))[group]
