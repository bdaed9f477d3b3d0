"""What a step is paid, whether it ends the episode, and what can still be had from a latent: rewards as energies.

    value(z)  =  max over macro-actions m of  r(z, m) + discount (1 - e(z, m)) value(z')     z': as the level predicts

The critic is fitted value iteration (Gordon, 1995; Munos and Szepesvari, 2008) on latents of play and imagined ones:
the world model says what every macro-action would have led to, so nothing is learned of what play happened to do. In
rounds: half of the latents are where the critic of the round before would lead (Dyna; Sutton, 1991). What is aimed at
is a slow average of the critic (Lillicrap et al., 2016, arXiv 1509.02971): else the maximum follows its noise.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import FourierEncoder, mlp
from hplan.levels.heads.conditioning import level_at
from hplan.levels.heads.landmarks import nearest_landmark
from hplan.levels.heads.missions import Even, with_code
from hplan.levels.sampling import EvenDraws
from hplan.levels.stage import Loss, Stage, Stages, stage_seed

if TYPE_CHECKING:
    from hplan.levels.level import Level
    from hplan.play.play import Play

BATCH = 256
REWARDS, POLICY = 1 / 3, 1 / 4  # steps of learning rewards, and a policy, for each of learning values
BINS = 16  # of rewards, drawn alike often: what is seldom paid is learned, too
STATES = 16_384  # latents that values are fitted on, at the most
WALK = 4  # steps at random, at the most, that half of them are imagined away from play, before there are values
ROUNDS = 6  # of learning values; from the second on, half of the latents are where values lead
FOLLOWED = 50  # steps, at the most, that they are followed from play
KEPT = 8  # of the latents on each of these ways
ASIDE = 0.1  # of these steps are at random
SAMPLES = 16  # continuous macro-actions that are tried at each
OCTAVES = 2  # that the critic sees of latents: where one step more decides, values have an edge
AVERAGE = 0.05  # of the critic goes into its slow average at each gradient step
INSIDE = 0.99  # of the latents of play are as near to a landmark as counts as having been there
DOUBT = 1.0  # rewards, of the usual size, that a step is worth less for every step by which it may end elsewhere


class VectorReturns(nn.Module):
    """Over vectors: networks for rewards and ends, for values and, where macro-actions are continuous, for a policy."""

    unit: Tensor
    usual: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        *,
        seen: int,
        macro: int,
        latent: int,
        discount: float,
        policy: int = 0,
        hidden: int = 128,
        mission: int = 0,
    ) -> None:
        """`discount`: of one environment step; `policy`: dimensions of the macro-actions it proposes, 0 for none;
        `mission`: numbers of a mission's code among those `seen`, 0 where none is read."""
        super().__init__()
        self.discount, self.hidden, self.mission = discount, hidden, mission
        self.paid = mlp(seen + macro + latent, hidden, 2)
        self.critic = FourierEncoder(inputs=(seen,), latent=1, hidden=hidden, octaves=OCTAVES)
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

    def seen(self, level: Level, z: Tensor) -> Tensor:
        """What its networks read: a latent, the map around it and the mission."""
        return with_code(level.context(z), level.mission, self.mission)

    def told(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) each: rewards in units of the usual one, and logits of the end."""
        seen = torch.cat([self.seen(level, z), level.macros.embed(macro), following], -1)
        return self.paid(seen).unbind(-1)

    def value(self, level: Level, z: Tensor) -> Tensor:
        return self.possible(self.critic(self.seen(level, z)))

    def possible(self, said: Tensor) -> Tensor:
        """What a critic says (..., 1), as a value (...) that an episode can have."""
        return (said[..., 0] * self.scale).clamp(self.low, self.high)

    def doubt(self, level: Level, z: Tensor, macro: Tensor, following: Tensor) -> Tensor:
        off = (level.uncertainty(z, macro) - 1).clamp(min=0)
        return DOUBT * self.unit * (off + (away(level, following) - self.usual).clamp(min=0))

    def propose(self, level: Level, z: Tensor) -> Tensor:
        """(B, *z) -> (B, A): the macro-action that is best as far as the critic sees."""
        assert self.policy is not None
        low, high = (torch.tensor(bound).to(z) for bound in (level.macro.low, level.macro.high))
        return low + (high - low) * (self.policy(self.seen(level, z)).tanh() + 1) / 2

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
    mission = 0 if play.reading is None else play.reading.size
    seen = level_at(level, play, rows[:1]).context(z).shape[1] + mission
    macro = level.macros.embed(play.actions[rows[:1]]).shape[1]
    policy = level.macro.size if level.macro.kind == "continuous" else 0
    options = {"seen": seen, "macro": macro, "latent": z.shape[1], "policy": policy, "hidden": hidden}
    options |= {"mission": mission} if mission else {}
    head = level.made_anew("returns", kind="vector", discount=discount, **options).requires_grad_(False)
    head.unit.copy_(sizes.square().mean().sqrt())
    some_rows = rows[:: max(len(rows) // STATES, 1)]
    some = level.encode(play.below[some_rows])
    head.usual.copy_(away(level, some).quantile(INSIDE))
    head.critic.measure(head.seen(level_at(level, play, some_rows), some))
    farthest = 1 / (1 - discount)
    head.low.copy_(min(float(sizes.min()) * farthest, 0.0))
    head.high.copy_(max(float(sizes.max()) * farthest, 0.0))
    head.paid.requires_grad_(True)
    yield Stage(
        f"{name}-reward", head.paid, _paid(level, play, rows, rewards, ended), max(round(REWARDS * steps), 1), lr=2e-3
    )
    head.paid.requires_grad_(False)
    share = max(steps // ROUNDS, 1)
    fitted = _Fitted(level, play, rows, seed, states=min(STATES, BATCH * share))
    fitted.critic.requires_grad_(True)
    for number in range(ROUNDS):
        fitted.begin(number)
        yield Stage(f"{name}-critic-{number + 1}", fitted, fitted.loss, share)
    head.critic.load_state_dict(fitted.average.state_dict())
    head.critic.requires_grad_(False)
    if head.policy is not None:
        head.policy.requires_grad_(True)
        yield Stage(f"{name}-actor", head.policy, fitted.best, max(round(POLICY * steps), 1))
        head.policy.requires_grad_(False)


def _paid(level: Level, play: Play, rows: Tensor, rewards: Tensor, ended: Tensor) -> Loss:
    """Squared error of rewards, in the usual size of one, and cross-entropy of ends, of steps as the level predicts
    them: that is what plans will show. Half a batch is as play had it; of the other half, rewards of every size and
    ends are as often. Rewards count as much as they are drawn too seldom, so that what is learned is their mean."""
    head = level.returns_head
    low, high = rewards[rows].min(), rewards[rows].max()
    size = ((rewards - low) / (high - low).clamp(min=1e-9) * (BINS - 1)).clamp(0, BINS - 1).long()
    rare, often = Even.of(rows, size), torch.bincount(size[rows], minlength=BINS) / len(rows)
    last = rows[ended[rows]]
    ends = EvenDraws(last, play.below[last].flatten(1).float()) if len(last) else None
    usual, other = BATCH // 2, BATCH // 2 if ends is None else BATCH // 4
    chance = (usual * often + other * (often > 0) / (often > 0).sum()) / (usual + other)  # of each size to be drawn
    weight = (often / chance.clamp(min=1e-9))[size]

    def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at = torch.cat([rows[torch.randint(len(rows), (usual,), generator=generator)], rare(other, generator)])
        paid = len(at)
        at = at if ends is None else torch.cat([at, ends(BATCH - paid, generator)])
        here = level_at(level, play, at)
        with torch.no_grad():
            z = level.encode(play.below[at])
            following = here.predict(z, play.actions[at])
        reward, end = head.told(here, z, play.actions[at], following)
        off = (weight[at] * (reward - rewards[at] / head.unit).square())[:paid].mean()
        told = F.binary_cross_entropy_with_logits(end, ended[at].float())
        return off + told, {"reward": off.detach().sqrt(), "end": told.detach()}

    return loss


class _Fitted(nn.Module):
    """Fitted value iteration: a critic, its slow average, and that of the rounds before, which is followed."""

    def __init__(self, level: Level, play: Play, rows: Tensor, seed: int, states: int) -> None:
        """`states`: latents that a round is fitted on, no more than it looks at."""
        super().__init__()
        self.critic = level.returns_head.critic
        self.average = deepcopy(self.critic).requires_grad_(False)
        self.followed = deepcopy(self.average)
        self.level = [level]  # in a list, which is not registered: it is no part of what is trained
        self.play, self.rows, self.seed, self.states = play, rows, seed, states
        self.number, self._known = 0, None

    def begin(self, number: int) -> None:
        self.followed.load_state_dict(self.average.state_dict())
        self.number, self._known = number, None

    @property
    def known(self) -> _Unfolded:
        """What this round learns from. It depends on what a snapshot holds, and so is the same after a kill."""
        if self._known is None:
            generator = torch.Generator().manual_seed(stage_seed(self.seed, "latents", self.number))
            drawn = EvenDraws(self.rows, self.play.below[self.rows].flatten(1).float())(self.states, generator)
            critic = self.followed if self.number else None
            self._known = _Unfolded.of(self.level[0], self.play, drawn, critic, generator)
        return self._known

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        head, known = self.level[0].returns_head, self.known
        at = torch.randint(len(known.z), (BATCH,), generator=generator)
        with torch.no_grad():
            for slow, now in zip(self.average.parameters(), self.critic.parameters(), strict=True):
                slow.lerp_(now, AVERAGE)
            wanted = _worths(head, self.average, known.leads[at], known.paid[at], known.left[at]).amax(1)
        off = self.critic(known.seen[at])[:, 0] - wanted / head.scale
        loss = F.smooth_l1_loss(off, torch.zeros_like(off))
        return loss, {"value": wanted.mean(), "off": off.detach().abs().mean() * head.scale}

    def best(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Minus what the policy's macro-actions lead to, by the gradient through the world model."""
        head, known = self.level[0].returns_head, self.known
        at = torch.randint(len(known.z), (BATCH,), generator=generator)
        here = level_at(self.level[0], known.play, known.rows[at])
        paid, left, following = _step(here, known.z[at], head.propose(here, known.z[at]))
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
    def of(level: Level, play: Play, rows: Tensor, critic: nn.Module | None, generator: torch.Generator) -> _Unfolded:
        """As many latents as `rows`. Half of them are of play; the others are up to `FOLLOWED` steps away from it,
        where `critic` leads, or without one up to `WALK` steps at random."""
        z, longest = level.encode(play.below[rows]), WALK if critic is None else FOLLOWED
        begins = torch.arange(len(rows) // 2 // KEPT)
        walks, here = [z[begins]], level_at(level, play, rows[begins])
        macro = any_macros(level, len(begins), 1, generator)[:, 0]
        for _ in range(longest):
            if critic is not None:
                macro = _best(here, walks[-1], critic, generator)
            aside = torch.rand(len(begins), generator=generator) < (1 / WALK if critic is None else ASIDE)
            other = any_macros(level, len(begins), 1, generator)[:, 0]
            macro = torch.where(aside.view(-1, *[1] * (macro.ndim - 1)), other, macro)
            _, left, following = _step(here, walks[-1], macro)
            lives = torch.rand(len(begins), generator=generator) < left / level.returns_head.discount
            walks.append(torch.where(lives[:, None], following, walks[-1]))
        kept = torch.randint(longest, (len(begins), KEPT), generator=generator) + 1
        far = torch.stack(walks, 1)[begins[:, None], kept].flatten(0, 1)
        rows, z = torch.cat([rows[begins].repeat_interleave(KEPT), rows[len(far) :]]), torch.cat([far, z[len(far) :]])
        here = level_at(level, play, rows)
        _, paid, left, leads = _tried(here, z, generator)
        return _Unfolded(play, rows, z, level.returns_head.seen(here, z), leads, paid, left)


def _tried(level: Level, z: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(B, D) -> M macro-actions at each (B, M, ...), what they pay and the discount that is left after them (B, M), and
    where they lead, as networks see it (B, M, S)."""
    macros = any_macros(level, len(z), SAMPLES, generator)
    steps = [_step(level, z, macro) for macro in macros.unbind(1)]
    paid, left, leads = zip(*steps, strict=True)
    seen = torch.stack([level.returns_head.seen(level, each) for each in leads], 1)
    return macros, torch.stack(paid, 1), torch.stack(left, 1), seen


def _best(level: Level, z: Tensor, critic: nn.Module, generator: torch.Generator) -> Tensor:
    """(B, D) -> the macro-action that leads to the most, of those that are tried."""
    macros, paid, left, leads = _tried(level, z, generator)
    return macros[torch.arange(len(z)), _worths(level.returns_head, critic, leads, paid, left).argmax(1)]


def _worths(head: VectorReturns, critic: nn.Module, leads: Tensor, paid: Tensor, left: Tensor) -> Tensor:
    """What steps pay and what can be had after them, where `critic` says that."""
    return paid + left * head.possible(critic(leads))


def away(level: Level, z: Tensor) -> Tensor:
    """(B, D) -> (B,): steps from what play met, as far as landmarks tell. The root has no gradient at nought."""
    gap = (z - level.space.points[nearest_landmark(z, level.space.points)]).square().sum(-1)
    return gap.clamp(min=torch.finfo(gap.dtype).tiny).sqrt() / level.space.unit


def _step(level: Level, z: Tensor, macro: Tensor) -> tuple[Tensor, Tensor, Tensor]:
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
