"""Short films of one object that moves by five laws, and matched quadruplets of them that keep or break one.

permanence    a thing goes on being there
immutability  it keeps its shape and its colour
continuity    it gets from one place to another through those between
solidity      a wall turns it back
gravity       where nothing holds it up, it falls

A quadruplet is two possible films and the two made of their halves, as in IntPhys (Riochet et al., 2018, arXiv
1803.07616): what the object does before a moment is of one, what it does from then on of the other. Films that begin
alike show the same pixels until then; films that end alike do from then on, but for the wall or the table of visible
solidity and gravity, which stay as they were. With `hidden` the moment is behind a screen, no pixel tells it from what
is possible, and nothing but what was seen before says what may come out.

Lengths are pixels, times frames; y points down. The object goes to the right, and every other film is mirrored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from hplan.types import UsageError

PIXELS, FRAMES = 32, 16
KEPT = 8  # frames that an observation shows, the newest first
BEGUN = 2  # frames before the first observation: from one alone nobody knows where things go
FLOOR, TABLE, THICK = 28.0, 15.0, 2.0  # where the floor and the table begin, and how thick the table is
RADIUS = 3.0  # of an object
WALL_TALL, WALL_WIDE = 9.0, 2.0
SCREENED = 25  # where a screen ends at the latest: what comes out of it is seen
SCREEN_TOP, SCREEN_STRIP, RISES = 3.0, 2.0, 12.0  # of a screen; what shows of one that is down, and how fast it rises
PULL = 2.0  # of gravity, pixels per frame and frame
SLOW, FAST = 2.0, 2.8  # an object goes so fast
SHAPES = ("disc", "triangle", "post", "slab")
COLOURS = ((220, 40, 40), (40, 170, 60), (50, 80, 220), (235, 190, 30), (160, 60, 190), (30, 190, 200))
SKY, GROUND, WOOD, BRICK, SCREEN = (238, 238, 232), (120, 110, 100), (150, 110, 60), (90, 60, 50), (70, 75, 85)
FINE = 3  # points across a pixel
LAWS = ("permanence", "immutability", "continuity", "solidity", "gravity")


@dataclass(frozen=True, eq=False)
class Scenes:
    """What is in B films of T frames. there (B, T) bool; shape, colour (B, T) int; x, y (B, T): of the object's middle.
    The same in all frames (B,): wall, the x of its middle; table, whether there is one; gap_from, gap_to: of the table;
    screen_from, screen_to, with screen_top (B, T); mirrored. What there is none of is NaN."""

    there: np.ndarray
    shape: np.ndarray
    colour: np.ndarray
    x: np.ndarray
    y: np.ndarray
    wall: np.ndarray
    table: np.ndarray
    gap_from: np.ndarray
    gap_to: np.ndarray
    screen_from: np.ndarray
    screen_to: np.ndarray
    screen_top: np.ndarray
    mirrored: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    @property
    def covered(self) -> np.ndarray:
        """(B, T) bool: whether the screen covers all of the object, or there is none to be seen."""
        from_, to = self.screen_from[:, None], self.screen_to[:, None]
        behind = (self.x - RADIUS >= from_) & (self.x + RADIUS <= to) & (self.y - RADIUS >= self.screen_top)
        return behind | ~self.there

    def then(self, other: Scenes, moment: np.ndarray) -> Scenes:
        """The object of these until a moment (B,), and of others from it on."""
        later = np.arange(self.x.shape[1]) >= moment[:, None]
        moved = ("there", "shape", "colour", "x", "y")
        return replace(self, **{name: np.where(later, getattr(other, name), getattr(self, name)) for name in moved})


@dataclass(frozen=True, eq=False)
class Quadruplets:
    """possible and impossible: two of each, of B films. impossible[i] begins as possible[i] and ends as possible[1 - i]
    from `moment` (B,) on, the number of its first impossible frame."""

    possible: tuple[Scenes, Scenes]
    impossible: tuple[Scenes, Scenes]
    moment: np.ndarray


def quadruplets(law: str, hidden: bool, count: int, rng: np.random.Generator) -> Quadruplets:
    """`count` of one law, which is broken behind a screen or in the open. Raises UsageError for no law of these."""
    if law not in LAWS:
        raise UsageError(f"law is {law!r}; expected {', '.join(LAWS)}")
    if count < 1:
        raise UsageError(f"count is {count}; expected 1 or more quadruplets")
    drawn_pairs: list[Pair] = []
    while sum(len(moment) for *_, moment in drawn_pairs) < count:
        first, second, moment = _PAIRS[law](hidden, count, rng)
        fits = moment > 0
        if hidden:
            every = np.arange(count)
            fits &= first.covered[every, moment] & second.covered[every, moment]
        drawn_pairs.append((_of(first, fits), _of(second, fits), moment[fits]))
    firsts, seconds, moments = zip(*drawn_pairs, strict=True)
    first, second = (_of(joined(list(each)), slice(count)) for each in (firsts, seconds))
    moment = np.concatenate(moments)[:count]
    return Quadruplets((first, second), (first.then(second, moment), second.then(first, moment)), moment)


def possible(count: int, rng: np.random.Generator) -> Scenes:
    """Films in which every law holds, of all that quadruplets are made of, each as likely."""
    kind = rng.integers(len(LAWS) * 4, size=count)
    parts = [
        quadruplets(LAWS[k // 4], bool(k // 2 % 2), of_it, rng).possible[k % 2]
        for k, of_it in zip(*(each.tolist() for each in np.unique(kind, return_counts=True)), strict=True)
    ]
    return _of(joined(parts), kind.argsort(kind="stable").argsort())


def joined(parts: list[Scenes]) -> Scenes:
    """Several one after the other."""
    names = [field.name for field in fields(Scenes)]
    return Scenes(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def _of(scenes: Scenes, rows: Any) -> Scenes:
    return Scenes(**{field.name: getattr(scenes, field.name)[rows] for field in fields(Scenes)})


# -------------------------------------------------------------------------------------------------- pairs of films


Pair = tuple[Scenes, Scenes, np.ndarray]  # two possible films, and when one may become the other; 0: never


def _rolling(
    hidden: bool, count: int, rng: np.random.Generator, *, wide: tuple[int, int] = (12, 14), least: int = 8
) -> Scenes:
    """An object that rolls along the floor or a table, and with `hidden` behind a screen and out again. Screens end
    between pixels, so that none shows a little of what is behind."""
    none, whole = np.full(count, np.nan), np.ones((count, FRAMES))
    speed, width = rng.uniform(SLOW, FAST, count), rng.integers(*wide, size=count, endpoint=True).astype(float)
    left = rng.integers(least, SCREENED - width, endpoint=True).astype(float)
    start = rng.uniform(RADIUS, left - RADIUS if hidden else 8.0, count)
    table = rng.random(count) < 0.5
    above = table & (rng.random(count) < 0.5)
    return Scenes(
        there=whole > 0,
        shape=rng.integers(len(SHAPES), size=(count, 1)) * whole.astype(int),
        colour=rng.integers(len(COLOURS), size=(count, 1)) * whole.astype(int),
        x=start[:, None] + speed[:, None] * np.arange(FRAMES),
        y=np.where(above, TABLE - RADIUS, FLOOR - RADIUS)[:, None] * whole,
        wall=none,
        table=table,
        gap_from=none,
        gap_to=none,
        screen_from=left if hidden else none,
        screen_to=left + width if hidden else none,
        screen_top=SCREEN_TOP * whole,
        mirrored=rng.random(count) < 0.5,
    )


def _moment(first: Scenes, second: Scenes, hidden: bool, rng: np.random.Generator) -> np.ndarray:
    """(B,): a frame at which both are behind the screen, as in the one before; or both in the open and in view. 0 where
    there is none."""
    if hidden:
        fits = first.covered & second.covered
    else:
        fits = np.abs(np.stack([first.x, second.x]) - PIXELS / 2).max(0) <= PIXELS / 2 - RADIUS
    fits = fits & np.roll(fits, 1, axis=1)
    fits[:, : BEGUN + 2] = False
    if not hidden:  # late enough for the end to be seen
        fits[:, -3:] = False
    return (fits * (1 + rng.random(fits.shape))).argmax(1)


def _permanence(hidden: bool, count: int, rng: np.random.Generator) -> Pair:
    first = _rolling(hidden, count, rng)
    second = replace(first, there=np.zeros_like(first.there))
    return first, second, _moment(first, first, hidden, rng)


def _immutability(hidden: bool, count: int, rng: np.random.Generator) -> Pair:
    first = _rolling(hidden, count, rng)
    recoloured = rng.random((count, 1)) < 0.5
    shape = (first.shape + rng.integers(1, len(SHAPES), size=(count, 1))) % len(SHAPES)
    colour = (first.colour + rng.integers(1, len(COLOURS), size=(count, 1))) % len(COLOURS)
    second = replace(
        first, shape=np.where(recoloured, first.shape, shape), colour=np.where(recoloured, colour, first.colour)
    )
    return first, second, _moment(first, second, hidden, rng)


def _continuity(hidden: bool, count: int, rng: np.random.Generator) -> Pair:
    """Two places at once on the same way: the object leaps ahead or back."""
    first = _rolling(hidden, count, rng, wide=(14, 15), least=10)
    leap = rng.uniform(3.5, 4.5, (count, 1)) if hidden else rng.uniform(4.0, 8.0, (count, 1))
    start = first.x[:, :1]
    if hidden:  # both begin in view, before the screen
        start = rng.uniform(RADIUS - 0.5, first.screen_from[:, None] - RADIUS + 0.5 - leap)
    first = replace(first, x=first.x - first.x[:, :1] + start)
    second = replace(first, x=first.x + leap)
    return first, second, _moment(first, second, hidden, rng)


def _rising(count: int) -> np.ndarray:
    """(B, T): the top of a screen that comes up at the beginning, once all has been seen that it is going to hide."""
    up = np.clip(np.arange(FRAMES) - BEGUN, 0, None) * RISES
    return np.maximum(FLOOR - SCREEN_STRIP - up, SCREEN_TOP) * np.ones((count, 1))


def _solidity(hidden: bool, count: int, rng: np.random.Generator) -> Pair:
    """A wall, which is there or is not; an object that comes back or goes on."""
    second = _rolling(hidden, count, rng, wide=(14, 15))
    second = replace(second, y=np.full_like(second.y, FLOOR - RADIUS))
    if hidden:  # not there before the screen is up
        start = rng.uniform(RADIUS - 1.0, RADIUS + 2.0, (count, 1))
        second = replace(second, x=second.x - second.x[:, :1] + start, screen_top=_rising(count))
        wall = second.screen_from + 9.0
    else:
        wall = rng.uniform(18.0, 24.0, count)
    stops = (wall - WALL_WIDE / 2 - RADIUS)[:, None]
    back = np.where(second.x > stops, 2 * stops - second.x, second.x)
    first = replace(second, wall=wall, x=back)
    return first, second, _parting(first, second)


def _gravity(hidden: bool, count: int, rng: np.random.Generator) -> Pair:
    """A table, with a gap in it or without; an object that goes on or falls."""
    first = _rolling(hidden, count, rng, wide=(16, 16))
    speed = rng.uniform(SLOW, 2.4, (count, 1))
    start = rng.uniform(RADIUS - 1.0, RADIUS + 1.0, (count, 1))
    x = start + speed * np.arange(FRAMES)
    first = replace(first, x=x, y=np.full_like(first.y, TABLE - RADIUS), table=np.ones(count, bool))
    if hidden:
        first = replace(first, screen_top=_rising(count))
        edge = first.screen_from + 4.0
    else:
        edge = rng.uniform(10.0, 16.0, count)
    since = np.clip((x - edge[:, None]) / speed, 0, None)
    falls = np.minimum(first.y + PULL / 2 * since**2, FLOOR - RADIUS)
    second = replace(first, y=falls, gap_from=edge, gap_to=edge + 10.5)
    return first, second, _parting(first, second)


def _parting(first: Scenes, second: Scenes) -> np.ndarray:
    """(B,): the first frame in which the object is not where it is in the other film."""
    return ((first.x != second.x) | (first.y != second.y)).argmax(1)


_PAIRS: dict[str, Callable[[bool, int, np.random.Generator], Pair]] = {
    "permanence": _permanence,
    "immutability": _immutability,
    "continuity": _continuity,
    "solidity": _solidity,
    "gravity": _gravity,
}


# -------------------------------------------------------------------------------------------------- pictures of them


def drawn(scenes: Scenes) -> np.ndarray:
    """(B, T, 32, 32, 3) uint8: each pixel the mean of 3 x 3 points."""
    image = np.empty((*scenes.x.shape, PIXELS, PIXELS, 3), np.float32)
    image[:] = SKY

    def paint(share: np.ndarray, colour: Any) -> None:
        image[:] += share[..., None] * (np.asarray(colour, np.float32) - image)

    def across(low: Any, high: Any) -> np.ndarray:
        return _share(low, high)[:, :, None, :]

    def along(low: Any, high: Any) -> np.ndarray:
        return _share(low, high)[:, :, :, None]

    board = scenes.table[:, None, None, None] * (1 - across(scenes.gap_from, scenes.gap_to))
    paint(board * along(TABLE, TABLE + THICK), WOOD)
    wall = across(scenes.wall - WALL_WIDE / 2, scenes.wall + WALL_WIDE / 2)
    paint(wall * along(FLOOR - WALL_TALL, PIXELS), BRICK)
    paint(_object(scenes), np.asarray(COLOURS)[scenes.colour][:, :, None, None])
    paint(along(FLOOR, PIXELS), GROUND)
    paint(across(scenes.screen_from, scenes.screen_to) * along(scenes.screen_top, FLOOR), SCREEN)
    image[scenes.mirrored] = image[scenes.mirrored][:, :, :, ::-1]
    return np.round(image).astype(np.uint8)


def _share(low: Any, high: Any) -> np.ndarray:
    """(B or 1, T or 1, 32) float32: how much of each pixel lies between two places, of all, of each film, or of each
    frame; nothing where they are NaN."""
    points = (np.arange(FINE * PIXELS) + 0.5) / FINE
    low, high = (np.asarray(each, float) for each in (low, high))
    low, high = (each.reshape(*each.shape, *(1,) * (3 - each.ndim)) for each in (low, high))
    inside = (points >= low) & (points < high)
    return inside.reshape(*inside.shape[:2], PIXELS, FINE).mean(3, dtype=np.float32)


def _object(scenes: Scenes) -> np.ndarray:
    """(B, T, 32, 32) float32: how much of each pixel is the object's. Only what is near it is looked at."""
    near = 2 * int(RADIUS) + 2  # pixels across
    corner = [np.clip(np.floor(each - near / 2), -near, PIXELS).astype(int) for each in (scenes.x, scenes.y)]
    points = (np.arange(FINE * near) + 0.5) / FINE
    right, down = (
        (at[..., None] + points - each[..., None]) / RADIUS
        for at, each in zip(corner, (scenes.x, scenes.y), strict=True)
    )
    right, down = right[:, :, None, :], down[:, :, :, None]
    forms = (
        right**2 + down**2 <= 1,
        (np.abs(right) <= (1 + down) / 2) & (down <= 1),
        (np.abs(right) <= 0.4) & (np.abs(down) <= 1),
        (np.abs(right) <= 1) & (down >= 0) & (down < 1),
    )
    shape = scenes.shape[..., None, None]
    inside = np.select([shape == k for k in range(len(forms))], forms) & scenes.there[..., None, None]
    share = inside.reshape(*inside.shape[:2], near, FINE, near, FINE).mean((3, 5), dtype=np.float32)
    padded = np.zeros((*share.shape[:2], PIXELS + 2 * near, PIXELS + 2 * near), np.float32)
    film, frame = np.ogrid[: share.shape[0], : share.shape[1]]
    columns, rows = (at[..., None] + near + np.arange(near) for at in corner)
    padded[film[..., None, None], frame[..., None, None], rows[..., None], columns[:, :, None, :]] = share
    return padded[:, :, near:-near, near:-near]


def observed(frames: np.ndarray, kept: int = KEPT) -> np.ndarray:
    """Frames (B, T, H, W, 3) -> (B, T - 2, H, W, 3 * kept): of each moment the last ones, the newest first; before the
    beginning there was what there is then."""
    moments = np.arange(BEGUN, frames.shape[1])
    at = np.clip(moments[:, None] - np.arange(kept), 0, None)
    return np.moveaxis(frames[:, at], 2, 4).reshape(len(frames), len(moments), *frames.shape[2:4], -1)


class Films(gymnasium.Env):
    """Shows possible films, (32, 32, 3 * kept) uint8 of each moment: its last frames in colour, the newest first. There
    is one action, which does nothing, and nothing to be gained; an episode ends with its film."""

    laws = LAWS

    def __init__(self, *, kept: int = KEPT) -> None:
        """`kept`: frames that are shown at once; of one alone nothing is remembered."""
        if not 1 <= kept <= KEPT:
            raise UsageError(f"kept is {kept}; expected 1 to {KEPT} frames")
        self.kept = kept
        self.observation_space = spaces.Box(0, 255, (PIXELS, PIXELS, 3 * kept), np.uint8)
        self.action_space = spaces.Discrete(1)
        self._film, self._moment = np.zeros((0, PIXELS, PIXELS, 3 * kept), np.uint8), 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._film, self._moment = self.possible(1, self.np_random)[0], 0
        return self._film[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._moment += 1
        return self._film[self._moment], 0.0, False, self._moment == len(self._film) - 1, {}

    def possible(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(B, T, H, W, C): what so many films show in which nothing is wrong, of all that play shows."""
        return observed(drawn(possible(count, rng)), self.kept)

    def quadruplets(
        self, law: str, hidden: bool, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What quadruplets show: (2, B, T, H, W, C) of possible films and of impossible ones that begin alike, and the
        first moment (B,) at which these are impossible."""
        made = quadruplets(law, hidden, count, rng)
        pairs = (made.possible, made.impossible)
        right, wrong = (np.stack([observed(drawn(films), self.kept) for films in pair]) for pair in pairs)
        return right, wrong, made.moment - BEGUN


gymnasium.register("hplan/Films-v0", entry_point="hplan.worlds.films:Films")
