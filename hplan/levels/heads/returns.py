"""What a step is paid, whether it ends the episode, and what can still be had from a latent: rewards as energies.

    value(z)  =  max over macro-actions m of  r(z, m) + discount (1 - e(z, m)) value(z')     z': as the level predicts

The critic is fitted value iteration (Gordon, 1995; Munos and Szepesvari, 2008) on latents of play and imagined ones:
the world model says what every macro-action would have led to, so nothing is learned of what play happened to do.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.heads.conditioning import level_at
from hplan.levels.heads.landmarks import nearest_landmark
from hplan.levels.heads.missions import Even
from hplan.levels.sampling import EvenDraws
from hplan.levels.stage import Loss, Stage, Stages, stage_seed

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

BATCH = 256
REWARDS, POLICY = 1 / 3, 1 / 4  # steps of learning rewards, and a policy, for each of learning values
BINS = 16  # of rewards, drawn alike often: what is seldom paid is learned, too
STATES = 16_384  # latents that values are fitted on, at the most
WALK = 4  # steps, at the most, that half of them are imagined away from play
SAMPLES = 16  # continuous macro-actions that are tried at each
SWEEP = 20  # gradient steps between two sweeps of value iteration
INSIDE = 0.99  # of the latents of play are as near to a landmark as counts as having been there
DOUBT = 1.0  # rewards, of the usual size, that a step is worth less for every step by which it may end elsewhere


class VectorReturns(nn.Module):
    """Over vectors: networks for rewards and ends, for values and, where macro-actions are continuous, for a policy."""

    unit: Tensor
    usual: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, *, seen: int, macro: int, latent: int, discount: float, policy: int = 0, hidden: int = 128
    ) -> None:
        """`discount`: of one environment step; `policy`: dimensions of the macro-actions it proposes, 0 for none."""
        super().__init__()
        self.discount, self.hidden = discount, hidden
        self.paid = mlp(seen + macro + latent, hidden, 2)
        self.critic = mlp(seen, hidden, 1)
        self.policy = mlp(seen, hidden, policy) if policy else None
        self.register_buffer("unit", torch.tensor(1.0))  # the usual size of a reward
        self.register_buffer("usual", torch.tensor(0.0))  # steps from a landmark within which play was
        self.register_buffer("low", torch.tensor(0.0))  # the least that an episode can be worth, and the most
        self.register_buffer("high", torch.tensor(0.0))

    def step(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        reward, end = self.told(level, z, macro, following)
        return reward * self.unit, end.sigmoid()

    def of(self, level: Level) -> LevelReturns:
        return LevelReturns(level, self)

    def told(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) each: rewards in units of the usual one, and logits of the end."""
        seen = torch.cat([level.context(z), level.macros.embed(macro), following], -1)
        return self.paid(seen).unbind(-1)

    def value(self, level: Level, z: Tensor) -> Tensor:
        return (self.critic(level.context(z))[..., 0] * self.scale).clamp(self.low, self.high)

    def doubt(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> Tensor:
        off = (level.uncertainty(z, macro) - 1).clamp(min=0)
        return DOUBT * self.unit * (off + (away(level, following) - self.usual).clamp(min=0))

    def propose(self, level: Level, z: Tensor) -> Tensor:
        """(B, *z) -> (B, A): the macro-action that is best as far as the critic sees."""
        assert self.policy is not None
        low, high = (torch.tensor(bound).to(z) for bound in (level.macro.low, level.macro.high))
        return low + (high - low) * (self.policy(level.context(z)).tanh() + 1) / 2

    @property
    def scale(self) -> Tensor:
        """Of values: so that the critic's outputs are of size one."""
        return self.unit / (1 - self.discount) ** 0.5


@dataclass(frozen=True)
class LevelReturns:
    """`hplan.types.Returns` of a level. head: `VectorReturns`, or another part that answers as it does."""

    level: Level
    head: Any

    @property
    def discount(self) -> float:
        return self.head.discount

    def step(self, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        return self.head.step(self.level, z, macro, following)

    def value(self, z: Tensor) -> Tensor:
        return self.head.value(self.level, z)

    def doubt(self, z: Tensor, macro: Tensor, following: Tensor) -> Tensor:
        return self.head.doubt(self.level, z, macro, following)

    def propose(self, z: Tensor) -> Tensor | None:
        return None if self.head.policy is None else self.head.propose(self.level, z)


def returns_stages(level: Level, play: Play, *, discount: float, hidden: int, steps: int, seed: int) -> Stages:
    """Train returns of a level on frozen latents: rewards and ends of play, then values, then a policy. Nothing where
    play paid nothing: the level has no such head."""
    rows = play.starts(1)
    rewards, ended = play.rewards, torch.zeros(len(play), dtype=torch.bool)
    ended[:-1] = play.terminated[1:]
    sizes = rewards[rows]
    if not sizes.any():
        return
    name, z = f"level{level.index}", level.encode(play.below[rows[:1]])
    torch.manual_seed(stage_seed(seed, f"{name}-returns"))
    seen = level_at(level, play, rows[:1]).context(z).shape[1]
    macro = level.macros.embed(play.actions[rows[:1]]).shape[1]
    policy = level.macro.size if level.macro.kind == "continuous" else 0
    options = {"seen": seen, "macro": macro, "latent": z.shape[1], "policy": policy, "hidden": hidden}
    head = level.made_anew("returns", kind="vector", discount=discount, **options).requires_grad_(False)
    head.unit.copy_(sizes.square().mean().sqrt())
    some = level.encode(play.below[rows[:: max(len(rows) // STATES, 1)]])
    head.usual.copy_(away(level, some).quantile(INSIDE))
    farthest = 1 / (1 - discount)
    head.low.copy_(min(float(sizes.min()) * farthest, 0.0))
    head.high.copy_(max(float(sizes.max()) * farthest, 0.0))
    head.paid.requires_grad_(True)
    yield Stage(
        f"{name}-reward", head.paid, _paid(level, play, rows, rewards, ended), max(round(REWARDS * steps), 1), lr=2e-3
    )
    head.paid.requires_grad_(False)
    fitted = _Fitted(level, play, rows, seed)
    fitted.critic.requires_grad_(True)
    yield Stage(f"{name}-critic", fitted, fitted.loss, steps)
    head.critic.requires_grad_(False)
    if head.policy is not None:
        head.policy.requires_grad_(True)
        yield Stage(f"{name}-actor", head.policy, fitted.best, max(round(POLICY * steps), 1))
        head.policy.requires_grad_(False)


def _paid(level: Level, play: Play, rows: Tensor, rewards: Tensor, ended: Tensor) -> Loss:
    """Squared error of rewards, in the usual size of one, and cross-entropy of ends. Half a batch is as play had it; of
    the other half, rewards of every size and ends are as often."""
    head, sizes = level.returns_head, rewards
    low, high = sizes[rows].min(), sizes[rows].max()
    rare = Even.of(rows, ((sizes - low) / (high - low).clamp(min=1e-9) * (BINS - 1)).long())
    last = rows[ended[rows]]
    ends = EvenDraws(last, play.below[last].flatten(1).float()) if len(last) else None

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        usual = rows[torch.randint(len(rows), (BATCH // 2,), generator=generator)]
        drawn = (
            [rare(BATCH // 2, generator)] if ends is None else [each(BATCH // 4, generator) for each in (rare, ends)]
        )
        at = torch.cat([usual, *drawn])
        with torch.no_grad():
            z, following = level.encode(play.below[at]), level.encode(play.below[at + 1])
        reward, end = head.told(level_at(level, play, at), z, play.actions[at], following)
        off = F.mse_loss(reward, rewards[at] / head.unit)
        told = F.binary_cross_entropy_with_logits(end, ended[at].float())
        return off + told, {"reward": off.detach().sqrt(), "end": told.detach()}

    return loss


class _Fitted(nn.Module):
    """Fitted value iteration: a critic, and the critic of the sweep before."""

    def __init__(self, level: Level, play: Play, rows: Tensor, seed: int) -> None:
        super().__init__()
        self.critic = level.returns_head.critic
        self.before = deepcopy(self.critic).requires_grad_(False)
        self.level = [level]  # in a list, which is not registered: it is no part of what is trained
        self.known = _Unfolded.of(level, play, rows, seed)

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        head, known = self.level[0].returns_head, self.known
        if step % SWEEP == 0:
            self.before.load_state_dict(self.critic.state_dict())
        at = torch.randint(len(known.z), (BATCH,), generator=generator)
        with torch.no_grad():
            ahead = (self.before(known.leads[at])[..., 0] * head.scale).clamp(head.low, head.high)
            wanted = (known.paid[at] + known.left[at] * ahead).amax(1) / head.scale
        off = self.critic(known.seen[at])[:, 0] - wanted
        loss = F.smooth_l1_loss(off, torch.zeros_like(off))
        return loss, {"value": wanted.mean() * head.scale, "off": off.detach().abs().mean() * head.scale}

    def best(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus what the policy's macro-actions lead to, by the gradient through the world model."""
        head, known = self.level[0].returns_head, self.known
        at = torch.randint(len(known.z), (BATCH,), generator=generator)
        here = level_at(self.level[0], known.play, known.rows[at])
        paid, left, following = _worth(here, known.z[at], head.propose(here, known.z[at]))
        gained = paid + left * head.value(here, following)
        return -(gained / head.scale).mean(), {"gained": gained.detach().mean()}


@dataclass(frozen=True)
class _Unfolded:
    """Latents z (N, D) that values are fitted on, of rows (N,) of play, and as networks see them (N, S); of M
    macro-actions at each where they lead, as networks see it (N, M, S), what they pay and the discount that is left
    after them (N, M)."""

    play: Play
    rows: Tensor
    z: Tensor
    seen: Tensor
    leads: Tensor
    paid: Tensor
    left: Tensor

    @staticmethod
    @torch.no_grad()
    def of(level: Level, play: Play, rows: Tensor, seed: int) -> _Unfolded:
        generator = torch.Generator().manual_seed(seed)
        rows = EvenDraws(rows, play.below[rows].flatten(1).float())(STATES, generator)
        here, z = level_at(level, play, rows), level.encode(play.below[rows])
        walked = torch.randint(2 * WALK, (len(z), 1), generator=generator) - WALK  # half stay where play was
        macro = any_macros(level, len(z), 1, generator)[:, 0]
        for step in range(WALK):
            other = torch.rand(len(z), generator=generator) < 1 / WALK
            macro = torch.where(
                other.view(-1, *[1] * (macro.ndim - 1)), any_macros(level, len(z), 1, generator)[:, 0], macro
            )
            z = torch.where(step < walked, here.predict(z, macro), z)
        steps = [_worth(here, z, macro) for macro in any_macros(level, len(z), SAMPLES, generator).unbind(1)]
        paid, left, leads = (torch.stack(each, 1) for each in zip(*steps, strict=True))
        leads = torch.stack([here.context(each) for each in leads.unbind(1)], 1)
        return _Unfolded(play, rows, z, here.context(z), leads, paid, left)


def away(level: Level, z: Tensor) -> Tensor:
    """(B, D) -> (B,): steps from what play met, as far as landmarks tell."""
    return level.distance(z, level.space.points[nearest_landmark(z, level.space.points)])


def _worth(level: Level, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B,) each: what a step pays, less what its end is in doubt, and the discount that is left after it; and its end
    (B, *z)."""
    head, following = level.returns_head, level.predict(z, macro)
    reward, ends = head.step(level, z, macro, following)
    return reward - head.doubt(level, z, macro, following), head.discount * (1 - ends), following


def any_macros(level: Level, rows: int, count: int, generator: torch.Generator) -> Tensor:
    """(rows, M) or (rows, M, A): all macro-actions where they are few, else `count` of them at random."""
    spec = level.macro
    if spec.kind == "discrete":
        if count > 1 and spec.size <= count:
            return torch.arange(spec.size).expand(rows, -1)
        return torch.randint(spec.size, (rows, count), generator=generator)
    low, high = torch.tensor(spec.low), torch.tensor(spec.high)
    return low + (high - low) * torch.rand(rows, count, spec.size, generator=generator)
