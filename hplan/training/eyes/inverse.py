"""`inverse`: an eye learns by telling, of any two frames of a stretch of play, what was done between them.

    sum of the actions between i and j / sqrt(j - i)   from   z_i, z_j - z_i, log(j - i)      (all pairs, i < j)

So it keeps what actions move, wherever that is, and nothing else has a reason to be in its numbers: neither what
flickers, nor what drifts, nor what never changes. Beside it every number has to vary (VICReg's hinge), and one action
has to lead from one frame's numbers to the next one's. Inverse dynamics over one step (Pathak et al., 2017) is not
enough: a step moves a ball by a fraction of a pixel. The other two come in slowly: from the start, what drifts slowly
and may be predicted fills the numbers before actions are found in them (docs/lessons/pixels.md). What is far off counts
as chance, in both: a leap that no action explains would be explained by seeing its two ends as one place. But where two
frames are as alike as those of any step, it is the eye that tears apart what is close, and that is mended.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hplan.levels.encoders import mlp
from hplan.levels.pixels import EyeBeside
from hplan.levels.stage import Curve
from hplan.objectives.welsch import LONG, trust
from hplan.play.play import Play

STRETCHES, MOMENTS = 32, 4  # in a batch, and in each of them, with the frame that follows each
SPAN = 64  # steps, at the most, of a stretch
PREDICTION, EPSILON = 0.3, 1e-4  # weight beside the inverse, and variance below which a number is none
FOUND, BEGUN, LAST = 0.5, 0.9, 5  # of the cost of a constant guess; points at the end of a learning curve
ALONE, LEAST = 0.6, 0.05  # share of the steps in which the other two grow to their weight, and what varying begins with


class InverseDynamics(nn.Module):
    """`EyeObjective`: inverse dynamics between all pairs of frames, variance, and prediction of the next frame."""

    actions = True

    def __init__(self, eye: Any, play: Play, *, features: int, steps: int, hidden: int = 128) -> None:
        super().__init__()
        taken = _taken(play)
        self.eye, self.play, self.steps = eye, play, steps
        self.inverse = mlp(2 * features + 1, hidden, taken.shape[1])
        self.forward_model = mlp(features + taken.shape[1], hidden, features)
        self.rows = play.starts(1)
        self.total = F.pad(taken.double().cumsum(0), (0, 0, 1, 0))  # of all that was done before each row
        known = torch.zeros(play.episodes, dtype=torch.bool).index_fill(0, play.episode[self.rows], True)[play.episode]
        self.taken = taken / taken[known].std(0).clamp(min=EPSILON**0.5)
        drawn = [self._drawn(torch.Generator().manual_seed(i)) for i in range(SPAN)]
        done, apart = (torch.cat([each[part].flatten(0, 1) for each in drawn]) for part in (2, 1))
        self.ordinary = self._change_of_frames()
        self.unit = done.std(0).clamp(min=EPSILON)
        asked = done / self.unit
        self.constant = float(self._cost(asked.mean(0).expand_as(asked), asked, apart))

    def loss(self, step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        at, gap, done = self._drawn(generator)
        first, second = _pairs()
        frames = self.play.observations[at]
        z = self.eye(frames)
        here, there = z[:, first], z[:, second]
        guess = self.inverse(torch.cat([here, there - here, gap.clamp(min=1).float().log()], -1))
        inverse = self._cost(*(each.flatten(0, 1) for each in (guess, done / self.unit, gap)))
        deviation = (z.flatten(0, 1).var(0) + EPSILON).sqrt()
        spread = F.relu(1 - deviation).mean()
        now, following = z[:, ::2], z[:, 1::2]
        change = self.forward_model(torch.cat([now, self.taken[at[:, ::2]]], -1))
        error, moved = (((end - following) / deviation).flatten(0, 1) for end in (now + change, now))
        weight = trust(error, torch.zeros_like(error), moved, near=self._alike(frames))
        prediction = (error.square().mean(1) * weight).mean()
        figures = {"inverse": inverse.detach(), "spread": spread.detach(), "prediction": prediction.detach()}
        beside = min(step / (ALONE * self.steps), 1.0) ** 2
        return inverse + max(beside, LEAST) * spread + beside * PREDICTION * prediction, figures

    def found(self, curve: Curve) -> bool:
        """Whether telling what was done costs less than half of what a constant guess does, and has for half of the
        steps. In noise, what moves by an action is found late or not at all; late, it is seen roughly."""
        return max(self._told(curve), self._told(curve[: len(curve) // 2 + 1])) < FOUND

    def begun(self, curve: Curve) -> bool:
        """Whether it costs any less. What is missed may be missed for good: an eye of the maze in noise told nothing in
        18,000 steps, and one with other weights found the ball."""
        return self._told(curve) < BEGUN

    def _told(self, curve: Curve) -> float:
        last = [point["inverse"] for point in curve[-LAST:]]
        return sum(last) / len(last) / self.constant

    def _cost(self, guess: Tensor, asked: Tensor, gap: Tensor) -> Tensor:
        """(N, A), (N, A), (N, 1) -> (): of telling what was done between two frames so many steps apart."""
        told = trust(guess, asked, asked)[:, None]
        return ((guess - asked).square() * told * (gap > 0)).mean()

    def _alike(self, frames: Tensor) -> Tensor:
        """Frames (S, 2 * moments, ...) -> (N,) bool: two that are as alike as in most steps. Between them is no leap:
        what is far off there is the eye's, which tears apart what is close."""
        frames = self._image(frames)
        before, after = (frames[:, part::2].flatten(0, 1).flatten(1).float() for part in (0, 1))
        return (before - after).square().mean(1) <= self.ordinary

    def _image(self, frames: Tensor) -> Tensor:
        """Frames without what comes beside them."""
        return self.eye.image(frames) if isinstance(self.eye, EyeBeside) else frames

    def _change_of_frames(self) -> float:
        """Mean squared change of a pixel below which a step is an ordinary one; 0 where frames say nothing of it, since
        they change as much as any two are apart."""
        generator = torch.Generator().manual_seed(0)
        rows = self.rows[torch.randint(len(self.rows), (512,), generator=generator)]
        here, next_, other = (
            self._image(self.play.observations[each]).flatten(1).float() for each in (rows, rows + 1, rows.flip(0))
        )
        steps, apart = ((here - end).square().mean(1) for end in (next_, other))
        longest = float(steps.quantile(LONG))
        return longest if longest < 0.5 * float(apart.median()) else 0.0

    def _drawn(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(S, 2 * moments) rows, each moment with the next; (S, P, 1) gaps; (S, P, A) what was done between them."""
        begin = self.rows[torch.randint(len(self.rows), (STRETCHES, 1), generator=generator)]
        length = self.play.remaining[begin].clamp(max=SPAN)
        after = (torch.rand(STRETCHES, MOMENTS, generator=generator) * length).long().sort(1).values
        at = begin + torch.stack([after, after + 1], 2).flatten(1)
        first, second = _pairs()
        gap = (at[:, second] - at[:, first])[..., None]
        done = (self.total[at[:, second]] - self.total[at[:, first]]) / gap.clamp(min=1).sqrt()
        return at, gap, done.float()


def _pairs() -> tuple[Tensor, Tensor]:
    """Of the frames of a stretch, each with each later one: (P,) each."""
    first, second = torch.tensor([*combinations(range(2 * MOMENTS), 2)]).T
    return first, second


def _taken(play: Play) -> Tensor:
    """(N, A) float32: what was done at each row, one-hot where actions are discrete."""
    if play.action_spec.kind == "discrete":
        return F.one_hot(play.actions, play.action_spec.size).float()
    return play.actions.float()
