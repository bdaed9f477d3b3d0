"""Levels of cellular worlds (`hplan.levels.cellular`): which symbols there are, what chooses, and which words.

Found from play, in this order:

- Channels of an image are one group, or groups of three colours each. A group is the *register* if some value of it,
  its rest, is there after every step that changes the other group: it shows what is chosen until something is done.
- Symbols are classes of colours: those are of one class between which a chain of colours leads, each within `GAP` of
  the next (single linkage). So a shade is no other symbol, if play showed shades between.
- Words are what leads the register from rest to the next step that changes anything, by what followed what in play.
- One network learns what happens anyway, and beside it a table which cells each word sets to what.

Level 0 is the environment's actions, level 1 the words, level 2 parts of a goal by symbol, each of which takes words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from torch import Tensor, nn

from hplan.levels.cellular import CHUNK, ColourMap, frame_keys, packed
from hplan.levels.level import Level
from hplan.levels.stage import Stage, Stages
from hplan.play.explore import permitted
from hplan.play.play import Play
from hplan.types import UsageError
from hplan.validation import Count, validated

GAP = 8.0  # between two colours of one symbol, of 255
MOST_COLOURS, MOST_SYMBOLS, MOST_WORDS, LONGEST = 8192, 64, 4096, 6
RESETS, STEPS = 8, 40  # of a world that is looked at, and steps of each
RATE, FASTER = 3e-3, 10.0  # of learning; how much faster the tables do
SURE = 0.1  # what differs by less from never or always is that: then words that set the same cells are told in one
UNTOUCHED = -3.0  # logit of a cell being set by a word, before anything is learned


@validated
class CellularSettings:
    """How levels of a cellular world learn. steps: of the network; batch: words in each; channels and layers of it."""

    steps: Count = 4000
    batch: Count = 32
    channels: Count = 16
    layers: Count = 6


@dataclass(frozen=True)
class Register:
    """Which group of channels is which, and what the register shows at rest. register: -1 for none."""

    group: int
    cells: int
    register: int
    rest: int = 0


@dataclass(frozen=True)
class Alphabet:
    """following, ends (R, A) int64: the register's value after an action, -1 where play never did it, and the word that
    it ends, -1 for none; spelled (M, L) int64, -1 after the end; position (R,): letters that lead to a value."""

    following: Tensor
    ends: Tensor
    spelled: Tensor
    position: Tensor
    rest: int


class CellularLevels:
    """How levels are cut and learned, `hplan.training.train.Abstraction`."""

    Settings = CellularSettings
    observations = ("image",)

    def __init__(self, settings: CellularSettings, play: Play, held: Play, *, count: int | None, seed: int) -> None:
        """Raises UsageError where images have too many colours for symbols, or actions are numbers."""
        if play.action_spec.kind != "discrete":
            raise UsageError("cellular levels are for discrete actions: choose abstraction 'strides'")
        self.settings, self.count, self.seed = settings, count or 3, seed
        self.play, self.held = play, held
        self.facts: dict[str, Any] = {}
        self.edges: dict[int, Any] = {}
        self.history, self.beginning = 1, False
        self.eye: ColourMap
        self.alphabet: Alphabet
        self.maps: Tensor
        self.values: Tensor

    def tolerance(self, level: Level) -> float:
        """A goal is as it is: whoever asks for it says when it is met."""
        return 0.0

    def prepare(self, stack: tuple[Level, ...]) -> Stages:
        """Before level 0: symbols, register and words."""
        if stack:
            return
        spec = self.play.observation_spec
        groups = register_of(self.play.observations, self.play.remaining, spec.shape[-1])
        self.eye = colour_map(self.play.observations, spec.shape, groups)
        looked = [self.eye(part) for part in self.play.observations.split(CHUNK)]
        seen = torch.cat([part.to(torch.int16) for part in looked])
        self.maps, self.values = seen % self.eye.vocabulary, seen[:, 0, 0].long() // self.eye.vocabulary
        self.alphabet = alphabet_of(self.maps, self.values, self.play)
        self.facts |= {"symbols": self.eye.vocabulary, "words": len(self.alphabet.spelled)}
        yield from ()

    def draft(self, stack: tuple[Level, ...]) -> Level | None:
        """The next level, untrained; None where there are as many as were asked for."""
        if len(stack) >= min(self.count, 3):
            return None
        return (self._actions, self._words, self._parts)[len(stack)](stack)

    def stages(self, level: Level, stack: tuple[Level, ...]) -> Stages:
        """Level 0 learns what happens; the others are made of it."""
        if level.index == 0:
            learner = Learner(level.dynamics)
            begin, end, words = self._cut()
            yield Stage("cells", learner, self._loss(learner, begin, end, words), self.settings.steps, lr=RATE)
            learner.write()
            level.space.typical_change.copy_(cells_set(level.dynamics))
        else:
            level.space.typical_change.copy_(stack[0].space.typical_change)
        if level.index == 1:
            own = level.dynamics.state_dict()
            level.dynamics.load_state_dict({name: stack[0].dynamics.state_dict()[name] for name in own})

    def finish(self, level: Level) -> bool:
        return True

    def _cut(self) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of play at which words begin and end, and which."""
        words = self._words(()).macros
        seen = self.eye.vocabulary * self.values[:, None, None]
        return words.cut(self.play.with_latents(seen))

    def _loss(self, learner: Learner, begin: Tensor, end: Tensor, words: Tensor) -> Any:
        def loss(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            some = torch.randint(len(begin), (self.settings.batch,), generator=generator)
            z, after = self.maps[begin[some]].long(), self.maps[end[some]].long()
            p = learner(z, words[some]).gather(-1, after[..., None])[..., 0].clamp(min=1e-9)
            value = -p.log().sum((1, 2)).mean() / 100
            with torch.no_grad():
                changed = (z != after).flatten(1).sum(1).float().mean()
                wrong = (p < 0.5).flatten(1).sum(1).float().mean()
            return value, {"prediction": value.detach(), "wrong": wrong, "changed": changed}

        return loss

    def _sizes(self) -> dict[str, Any]:
        settings, size = self.settings, tuple(self.play.observation_spec.shape[:2])
        macros = len(self.alphabet.spelled)
        sizes = {"vocabulary": self.eye.vocabulary, "macros": macros, "size": size}
        return sizes | {"channels": settings.channels, "layers": settings.layers}

    def _actions(self, stack: tuple[Level, ...]) -> Level:
        alphabet, eye, actions = self.alphabet, self.eye, self.play.action_spec
        registers, vocabulary = len(alphabet.position), eye.vocabulary
        of = {"registers": registers, "actions": actions.size}
        parts = {
            "encoder": {
                "kind": "colour-map",
                "inputs": eye.inputs,
                "vocabulary": vocabulary,
                "colours": len(eye.colours),
                "registers": len(eye.registers),
                "group": eye.group,
                "cells": eye.cells,
                "register": eye.register,
            },
            "space": {"kind": "cellular-map", "vocabulary": vocabulary},
            "macros": {"kind": "actions", "action": "discrete", "size": actions.size, "names": actions.names},
            "dynamics": {"kind": "spelled-cellular", **of, **self._sizes()},
            "prior": {"kind": "register", "vocabulary": vocabulary, **of},
        }
        level = Level(index=0, parts=parts)
        level.encoder.load_state_dict(eye.state_dict())
        level.dynamics.following.copy_(alphabet.following)
        level.dynamics.ends.copy_(alphabet.ends)
        level.prior_head.possible_actions.copy_(alphabet.following >= 0)
        return level

    def _words(self, stack: tuple[Level, ...]) -> Level:
        alphabet, vocabulary = self.alphabet, self.eye.vocabulary
        words, letters = alphabet.spelled.shape
        names = self.play.action_spec.names or tuple(map(str, range(self.play.action_spec.size)))
        spelled = tuple(" ".join(names[a] for a in word if a >= 0) for word in alphabet.spelled.tolist())
        parts = {
            "encoder": {"kind": "cells-alone", "vocabulary": vocabulary},
            "space": {"kind": "cellular-map", "vocabulary": vocabulary},
            "macros": {
                "kind": "words",
                "words": words,
                "letters": letters,
                "registers": len(alphabet.position),
                "vocabulary": vocabulary,
                "rest": alphabet.rest,
                "names": spelled,
            },
            "dynamics": {"kind": "cellular", **self._sizes()},
            "prior": {"kind": "even", "macros": words},
        }
        level = Level(index=1, parts=parts, stride=float((alphabet.spelled >= 0).sum(1).float().mean()))
        level.macros.spelled.copy_(alphabet.spelled)
        level.macros.position.copy_(alphabet.position)
        return level

    def _parts(self, stack: tuple[Level, ...]) -> Level:
        """As long as plans of both levels are alike: the root of how many words it takes to set every cell once."""
        vocabulary = self.eye.vocabulary
        words = math.sqrt(self.maps[0].numel() / float(stack[0].space.typical_change))
        of = [f"symbol {k}" for k in range(vocabulary)]
        names = (*of, *(f"{each} and scaffolding" for each in of), "all of it")
        parts = {
            "encoder": {"kind": "identity"},
            "space": {"kind": "cellular-map", "vocabulary": vocabulary},
            "macros": {"kind": "parts", "vocabulary": vocabulary, "names": names},
            "dynamics": {"kind": "kept-part", "vocabulary": vocabulary},
            "prior": {"kind": "even", "macros": 2 * vocabulary + 1},
        }
        return Level(index=2, parts=parts, stride=stack[1].stride * max(round(words), 1))


class Learner(nn.Module):
    """A `Cellular` while it learns: the tables as logits, which move faster than weights do."""

    def __init__(self, dynamics: Any) -> None:
        super().__init__()
        self.dynamics = dynamics
        macros, cells = dynamics.touch.shape
        self.touch = nn.Embedding(macros, cells)
        self.made = nn.Embedding(macros, dynamics.vocabulary)
        self.yields = nn.Parameter(torch.zeros(dynamics.vocabulary))
        nn.init.constant_(self.touch.weight, UNTOUCHED / FASTER)
        nn.init.zeros_(self.made.weight)

    def forward(self, z: Tensor, words: Tensor) -> Tensor:
        """(B, H, W), (B,) -> (B, H, W, V): chances of what every cell becomes."""
        share = (FASTER * self.touch(words)).sigmoid().view(z.shape) * (FASTER * self.yields + 2).sigmoid()[z]
        made = (FASTER * self.made(words)).softmax(-1)[:, None, None]
        drift = self.dynamics.logits(z).softmax(-1)
        return drift * (1 - share[..., None]) + share[..., None] * made

    @torch.no_grad()
    def write(self) -> None:
        """What was learned, as the dynamics keeps it."""
        own = self.dynamics
        share = (FASTER * self.touch.weight).sigmoid()
        share = torch.where(share > 1 - SURE, 1.0, torch.where(share < SURE, 0.0, share))
        own.touch.copy_((255 * share).round())
        own.made.copy_(self.made.weight.argmax(-1))
        own.yields.copy_((FASTER * self.yields + 2).sigmoid())


def cells_set(dynamics: Any) -> Tensor:
    """(): how many cells a word sets, in the median."""
    return (dynamics.touch > 127).sum(1).float().median().clamp(min=1)


def register_of(frames: Any, remaining: Tensor, channels: int) -> Register:
    """Which channels show what is chosen, from the first frames (N, H, W, C) of play that is `remaining` (N,) long."""
    group = 3 if channels % 3 == 0 else 1
    rows = torch.arange(min(len(remaining), RESETS * STEPS))
    keys = [frame_keys(frames[rows][..., g * group : (g + 1) * group]) for g in range(channels // group)]
    steps = rows[:-1][remaining[rows[:-1]] > 0]
    for cells, shown in enumerate(keys):
        for register, value in enumerate(keys):
            after = value[steps + 1][shown[steps] != shown[steps + 1]]
            if register != cells and len(after) and len(after.unique()) == 1 < len(value[rows].unique()):
                return Register(group, cells, register, int(after[0]))
    return Register(group, 0, -1)


def shows_register(world: Any) -> bool:
    """Whether the images of a world show beside it what has been chosen, by a few episodes of random actions."""
    if world.codec.observation_spec.shape[-1] < 2:
        return False
    rng, frames, remaining = np.random.default_rng(0), [], []
    for seed in range(RESETS):
        observation, _ = world.reset(seed=seed)
        frames.append(world.codec.encode(observation))
        for left in reversed(range(STEPS - 1)):
            remaining.append(left + 1)
            action = permitted(world, int(rng.integers(world.codec.action_spec.size)), rng)
            observation, _, terminated, truncated, _ = world.step(world.codec.decode(action))
            frames.append(world.codec.encode(observation))
            if terminated or truncated:
                remaining[-1] = 1
                break
        remaining.append(0)
    channels = frames[0].shape[-1]
    return register_of(torch.from_numpy(np.stack(frames)), torch.tensor(remaining), channels).register >= 0


def colour_map(frames: Any, shape: tuple[int, ...], groups: Register) -> ColourMap:
    """The encoder of play. Raises UsageError where there are too many colours to be symbols."""
    counts: dict[int, int] = {}
    values: set[int] = set()
    looked = ColourMap(inputs=shape, vocabulary=1, colours=1, group=groups.group, cells=groups.cells)
    for part in frames.split(CHUNK):
        found, times = packed(looked.part(part, groups.cells)).unique(return_counts=True)
        for colour, count in zip(found.tolist(), times.tolist(), strict=True):
            counts[colour] = counts.get(colour, 0) + count
        if len(counts) > MOST_COLOURS:
            raise UsageError(
                f"images have more than {MOST_COLOURS} colours, too many to be symbols: choose abstraction 'strides'"
            )
        if groups.register >= 0:
            values |= set(frame_keys(looked.part(part, groups.register)).unique().tolist())
    colours = torch.tensor(sorted(counts))
    kinds, palette = symbols_of(colours, torch.tensor([counts[c] for c in colours.tolist()]), groups.group)
    if len(palette) > MOST_SYMBOLS:
        raise UsageError(f"images have {len(palette)} classes of colours, and {MOST_SYMBOLS} at most can be symbols")
    registers = torch.tensor(sorted(values) or [0])
    eye = ColourMap(
        inputs=shape,
        vocabulary=len(palette),
        colours=len(colours),
        registers=len(registers),
        group=groups.group,
        cells=groups.cells,
        register=groups.register,
    )
    eye.colours.copy_(colours)
    eye.kinds.copy_(kinds)
    eye.palette.copy_(palette)
    eye.registers.copy_(registers)
    # Rest is value 0, and so is what play never showed.
    eye.values.copy_(torch.where(registers == groups.rest, 0, (registers != groups.rest).cumsum(0)))
    return eye


def symbols_of(colours: Tensor, counts: Tensor, group: int) -> tuple[Tensor, Tensor]:
    """Colours (K,), as `packed`, and how often each was seen -> the symbol of each (K,), the commonest first, and a
    palette (V, group) uint8: the commonest colour of each."""
    places = np.stack([colours.numpy() // 256**k % 256 for k in reversed(range(group))], 1)
    near = KDTree(places).sparse_distance_matrix(KDTree(places), GAP, output_type="coo_matrix")
    number, classes = connected_components(near, directed=False)
    often = np.bincount(classes, weights=counts.numpy(), minlength=number)
    order = np.argsort(-often, kind="stable")
    best = [np.flatnonzero(classes == k)[counts.numpy()[classes == k].argmax()] for k in order]
    return torch.from_numpy(np.argsort(order)[classes]), torch.from_numpy(places[best].astype(np.uint8))


def alphabet_of(maps: Tensor, values: Tensor, play: Play) -> Alphabet:
    """Which words there are: maps (N, H, W), and the register's value (N,) of each row of play. Raises UsageError where
    there are too many, or none."""
    registers, actions = int(values.max()) + 1, play.action_spec.size
    rows = play.starts(1)
    pair = values[rows] * actions + play.actions[rows]
    changed = torch.cat([(maps[part] != maps[part + 1]).flatten(1).any(1) for part in rows.split(CHUNK)])
    counts = torch.zeros(registers * actions, registers, dtype=torch.long)
    counts.index_put_((pair, values[rows + 1]), torch.ones(len(rows), dtype=torch.long), accumulate=True)
    acts = torch.zeros(registers * actions, dtype=torch.bool)
    acts[pair[changed]] = True
    following = torch.where(counts.sum(1) > 0, counts.argmax(1), -1).view(registers, actions)
    acts = acts.view(registers, actions)
    found = list(_spell(following, acts, 0, ()))
    if not found:
        raise UsageError("no action of play changed what images show: there is nothing to learn")
    if len(found) > MOST_WORDS:
        raise UsageError(f"actions make {len(found)} words, more than {MOST_WORDS}: choose abstraction 'strides'")
    ends, position = torch.full_like(following, -1), torch.zeros(registers, dtype=torch.long)
    spelled = torch.full((len(found), max(map(len, found))), -1)
    for k, word in enumerate(found):
        value = 0
        for letter, action in enumerate(word):
            position[value] = letter
            if letter == len(word) - 1:
                ends[value, action] = k
            value = int(following[value, action])
        spelled[k, : len(word)] = torch.tensor(word)
    return Alphabet(following, ends, spelled, position, rest=0)


def _spell(following: Tensor, acts: Tensor, value: int, word: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Every word that goes on from there."""
    for action, after in enumerate(following[value].tolist()):
        if after < 0 or len(word) == LONGEST:
            continue
        if bool(acts[value, action]):
            yield (*word, action)
        elif after != value:
            yield from _spell(following, acts, after, (*word, action))
