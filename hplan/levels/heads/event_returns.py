"""What events pay, counted: rewards of a level whose macro-actions are events (`hplan.levels.reach.ReachEvents`).

    worth of an event, d steps away  =  discount^(d - 1) (r - u - discount e u / (1 - discount))

r: what it is paid on average, over all ways in which it may end; e: how often it ends the episode; u: what a step is
paid in which nothing happens, which is had or lost with all steps that no longer come. So events are worth what they
pay beside doing nothing, which is worth nothing: no value of latents has to be learned, and plans stop where nothing
pays any more.

Where play asked for several things, r and e are a matter of the mission:

    r(event, mission)  =  r(event) + w(event) (x(mission) - mean of x)

x: the code of a mission (`hplan.reading`), and a number for each mission of play, 1 for itself and else 0. w is ridge
regression (Hoerl and Kennard, 1970) on sums by event and mission. So a mission of play pays what it paid there, and one
of known words what these words paid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hplan.levels.heads.missions import asked_of
from hplan.levels.heads.returns import LevelReturns

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

EXPLAINED = 0.5  # of the variance of rewards that events have to explain
CHUNK = 4096
RIDGE = 0.1  # times that an event is taken to have shown no matter of the mission
SHARED = ("usual", "codes", "mean")  # by all types of events
NUMBERED = 128  # missions of play, at the most, that have a number of their own: the others go by their code


class EventReturns(nn.Module):
    """reward, ends (types,): of an event; usual (): of any other step; far: discount of one environment step. Where
    missions are read: codes (M, K) of those of play, mean (K + M,) of what tells them, and by (types, K + M) of that
    what is paid more, and ends more often."""

    discount = 1.0  # of a step of the level: events last unlike long, and what they leave of the future is their end
    policy = None
    reward: Tensor
    ends: Tensor
    usual: Tensor
    codes: Tensor
    mean: Tensor
    paid_by: Tensor
    ended_by: Tensor

    def __init__(self, *, types: int, far: float, mission: int = 0, missions: int = 0) -> None:
        """`mission`: numbers of the code that is read, 0 for none; `missions`: of play that have one of their own."""
        super().__init__()
        self.far, self.mission = far, mission
        self.register_buffer("reward", torch.zeros(types))
        self.register_buffer("ends", torch.zeros(types))
        self.register_buffer("usual", torch.tensor(0.0))
        if mission:
            self.register_buffer("codes", torch.zeros(missions, mission))
            self.register_buffer("mean", torch.zeros(mission + missions))
            self.register_buffer("paid_by", torch.zeros(types, mission + missions))
            self.register_buffer("ended_by", torch.zeros(types, mission + missions))

    def of(self, level: Level) -> LevelReturns:
        return LevelReturns(level, self)

    def step(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        reward, ends = self.of_events(macro // z[0].numel(), level.mission)
        waits = self.far ** (level.macros.steps(level, z, macro) - 1)
        lost = self.far * self.usual / (1 - self.far)
        return waits * (reward - self.usual - ends * lost), 1 - self.far * waits * (1 - ends)

    def of_events(self, kind: Tensor, mission: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B,) -> (B,) each: what events of these types are paid, and how often they end an episode that asks for this
        (K,), or (B, K); their mean over play's missions where no one knows."""
        reward, ends = self.reward[kind], self.ends[kind]
        if not self.mission or mission is None:
            return reward, ends
        off = self.told(mission) - self.mean
        more, oftener = ((by[kind] * off).sum(-1) for by in (self.paid_by, self.ended_by))
        return reward + more, (ends + oftener).clamp(0, 1)

    def told(self, codes: Tensor) -> Tensor:
        """(..., K) -> (..., K + M): what tells a mission."""
        itself = (codes[..., None, :] == self.codes).all(-1)
        return torch.cat([codes, itself.to(codes)], -1)

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
    kind, end = torch.cat(kinds), play.terminated[rows + 1].float()
    asked = None if play.reading is None else asked_of(play)
    codes, of = (None, torch.zeros_like(kind)) if asked is None else (asked[0], asked[1][rows])
    counted = _counted(kind, rewards, end, types + 1, far, codes, of)
    usual, (cells, which) = counted.reward[-1], torch.stack([kind, of], 1).unique(dim=0, return_inverse=True)
    reward, ends = counted.of_events(cells[:, 0], None if codes is None else codes[cells[:, 1]])
    told, happened = (r - far * e * usual / (1 - far) for r, e in ((reward[which], ends[which]), (rewards, end)))
    spread = (happened - happened.mean()).square().sum()
    explained = float(1 - (happened - told).square().sum() / spread) if spread > 0 else 1.0
    if explained >= EXPLAINED:
        reads = {} if codes is None else {"mission": counted.mission, "missions": len(counted.codes)}
        head = level.made_anew("returns", kind="events", types=types, far=far, **reads)
        group, chance = level.macros.group, level.macros.chance
        found = {
            name: value if name in SHARED else on_average(value[:-1], group, chance)
            for name, value in counted.named_buffers()
        }
        head.load_state_dict(found | {"usual": usual})
    return explained


def _counted(
    kind: Tensor, rewards: Tensor, end: Tensor, types: int, far: float, codes: Tensor | None, of: Tensor
) -> EventReturns:
    """Of steps (N,) by their type, the last of which is that nothing happens, whatever the mission. codes: of missions
    (M, K), where they are read; of (N,): which was each step's."""
    missions = 1 if codes is None else len(codes)
    cell = kind * missions + of

    def sums(each: Tensor) -> Tensor:
        """(N,) -> (types, M)."""
        return torch.bincount(cell, each.double(), minlength=types * missions).view(types, -1)

    count, paid, ended = (sums(each) for each in (torch.ones_like(rewards), rewards, end))
    met = count.sum(1, keepdim=True).clamp(min=1)
    usual = [total.sum(1, keepdim=True) / met for total in (paid, ended)]
    if codes is None:
        head = EventReturns(types=types, far=far)
    else:
        share = count.sum(0) / len(kind)
        numbered = codes[share.argsort(descending=True, stable=True)[:NUMBERED]]
        head = EventReturns(types=types, far=far, mission=codes.shape[1], missions=len(numbered))
        head.codes.copy_(numbered)
        head.mean.copy_(share @ head.told(codes).double())
        x = (head.told(codes) - head.mean).double()
        gram = torch.einsum("tm,mf,mg->tfg", count, x, x) + RIDGE * torch.eye(x.shape[1])
        for by, total, mean in zip((head.paid_by, head.ended_by), (paid, ended), usual, strict=True):
            by[:-1] = torch.linalg.solve(gram, (total - mean * count) @ x)[:-1].float()
    head.reward.copy_(usual[0][:, 0])
    head.ends.copy_(usual[1][:, 0])
    return head


def on_average(values: Tensor, group: Tensor, chance: Tensor) -> Tensor:
    """(types, ...): of what each type of a group (types,) may end as, by their chances: nobody chooses which."""
    each = values.view(len(values), -1)
    sums = torch.zeros(int(group.max()) + 1, each.shape[1] + 1)
    sums.index_add_(0, group, torch.cat([each * chance[:, None], chance[:, None]], 1))
    return (sums[:, :-1] / sums[:, -1:].clamp(min=1e-9))[group].view_as(values)
