"""Levels of strides, for latents that are vectors: a step of level k lasts a fixed number of environment steps, and its
macro-action is a code of what happened in it.

How long a step is, and whether one more level needs to be there, is measured on play and decided by one rule. Where
time scales have gaps the gaps are the levels (`hplan.training.events`). Numbers that drift have none. There the level
below says how far it can be trusted, and search says what a level saves:

- N, steps of level k on a long trip: `travel_time` over the stride of level k.
- R, the most steps after which level k's open-loop prediction is still where the controller would call it arrived.
- The next stride is r = min(R, sqrt(N)) steps of level k: as coarse as the level below can fill in, and no coarser than
  makes the plan above as long as the plans below.
- Where latents merge, a search of n steps looks at about n * n of them. Without the next level a trip costs N * N, with
  it (N / r)^2 above and N / r searches of r * r below. It is worth a level if that is `WORTH` times less.
- Nor does it take so much where macro-actions are continuous, no plan is as long as a trip, and the level is reliable
  for more than a step: what is sampled over a few steps goes no way that begins by leading away.
- Where reward is aimed for, level 0 has values, which see as far as they have to: no level more. Its latents are the
  numbers as they are, if no encoder is asked for: plans go where play never was, and octaves say nothing of there.
- One that is trained and shrank to a point to be slow is left out after all, and none is above it: its steps lead
  nearly anywhere.

Where actions are known of a part of play alone (`labelled`), level 0 and the policies learn from that, and calibration
is on such play, too. The eye, if its objective asks for no actions, where play has been, and levels above learn from
all: codes of level 1 then stand for where steps lead, and not for the actions in them.

What nothing could have predicted is no way: transitions that end far from where level 0 predicts are cut out of what
levels learn and measure, but for what is uncertain. A level above says in hindsight which macro-action led from one
latent to another, so it would call the way that luck took a way, and plan to take it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hplan.levels.heads.conditioning import conditioning_stages, level_at
from hplan.levels.heads.landmarks import LandmarkEdges, landmark_edges
from hplan.levels.heads.policy import policy_stages
from hplan.levels.heads.returns import returns_stages
from hplan.levels.heads.success import success_rows, success_stages
from hplan.levels.heads.uncertainty import carried_errors, uncertainty_stages
from hplan.levels.heads.violation import dead_ends, violation_stages
from hplan.levels.level import Level
from hplan.levels.pixels import Eye
from hplan.levels.stage import Stages
from hplan.objectives.collapse import SAMPLE as EXAMINED
from hplan.objectives.collapse import Health, examine, some, warn_of_collapse
from hplan.objectives.welsch import LONG
from hplan.parts import find
from hplan.planning.rollout import PLAN_STEPS
from hplan.play.play import Play
from hplan.training.asking import varies
from hplan.training.chance import leaps
from hplan.training.depth import reliable_horizon, travel_time, worth_a_level
from hplan.training.eye import eye_stages, seen
from hplan.training.history import history_of
from hplan.training.scenes import OTHER, SHARE, WHITE, Pointer, place_stages, placed, varying
from hplan.training.told import lost_stages
from hplan.training.vectors import CHUNK, StrideSettings, base_level, encoded, level_above, level_stages
from hplan.types import UsageError

CLOSE, CLOSER = 1.0, 0.5  # steps from a goal that count as there; a whole step of a high level is nearly everywhere
FAR = 1.5  # long steps: a wall that stops a step puts its prediction off by one; what is off by more is chance
LONG_STEPS = 100_000  # looked at for how long a long step is


class Strides:
    """How levels are cut and learned, `hplan.training.train.Abstraction`."""

    Settings = StrideSettings
    observations = ("vector", "symbols", "image")
    asks = ("auto", "fourier", "standard")  # encoders of vectors that look at nothing which `Play.asking` names

    def __init__(self, settings: StrideSettings, play: Play, held: Play, *, count: int | None, seed: int) -> None:
        """`play` to learn from, and `held` out to check on. `count`: of levels, None for as many as are worth it, but
        one whose steps lead nearly anywhere. Raises UsageError where play shows one layout and others are to be
        seen."""
        if count != 1 and play.layouts is not None and len(play.layouts.images) == 1:
            raise UsageError(
                "all episodes to learn from are in one layout, and it takes several to learn what walls mean: play in "
                "more, or train one level"
            )
        self.settings, self.count, self.seed = settings, count, seed
        self.labels: Tensor | None = None  # rows whose actions are known; None for all
        if settings.labelled < 1:
            self.labels, known = (some_labels(each, settings.labelled, seed) for each in (play, held))
            held = labelled(held, known)
        self.whole = self.play = play  # as the next level sees it: all of it, and without what chance decided
        self.held = self.checked = held  # as it was given, and as the next level sees it
        self.longest = int(play.remaining.max())
        self.success = success_rows(play)
        self.rewarded = not self.success.any() and bool(play.rewards.any())
        self.varies = varies(play)
        self.errors: Tensor | None = None
        self.trip, self.stride, self.below_stride = float(self.longest), 1, 1
        self.reliable: list[int] = []
        self.edges: dict[int, LandmarkEdges] = {}
        self.facts: dict[str, Any] = {}
        self.over = self.shrunk = False
        self.history, self.beginning, self.beside = 1, False, False
        self.eye: Any = None

    def tolerance(self, level: Level) -> float:
        """Steps of the level within which a goal observation counts as reached."""
        return CLOSE if level.index <= 1 else CLOSER

    def prepare(self, stack: tuple[Level, ...]) -> Stages:
        """Before level 0: the eye, where there are images, and how many observations it takes to predict the next.
        What other levels need was measured when the one below was done."""
        if stack:
            return
        if self.play.observation_spec.kind == "image":
            yield from self._look()
        asked = self.settings.history
        known = labelled(self.play, self.labels)
        self.history = history_of(known, self.seed) if asked == "auto" else asked
        self.whole = self.play = self.play.with_history(self.history, beginning=self.beside)
        self.held = self.checked = self.held.with_history(self.history, beginning=self.beside)

    def _look(self) -> Stages:
        """Learn an eye, and see play by it. Where layouts differ, it learns where in the first frame of its episode a
        latent is, too; where they differ much, the eye sees that frame beside each."""
        spec, settings = self.play.observation_spec, self.settings
        share = 0.0 if spec.numbers else varying(self.play, self.seed)
        self.beginning = share > SHARE and isinstance(self._new_eye(self.play), Eye)
        self.beside = self.beginning and share > OTHER
        beside = [part.with_history(1, beginning=self.beside) for part in (self.play, self.held)]
        self.eye = self._new_eye(beside[0])
        objective = settings.eye_objective
        shown = labelled(beside[0], self.labels) if find("eye_objective", objective).actions else beside[0]
        yield from eye_stages(self.eye, shown, settings.latent + spec.numbers, settings.eye_steps, objective)
        latents = [seen(self.eye, part).below for part in beside]
        self.play, self.held = (one.with_latents(z) for one, z in zip((self.play, self.held), latents, strict=True))
        if self.beginning:
            pointer = Pointer(settings.latent, *spec.shape[:2])
            first = beside[0] if self.beside else self.play.with_history(1, beginning=True)
            yield from place_stages(pointer, first.with_latents(latents[0]))
            self.play, self.held = (placed(pointer, part, alike=not self.beside) for part in (self.play, self.held))
        self.facts["layouts_vary"] = self.beginning

    def _new_eye(self, play: Play) -> Any:
        """One for such frames, untrained."""
        return base_level(play.observation_spec, play.action_spec, **self._sizes()).encoder.eye

    def draft(self, stack: tuple[Level, ...]) -> Level | None:
        """The next level, untrained; None where there is none worth it."""
        return None if self.over else self._beginning(stack)

    def stages(self, level: Level, stack: tuple[Level, ...]) -> Stages:
        """What `level` learns, above `stack`."""
        rollout = max(min(_rollout(level.index, self.settings), self.longest // self.stride), 1)
        slow = self.settings.slow if level.index else 0.0
        options = {"rollout": rollout, "seed": self.seed, "labels": self.labels}
        yield from level_stages(level, self.play, self.settings, slow=slow, **options)
        if level.index == 0 and self._may_lose(level):
            lawful, lost = yield from lost_stages(level, labelled(self.play, self.labels), self.seed)
            if bool(lost.any()):
                self.facts["lost"] = torch.nonzero(lost)[:, 0].tolist()
                level.load_state_dict(self._beginning(stack).state_dict())
                yield from level_stages(level, self.play, self.settings, name="-again", told=lawful, **options)
        health = _health(level, self.play)
        if slow and "deviation" in health.symptoms:
            # Where a step leads nearly anywhere, a level is only slow by making a point of its latents.
            if self.count is None:
                warn_of_collapse(level, health)
                self.facts["left_out"] = self.stride
                self.shrunk = True
                return
            level.load_state_dict(self._beginning(stack).state_dict())
            yield from level_stages(level, self.play, self.settings, name="-again", **options)
            health = _health(level, self.play)
        warn_of_collapse(level, health)
        steps = self.settings.steps(level.index)
        if level.index == 0:
            chance = unpredictable(level, labelled(self.whole, self.labels))
            self.facts["chances"] = int(chance.sum())
            self.play = cut(self.whole, chance)
            self.longest = int(self.play.remaining.max())
        else:
            yield from policy_stages(level, stack[-1], labelled(self.play, self.labels), steps)
        yield from conditioning_stages(level, self.play, self.seed, steps)
        known = labelled(self.whole, self.labels)
        self.errors = carried_errors(level, known, self.errors, self.below_stride)
        yield from uncertainty_stages(level, known, self.errors, self.play.remaining, steps)
        if level.index == 0 and self.rewarded:
            settings = self.settings
            options = {"discount": settings.discount, "hidden": settings.hidden, "steps": settings.critic_steps}
            yield from returns_stages(level, known, seed=self.seed, **options)
        self._measure(level)
        if level.obstruction is not None:
            level.compatibility_head = None  # what a map says takes its place
        yield from success_stages(level, self.play.below.__getitem__, self.success, self.seed, self.play)
        ends = dead_ends(self.whole) if self.success.any() else None  # where some ends are what was aimed at
        yield from violation_stages(level, self.whole, self.whole.below, self.seed, ends)

    def finish(self, level: Level) -> bool:
        """Whether the level is kept. Raises UsageError where play is too short for as many as were asked for."""
        if self.shrunk:
            self.over = True
            return False
        settings, made = self.settings, level.index + 1
        ratio = settings.ratio or self.next_ratio(self.trip / self.stride, self.reliable[-1])
        room = self.longest // (2 * self.stride)  # an episode has to hold two steps of a level
        far = level.macro.kind == "continuous" and self.trip / self.stride > PLAN_STEPS and self.reliable[-1] > 1
        small = room < 2 or not (far or worth_a_level(self.trip / self.stride, min(ratio, room)))
        small |= level.returns is not None  # values see as far as they have to
        self.over = made == self.count or (self.count is None and small)
        if not self.over and room < 2:
            raise UsageError(
                f"--levels {self.count}: a step of level {level.index} lasts {self.stride} environment steps, and the "
                f"longest episode of play has {self.longest}, too few for two steps of a level above; choose {made} "
                "levels or auto"
            )
        self.facts |= {"travel_time": self.trip, "reliable": self.reliable}
        self.below_stride, self.stride = self.stride, self.stride * min(ratio, max(room, 1))
        return True

    def next_ratio(self, trip: float, reliable: int) -> int:
        """r: steps of a level in one step of the next; `trip`: N, of a long trip; `reliable`: R. At least 2."""
        return max(min(reliable, round(trip**0.5)), 2)

    def _measure(self, level: Level) -> None:
        """What the next level, and whether there is one, depends on; then play as it sees it."""
        if level.index == 0:
            self.checked = self.held = cut(self.held, unpredictable(level, self.held))
        self.reliable.append(reliable_horizon(level, self.checked))
        self.whole, self.checked = encoded(level, self.whole), encoded(level, self.checked)
        self.play = self.play.with_latents(self.whole.below)
        if level.index and self.play.places_are_shared:  # elsewhere, its landmarks would lie in walls
            self.edges[level.index] = landmark_edges(level, self.play)
        if level.index == 0:
            self.trip = travel_time(self.play, self.seed)
            if self.settings.shuffle:
                order = out_of_order(self.whole, self.seed)
                self.whole, self.success = self.whole.with_latents(self.whole.below[order]), self.success[order]
                self.play = self.play.with_latents(self.whole.below)

    def _beginning(self, stack: Sequence[Level]) -> Level:
        """The next level of the stack, untrained."""
        settings, play = self.settings, self.play
        sight: dict[str, Any] = {"view": play.reach(self.stride)}
        if self.beginning:
            sight["pixel"] = play.observation_spec.context[2], WHITE
        if not stack:
            level = base_level(play.observation_spec, play.action_spec, **sight, **self._sizes())
            if self.eye is not None:
                level.encoder.eye = self.eye
            return level
        sizes: dict[str, Any] = {"latent": settings.latent, "hidden": settings.hidden}
        return level_above(
            stack[-1],
            stride=self.stride,
            codes=settings.codes,
            identity=settings.identity,
            by_actions=self.labels is None,
            **sight,
            **sizes,
        )

    def _may_lose(self, level: Level) -> bool:
        """Whether latents of level 0 are others than the numbers of a vector."""
        return self.play.observation_spec.kind == "vector" and level.parts["encoder"]["kind"] != "standard"

    def _sizes(self) -> dict[str, Any]:
        """Of level 0."""
        settings = self.settings
        plain = self.play.observation_spec.kind == "vector" and (self.rewarded or self.varies)
        return {
            "encoder": "standard" if settings.encoder == "auto" and plain else settings.encoder,
            "latent": settings.latent,
            "hidden": settings.hidden,
            "history": self.history,
            "beginning": self.beside,
            "ignored": self.play.asking,
        }


def some_labels(play: Play, share: float, seed: int) -> Tensor:
    """(N,) bool: the rows of that share of the episodes, at random, and of one at least."""
    order = torch.randperm(play.episodes, generator=torch.Generator().manual_seed(seed))
    known = torch.zeros(play.episodes, dtype=torch.bool)
    known[order[: max(round(share * play.episodes), 1)]] = True
    return known[play.episode]


def labelled(play: Play, labels: Tensor | None) -> Play:
    """The same play, in which windows begin at rows with labels (N,) bool alone, of whole episodes. What was done at
    others is not there."""
    if labels is None:
        return play
    known = labels.view(-1, *[1] * (play.actions.ndim - 1))
    return replace(play, remaining=play.remaining * labels, actions=torch.where(known, play.actions, 0))


@torch.no_grad()
def unpredictable(level: Level, play: Play) -> Tensor:
    """(N,) bool: the transitions of play, from each row to the next, that end far from where level 0 predicts; of
    images, also what is a leap to the eye.

    Where one step in a hundred and more is a leap of chance, that is what a long step is, and nothing is cut out.
    """
    steps, errors = torch.zeros(len(play)), torch.zeros(len(play))
    rows = play.starts(1)
    for part in rows.split(CHUNK):
        z, following = level.encode(play.below[part]), level.encode(play.below[part + 1])
        predicted = level_at(level, play, part).predict(z, play.actions[part])
        steps[part], errors[part] = level.distance(z, following), level.distance(predicted, following)
    longest = steps[rows[:: max(len(rows) // LONG_STEPS, 1)]].quantile(LONG)
    far = errors > FAR * longest
    return far | leaps(play) if play.observation_spec.kind == "image" else far


def cut(play: Play, chance: Tensor) -> Play:
    """The same play, in which an episode ends before each of these transitions (N,) bool, and another begins after it:
    no window has one inside."""
    rows = torch.arange(len(chance))
    following = torch.where(chance, rows, len(chance)).flip(0).cummin(0).values.flip(0)  # the next one, or none
    return replace(play, remaining=torch.minimum(play.remaining, following - rows))


def out_of_order(play: Play, seed: int) -> Tensor:
    """(N,) int64: the rows of play, those of every episode among themselves in a random order. What a level learns from
    them is of no use, which shows that it is where they are in order: the time-shuffled control."""
    last = (play.remaining == 0).long()
    episode = last.cumsum(0) - last
    within = torch.rand(len(episode), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (episode + within).argsort()


def _rollout(index: int, settings: StrideSettings) -> int:
    """Steps of a level in one window of its training. Level 1 fills in what the levels above leave out, so it has to be
    right for longest; what is above looks over few steps that take long."""
    return settings.rollout if index == 1 else 2 if index else 4


def _health(level: Level, play: Play) -> Health:
    """Of a level that is trained; `play` as the level below encodes it."""
    rows = some(torch.arange(len(play)), EXAMINED)
    return examine(level, level.encode(play.below[rows]), lambda at: level_at(level, play, rows[at]))
