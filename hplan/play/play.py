"""Play in memory, for training and for measuring: windows that never leave an episode, and splits by whole layouts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hplan.play.frames import Frames
from hplan.play.precision import warn_of_rounding
from hplan.play.store import CONTEXTS, ROWS, EpisodeStore, pack, unpack_missions
from hplan.reading import Reading, reading_of
from hplan.types import ActionSpec, Episode, HplanError, Mission, ObservationSpec, UsageError

FARTHEST = 0.99  # of the steps of a level stay within what it sees of a layout


@dataclass(frozen=True, eq=False)
class Play:
    """Episodes one after the other, one row per observation: N rows, of which every episode of T steps has T + 1.

    observations (N, *shape): canonical, as they are stored (symbols uint8, or int64 where a byte is too small; vectors
    float32; images uint8, as `Frames`, which lie on the disk). actions (N,) int64 or (N, A) float32; rewards (N,)
    float32; success, violation (N,) bool: entry i belongs to the transition i -> i + 1, and is 0 on the last row of an
    episode, where nothing follows.
    terminated (N,) bool: True on the last row of an episode that the environment ended.
    remaining (N,) int64: steps that can be looked at from row i on. A window of h starts at i iff remaining[i] >= h.
    episode (N,) int64: number of the episode, from 0. seeds (E,) int64: of each episode's layout.
    contexts (E, rows, columns) or (E, rows, columns, C) uint8: of each episode, in worlds that have any.
    latents (N, *z): what the level below made of the observations; None below level 0.
    places (N, 2) float32: column and row of the context at which an observation was made; None where it says so itself.
    missions: what each episode asks for, E of them; none at all where the world says nothing. reading: how heads read
    them; None where they do not. asking: numbers of observations (N, D) that say it, of which levels see none. goals:
    how many numbers of an observation, the first, are to be those of the mission, as in a GoalEnv.
    alike: whether layouts have their places in common, as rooms have of which a door is closed today.
    """

    observations: Any  # Tensor, or `Frames` of images
    actions: Tensor
    rewards: Tensor
    success: Tensor
    violation: Tensor
    terminated: Tensor
    remaining: Tensor
    episode: Tensor
    seeds: Tensor
    observation_spec: ObservationSpec
    action_spec: ActionSpec
    contexts: Tensor | None = None
    latents: Tensor | None = None
    places: Tensor | None = None
    missions: tuple[Mission, ...] = ()
    reading: Reading | None = None
    asking: tuple[int, ...] = ()
    goals: int = 0
    alike: bool = False

    @staticmethod
    def of(episodes: Iterable[Episode], observation_spec: ObservationSpec, action_spec: ActionSpec) -> Play:
        """Episodes that are in memory already."""
        return _joined([pack(list(episodes))], observation_spec, action_spec)

    def __len__(self) -> int:
        return len(self.remaining)

    @property
    def episodes(self) -> int:
        return len(self.seeds)

    @property
    def steps(self) -> int:
        return len(self) - self.episodes

    @property
    def lengths(self) -> Tensor:
        """(E,) int64: steps of each episode."""
        return torch.bincount(self.episode, minlength=self.episodes) - 1

    @property
    def below(self) -> Any:
        """(N, ...): what a level encodes. The latents of the level below it, or observations."""
        return self.observations if self.latents is None else self.latents

    def with_latents(self, latents: Tensor) -> Play:
        """The same play as the next level sees it: latents (N, *z), one for each row."""
        if len(latents) != len(self):
            raise UsageError(f"{len(latents)} latents for {len(self)} rows of play; expected one for each row")
        return replace(self, latents=latents)

    def read(self) -> Play:
        """The same play with a reading of its missions, if there are several."""
        succeeded = torch.zeros(self.episodes, dtype=torch.bool)
        succeeded[self.episode[self.success]] = True
        return replace(self, reading=reading_of(self.missions, succeeded.tolist()) if self.missions else None)

    def asked_by(self, numbers: tuple[int, ...]) -> Play:
        """The same play, in which what these numbers of observations (N, D) are is what its episode asks for."""
        if not numbers:
            return self
        said = self.observations[self.begins][:, list(numbers)].tolist()
        return replace(self, asking=numbers, missions=tuple(tuple(each) for each in said))

    @cached_property
    def asked(self) -> Tensor | None:
        """(E, K): the code of what each episode asks for; None where nobody reads it."""
        if self.reading is None or not self.missions:
            return None
        return torch.from_numpy(np.stack([self.reading.code(mission) for mission in self.missions]))

    @property
    def begins(self) -> Tensor:
        """(E,) int64: the row at which each episode begins."""
        rows = self.lengths + 1
        return rows.cumsum(0) - rows

    def with_history(self, length: int, *, beginning: bool = False) -> Play:
        """The same play in which every observation is the last `length` of its episode, as `lately` puts them together;
        and so are the latents, if there are any. Where an episode begins, the first stands for what came before.
        `beginning`: after the observations comes the first one of the episode."""
        if length == 1 and not beginning:
            return self
        first = self.begins[self.episode, None]
        lasting = torch.maximum(torch.arange(len(self))[:, None] - torch.arange(length), first)
        back = torch.cat([lasting, first], 1) if beginning else lasting
        seen, spec, length = self.observations, self.observation_spec, back.shape[1]
        *size, features = spec.shape
        return replace(
            self,
            observations=seen.together(back) if isinstance(seen, Frames) else lately(seen[back].unbind(1)),
            observation_spec=replace(spec, shape=(*size, features * length), cardinalities=spec.cardinalities * length),
            latents=None if self.latents is None else lately(self.latents[lasting].unbind(1)),
            asking=tuple(number + features * past for past in range(length) for number in self.asking),
        )

    def with_missions(self) -> Play:
        """The same play of a few variables, with one more: which mission each episode has."""
        assert self.reading is not None
        missions = self.missions or ("",) * self.episodes
        number = torch.tensor([self.reading.number(mission) for mission in missions])
        spec, values = self.observation_spec, len(self.reading.met) + 1
        shape, cardinalities = list(spec.shape), spec.cardinalities
        if shape[1] == 1:
            shape[2], cardinalities = shape[2] + 1, (*cardinalities, values)
        else:
            shape[1], cardinalities = shape[1] + 1, (max(cardinalities[0], values), cardinalities[1] + 1)
        return replace(
            self,
            observations=with_variable(self.observations, number[self.episode]),
            observation_spec=replace(spec, shape=tuple(shape), cardinalities=cardinalities),
        )

    def in_sight(self) -> Play:
        """The same play of images, with the first one of each episode as its context."""
        contexts = self.observations[self.begins]
        spec = replace(self.observation_spec, context=tuple(contexts.shape[1:]))
        return replace(self, contexts=contexts, observation_spec=spec)

    def starts(self, horizon: int) -> Tensor:
        """(K,) int64, ascending: every row at which a window of `horizon` environment steps starts (it ends at row
        i + horizon). Raises HplanError where no episode is as long."""
        if horizon < 1:
            raise UsageError(f"a window has 1 step or more, not {horizon}")
        found = torch.nonzero(self.remaining >= horizon)[:, 0]
        if not len(found):
            raise HplanError(
                f"no episode of play has {horizon} steps, which a window of this level takes: play longer episodes or "
                "use fewer levels"
            )
        return found

    def outcomes(self, episodes: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(rewarded, other), int64 and ascending: the rows that a successful step ended in, and all others.

        episodes (E,) bool: those that count (default: all). Rows of other episodes are in neither, so that what is
        held out never serves as an example of failure.
        """
        reached = torch.zeros(len(self), dtype=torch.bool)
        reached[1:] = self.success[:-1]
        counts = torch.ones_like(reached) if episodes is None else episodes[self.episode]
        return torch.nonzero(reached & counts)[:, 0], torch.nonzero(~reached & counts)[:, 0]

    # -------------------------------------------------------------------------------------------------------- splits

    def held_out(self, fraction: float, seed: int) -> Tensor:
        """(E,) bool: about `fraction` of the layouts, with all of their episodes; the same for the same seed.

        A layout is a context, where contexts are shown, else a seed: episodes that restart from a rare state share
        theirs with an earlier one. Where there is one layout only, every episode counts as its own. The layout of the
        longest episode is never held out, for the length of windows that can be learned from depends on it; nor one
        with more than `fraction` of all steps, if there is another. Raises HplanError where there is one episode.
        """
        if not 0 < fraction < 1:
            raise UsageError(f"the fraction to hold out is between 0 and 1, not {fraction}")
        if self.episodes < 2:
            raise HplanError(f"{self.episodes} episode of play, so none can be held out to check on: play more steps")
        layout, lengths = self._layout_numbers(), self.lengths.numpy()
        steps = np.bincount(layout, weights=lengths)
        order = np.random.default_rng(seed).permutation(len(steps))
        order = order[order != layout[lengths.argmax()]]
        few = order[steps[order] <= max(fraction * lengths.sum(), steps[order].min())]
        chosen = few[: max(round(fraction * len(steps)), 1)]
        return torch.from_numpy(np.isin(layout, chosen))

    def split(self, fraction: float, seed: int) -> tuple[Play, Play]:
        """(training, held out), as `held_out` chooses. No layout is on both sides, and every episode on one."""
        held = self.held_out(fraction, seed)
        return self.select(~held), self.select(held)

    def select(self, episodes: Tensor) -> Play:
        """The episodes where the mask (E,) bool is True, numbered anew."""
        rows = episodes[self.episode]
        per_row = {name: getattr(self, name)[rows] for name in (*ROWS[1:], "terminated", "remaining")}
        seen = self.observations
        per_row["observations"] = seen.select(rows) if isinstance(seen, Frames) else seen[rows]
        return replace(
            self,
            **per_row,
            episode=(episodes.cumsum(0) - 1)[self.episode[rows]],
            seeds=self.seeds[episodes],
            contexts=None if self.contexts is None else self.contexts[episodes],
            latents=None if self.latents is None else self.latents[rows],
            places=None if self.places is None else self.places[rows],
            missions=tuple(compress(self.missions, episodes.tolist())),
        )

    def _layout_numbers(self) -> np.ndarray:
        """(E,) int64: which layout each episode is in, from 0."""
        for known in (self.contexts, self.seeds):
            if known is not None:
                number = np.unique(known.numpy(), axis=0, return_inverse=True)[1].reshape(-1)
                if number.max(initial=0) > 0:
                    return number
        return np.arange(self.episodes)

    # ------------------------------------------------------------------------------------- layouts that levels see

    @cached_property
    def layouts(self) -> Layouts | None:
        """What levels see of the layouts that play was in (`hplan.levels.heads.conditioning`); None where the world
        shows none."""
        if self.contexts is None:
            return None
        images, number = np.unique(self.contexts.numpy(), axis=0, return_inverse=True)
        places = self.places
        if places is None and self.observation_spec.kind != "vector":
            places = torch.full((len(self), 2), math.nan)
        elif places is None:
            x, y, pixel = self.observation_spec.context_frame
            corner = torch.tensor([x, y], dtype=torch.float64)
            places = ((self.observations[:, :2].double() - corner) / pixel).float()
        of = torch.from_numpy(number.reshape(-1))[self.episode]
        return Layouts(torch.from_numpy(images.astype(np.float32)), of, places)

    @property
    def places_are_shared(self) -> bool:
        """Whether a place, and a way from there, is one in every episode."""
        return self.layouts is None or self.alike

    def reach(self, stride: int) -> int:
        """Pixels of a layout that a level of this stride has to see to each side; 0 where there is none."""
        return 0 if self.layouts is None else self.layouts.reach(self.starts(stride), stride)


@dataclass(frozen=True, eq=False)
class Layouts:
    """images (K, rows, columns) or (K, rows, columns, C) float32, all that play was in, each once; of (N,) int64: the
    image of each row of play; places (N, 2) float32: column and row at which its observation was made, in pixels; NaN
    where nobody has learned to tell."""

    images: Tensor
    of: Tensor
    places: Tensor

    def reach(self, rows: Tensor, stride: int) -> int:
        """Pixels that a step of `stride` environment steps from these rows goes, at most, in either direction."""
        moved = (self.places[rows + stride] - self.places[rows]).abs().amax(1)
        return max(math.ceil(float(np.quantile(moved.numpy(), FARTHEST))), 1)


def lately(newest_first: Sequence[Tensor]) -> Tensor:
    """Observations (..., F) one after the other -> (..., n * F) as one, the newest first: its numbers, symbols of every
    cell, or channels."""
    return torch.cat(list(newest_first), -1)


def with_variable(seen: Tensor, values: Tensor) -> Tensor:
    """Symbols (N, 1, 1, F), or (N, 1, W, 2) of a row of cells, with one more variable, of these values (N,)."""
    added = values[:, None, None, None]
    if seen.shape[2] > 1:
        added = torch.cat([added, torch.full_like(added, seen.shape[2])], -1)
    return torch.cat([seen.long(), added], -1 if seen.shape[2] == 1 else 2)


def load_play(*paths: Path | str, skip_damaged: bool = False) -> Play:
    """All episodes of a store, or of several one after the other; every shard's hash is checked first (about 1 s for
    500 MB). What lies in one shard is mapped, not read.

    Raises HplanError naming a damaged shard; with `skip_damaged` the others are loaded. Warns (`PrecisionWarning`) of
    numbers whose steps float32 cannot hold.
    """
    stores = [EpisodeStore.open(path, skip_damaged=skip_damaged, hashes=True) for path in paths]
    shards = [shard for store in stores for shard in store.arrays()]
    where, manifest = ", ".join(str(store.path) for store in stores), stores[0].manifest
    if not shards:
        raise HplanError(f"{where}: no readable episodes: run the same `hplan data make` again")
    play = replace(_joined(shards, manifest.observation_spec, manifest.action_spec), goals=manifest.codec.goals)
    if play.observation_spec.kind == "vector":
        warn_of_rounding(play.observations, play.remaining, where)
    return play


def _joined(shards: list[dict[str, np.ndarray]], observation_spec: ObservationSpec, action_spec: ActionSpec) -> Play:
    def column(name: str) -> Tensor:
        parts = [torch.from_numpy(shard[name]) for shard in shards]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    lengths, ended = column("lengths"), column("terminated")
    ends = (lengths + 1).cumsum(0) - 1  # the last row of each episode
    episode = torch.arange(len(lengths)).repeat_interleave(lengths + 1)
    missions = tuple(chain.from_iterable(map(unpack_missions, shards)))
    terminated = torch.zeros(len(episode), dtype=torch.bool)
    terminated[ends[ended]] = True
    if observation_spec.kind == "image":
        observations: Any = Frames([torch.from_numpy(shard["observations"]) for shard in shards])
    else:
        observations = column("observations")
    return Play(
        observations=observations,
        **{name: column(name) for name in (*ROWS[1:], "seeds")},
        terminated=terminated,
        remaining=ends[episode] - torch.arange(len(episode)),
        episode=episode,
        observation_spec=observation_spec,
        action_spec=action_spec,
        contexts=column(CONTEXTS) if observation_spec.context else None,
        missions=missions if any(missions) else (),
        reading=None,
        asking=(),
        goals=0,
        alike=False,
    )
