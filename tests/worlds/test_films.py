"""Films: what moves keeps the laws, quadruplets are matched, and an impossible film breaks one law at one moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hplan.registry import load_task, make_world
from hplan.testing import check_task
from hplan.types import UsageError
from hplan.worlds.films import (
    BEGUN,
    COLOURS,
    FAST,
    FLOOR,
    FRAMES,
    KEPT,
    LAWS,
    PIXELS,
    PULL,
    RADIUS,
    SCREEN,
    SLOW,
    TABLE,
    WALL_TALL,
    WALL_WIDE,
    Films,
    Quadruplets,
    Scenes,
    drawn,
    observed,
    possible,
    quadruplets,
)

COUNT = 24
KINDS = [(law, hidden) for law in LAWS for hidden in (False, True)]
EVERY = np.arange(COUNT)


def made(law: str, hidden: bool, seed: int = 0) -> Quadruplets:
    return quadruplets(law, hidden, COUNT, np.random.default_rng(seed))


def supported(films: Scenes) -> np.ndarray:
    """(B, T) bool: whether the floor or the table is right below the middle of the object."""
    in_gap = (films.x >= films.gap_from[:, None]) & (films.x < films.gap_to[:, None])
    on_table = films.table[:, None] & ~in_gap & (films.y == TABLE - RADIUS)
    return on_table | (films.y == FLOOR - RADIUS)


@pytest.mark.parametrize(("law", "hidden"), KINDS)
def test_films_that_begin_or_end_alike_show_the_same_pixels(law: str, hidden: bool) -> None:
    sets = made(law, hidden)
    right, wrong = ([drawn(films) for films in pair] for pair in (sets.possible, sets.impossible))
    later = np.arange(FRAMES) >= sets.moment[:, None]
    assert (sets.moment >= BEGUN + 1).all() and (sets.moment < FRAMES).all()
    for i in (0, 1):
        begins, ends = right[i], right[1 - i]
        assert (wrong[i][~later] == begins[~later]).all()
        differs = (wrong[i] != ends).any(-1)
        if hidden or law in ("permanence", "immutability", "continuity"):
            assert not differs[later].any()
        else:  # the wall and the table stay in view: nothing else differs
            shown = replace(sets.possible[0], there=np.zeros((COUNT, FRAMES), bool))
            bare = [
                drawn(replace(shown, **{k: getattr(films, k) for k in ("wall", "gap_from", "gap_to")}))
                for films in sets.possible
            ]
            held = (bare[0] != bare[1]).any(-1)
            assert (held | ~differs)[later].all() and differs[later].any()
    same = [(wrong[i] == right[i]).all((2, 3, 4)) for i in (0, 1)]
    for i in (0, 1):
        assert (~same[i]).any(1).all(), "every impossible film shows something else than the possible one"
        first = (~same[i]).argmax(1)
        assert (first > sets.moment).all() if hidden else (first - sets.moment <= 1).all()


@pytest.mark.parametrize("law", LAWS)
def test_what_is_hidden_is_behind_the_screen_when_it_happens(law: str) -> None:
    sets = made(law, hidden=True)
    assert all(films.covered[EVERY, sets.moment].all() for films in (*sets.possible, *sets.impossible))
    frames = [drawn(films)[EVERY, sets.moment] for films in (*sets.possible, *sets.impossible)]
    assert all((frames[0] == other).all() for other in frames), "no pixel tells the four apart"


@pytest.mark.parametrize(("law", "hidden"), KINDS)
def test_possible_films_keep_every_law(law: str, hidden: bool) -> None:
    for films in made(law, hidden).possible:
        assert (films.there == films.there[:, :1]).all()
        assert (films.shape == films.shape[:, :1]).all() and (films.colour == films.colour[:, :1]).all()
        steps = np.abs(np.diff(films.x))
        assert (steps <= FAST + 1e-9).all(), "through all places between"
        straight = np.isnan(films.wall)
        assert (steps[straight] >= SLOW - 1e-9).all()
        assert not (np.abs(films.x - films.wall[:, None]) < RADIUS + WALL_WIDE / 2 - 1e-9).any(), "not into the wall"
        assert (films.y <= FLOOR - RADIUS).all()
        held = supported(films)
        assert (np.diff(films.y)[held[:, :-1] & held[:, 1:]] == 0).all(), "what is held up stays up"
        falling = ~held[:, :-2] & ~held[:, 1:-1] & ~held[:, 2:]
        assert np.allclose(np.diff(films.y, 2)[falling], PULL), "what is not falls ever faster"
        assert (np.diff(films.y) >= 0).all()


@pytest.mark.parametrize("hidden", [False, True])
def test_impossible_films_break_their_law_at_the_moment(hidden: bool) -> None:
    def step(films: Scenes, name: str, at: np.ndarray) -> np.ndarray:
        return getattr(films, name)[EVERY, at].astype(float) - getattr(films, name)[EVERY, at - 1]

    for law in LAWS:
        sets = made(law, hidden)
        for films, other in zip(sets.impossible, (1, -1), strict=True):
            if law == "permanence":
                assert (step(films, "there", sets.moment) == -other).all()
            if law == "immutability":
                changed = np.stack([step(films, name, sets.moment) for name in ("shape", "colour")]) != 0
                assert (changed.sum(0) == 1).all() and changed.any(1).all(), "one of the two; each in some film"
            if law == "continuity":
                leaps = step(films, "x", sets.moment)
                speed = films.x[:, 1] - films.x[:, 0]
                assert (np.abs(leaps - speed) >= 3.4).all() and (np.sign(leaps - speed) == other).all()
        solid, free = sets.impossible
        if law == "solidity":
            through = np.sign(solid.x - solid.wall[:, None])
            assert (through[:, 0] == -1).all() and (through.max(1) == 1).all() and np.isnan(free.wall).all()
            assert (np.diff(free.x) < 0).any(1).all(), "it turns back where nothing is"
        if law == "gravity":
            assert np.isnan(solid.gap_from).all() and (solid.y[:, -1] == FLOOR - RADIUS).all(), "through the table"
            over = (free.x >= free.gap_from[:, None]) & (free.x < free.gap_to[:, None])
            assert over.any(1).all() and (free.y == TABLE - RADIUS).all(), "over the gap"


def test_pictures_show_what_is_there_and_what_hides_it() -> None:
    one = replace(possible(1, np.random.default_rng(0)), mirrored=np.zeros(1, bool), table=np.zeros(1, bool))
    whole = np.ones((1, FRAMES))
    plain = {"there": whole > 0, "x": 16 * whole, "y": (FLOOR - RADIUS) * whole, "wall": np.full(1, np.nan)}
    plain |= {"screen_from": np.full(1, np.nan), "screen_to": np.full(1, np.nan), "shape": 3 * (whole > 0)}
    shown = replace(one, **plain, colour=2 * (whole > 0).astype(int))
    image = drawn(shown)[0, 0]
    blue = (image == COLOURS[2]).all(-1)
    rows, columns = np.nonzero(blue)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (25, 27, 13, 18)  # a slab on the floor
    assert image.shape == (PIXELS, PIXELS, 3) and (image[int(FLOOR) :] == image[-1, 0]).all()
    behind = drawn(replace(shown, screen_from=np.full(1, 12.0), screen_to=np.full(1, 20.0)))[0, 0]
    assert (behind[8:28, 12:20] == SCREEN).all() and not (behind == COLOURS[2]).all(-1).any()
    wall = drawn(replace(shown, wall=np.full(1, 26.0)))[0, 0]
    assert (wall != image).any(-1).sum() == WALL_TALL * WALL_WIDE
    turned = drawn(replace(shown, wall=np.full(1, 26.0), mirrored=np.ones(1, bool)))[0, 0]
    assert (turned == wall[:, ::-1]).all()


def test_an_observation_is_the_last_frames_the_newest_first() -> None:
    frames = np.arange(2 * FRAMES, dtype=np.uint8).reshape(2, FRAMES, 1, 1, 1).repeat(3, -1)
    shown = observed(frames)
    assert shown.shape == (2, FRAMES - BEGUN, 1, 1, 3 * KEPT)
    assert shown[0, 0, 0, 0, ::3].tolist() == [2, 1, 0, 0, 0, 0, 0, 0]
    assert shown[1, 10, 0, 0, ::3].tolist() == [FRAMES + 12 - k for k in range(KEPT)]


def test_play_shows_all_kinds_of_possible_films() -> None:
    films = possible(400, np.random.default_rng(0))
    assert 0.4 < np.isnan(films.screen_from).mean() < 0.6 and 0.05 < (~films.there).all(1).mean() < 0.15
    assert (~np.isnan(films.wall)).any() and (~np.isnan(films.gap_from)).any() and 0.4 < films.mirrored.mean() < 0.6
    assert set(films.shape[:, 0]) == set(range(4)) and set(films.colour[:, 0]) == set(range(len(COLOURS)))


def test_a_film_is_an_episode_and_the_task_is_as_tasks_are() -> None:
    check_task("visual/films")
    env = make_world(load_task("visual/films"), "eval")
    first, _ = env.reset(seed=4)
    again, _ = env.reset(seed=4)
    assert (first == again).all() and first.shape == (PIXELS, PIXELS, 3 * KEPT)
    observation, over, steps = first, False, 0
    while not over:
        observation, reward, ended, cut, info = env.step(0)
        assert reward == 0 and not ended and not info["success"]
        over, steps = cut, steps + 1
    assert steps == FRAMES - BEGUN - 1 and (observation[..., :3] != first[..., :3]).any()
    env.close()


def test_how_many_frames_are_shown_at_once_is_bounded() -> None:
    assert Films(kept=1).reset(seed=0)[0].shape == (PIXELS, PIXELS, 3)
    with pytest.raises(UsageError, match="kept is 9; expected 1 to 8 frames"):
        Films(kept=9)


@pytest.mark.parametrize(
    ("law", "count", "says"), [("magic", 1, "law is 'magic'; expected perm"), ("gravity", 0, "1 or")]
)
def test_no_such_law_and_no_film_are_refused(law: str, count: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        quadruplets(law, True, count, np.random.default_rng(0))
