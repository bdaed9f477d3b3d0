"""Films in matched quadruplets: scores of made-up predictors of which it is known what is right."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import MethodType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import hplan
from hplan.evaluation import quadruplets
from hplan.evaluation.disturbances import write_surprise
from hplan.evaluation.quadruplets import compare, episode_of, measure, strips
from hplan.levels.calibration import Calibration
from hplan.levels.stack import Stack
from hplan.registry import load_task
from hplan.report.surprise_table import surprise_table
from hplan.types import Capabilities, Episode, LevelSurprise, ObservationSpec, UsageError
from hplan.worlds.films import KEPT, LAWS, PIXELS, Films

Errors = Callable[[Episode], np.ndarray]


def agent(shape: tuple[int, ...] = (PIXELS, PIXELS, 3 * KEPT)) -> Any:
    """One level, of which undisturbed play exceeds 0.99 in one moment of a hundred."""
    errors = np.linspace(0, 1, 101)[None, 1:]
    stack = SimpleNamespace(
        task="made-up",
        levels=[SimpleNamespace(stride=1.0, capabilities=Capabilities(discrete=False, events=False))],
        calibration=[Calibration(errors)],
        observation_spec=ObservationSpec("image", shape),
    )
    stack.check_sees = MethodType(Stack.check_sees, stack)
    return SimpleNamespace(stack=stack, name="made-up")


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Callable[[Errors], None]:
    """Takes the place of the agent's predictions: the error of every moment of an episode, but for the first."""

    def install(errors: Errors) -> None:
        def surprises(_: Any, episodes: Sequence[Episode]) -> list[tuple[LevelSurprise, ...]]:
            moments = np.arange(1, len(episodes[0]) + 1)
            return [(LevelSurprise(0, moments, errors(one), 1.0),) for one in episodes]

        monkeypatch.setattr(quadruplets, "surprises", surprises)

    return install


def test_pairs_and_quadruplets_are_counted() -> None:
    """Pairs by the largest of two errors, quadruplets by the mean."""
    possible = np.array([[1.0, 2.0, 3.0, 0.0], [1.0, 2.0, 3.0, 0.0]])
    impossible = np.array([[2.0, 1.0, 3.0, 0.0], [2.0, 4.0, 2.0, 1e-7]])
    films = [np.stack([largest - 1, largest], -1) for largest in (possible, impossible)]
    pairs, sets, auroc = compare(*films)
    assert pairs == (1 + 0 + 0.5 + 0.5 + 1 + 1 + 0 + 0.5) / 8
    assert sets == (1 + 1 + 0 + 0.5) / 4
    flat = [(a > b) + 0.5 * (a == b) for a in impossible.ravel() for b in possible.ravel()]
    assert auroc == pytest.approx(np.mean(flat))


def test_a_predictor_without_memory_is_at_chance_behind_a_screen(predictor: Callable[[Errors], None]) -> None:
    """That nothing changes: its errors are those of single steps, and films of a quadruplet have the same steps."""

    def changed(film: Episode) -> np.ndarray:
        newest = film.observations[..., :3].astype(float)
        return np.abs(np.diff(newest, axis=0)).mean((1, 2, 3))

    predictor(changed)
    (level,) = measure(agent(), load_task("visual/films"), episodes=6, seed=50).levels
    assert [(one.law, one.hidden) for one in level.laws] == [(law, hidden) for law in LAWS for hidden in (False, True)]
    hidden = [one for one in level.laws if one.hidden]
    assert [one.sets_told for one in hidden] == [0.5] * 5
    assert all(0.5 <= one.relative <= 0.75 for one in hidden), "the largest errors of a pair may be the same one"


class Marked(Films):
    """Films of nothing but a mark where they are impossible; every other one has it behind a screen, where it is
    unseen."""

    laws = ("marks",)

    def possible(self, count: int, rng: np.random.Generator) -> np.ndarray:
        return np.zeros((count, 5, PIXELS, PIXELS, 3 * KEPT), np.uint8)

    def quadruplets(self, law: str, hidden: bool, count: int, rng: np.random.Generator) -> Any:
        right = np.stack([self.possible(count, rng)] * 2)
        wrong = right.copy()
        wrong[:, :, 3] = not hidden
        return right, wrong, np.full(count, 3)


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> Any:
    world = SimpleNamespace(unwrapped=Marked(), codec=SimpleNamespace(observation_spec=agent().stack.observation_spec))
    world.close = lambda: None
    monkeypatch.setattr(quadruplets, "make_world", lambda task, split: world)
    return load_task("visual/films")


def test_who_sees_the_mark_is_right_where_it_is_seen(
    predictor: Callable[[Errors], None], marked: Any, tmp_path: Any
) -> None:
    predictor(lambda film: film.observations[1:].max((1, 2, 3)) * 2.0)
    found = measure(agent(), marked, episodes=8)
    (level,) = found.levels
    seen, unseen = level.laws
    assert (seen.relative, seen.sets_told, seen.auroc, seen.quadruplets) == (1.0, 1.0, 1.0, 8)
    assert (unseen.relative, unseen.sets_told, unseen.auroc) == (0.5, 0.5, 0.5)
    assert level.false_alarms == 0 and dict(level.film_alarms) == {0.01: 0.0, 0.05: 0.0, 0.1: 0.0}
    table = surprise_table(found)
    assert table.row_count == 1 and len(list(table.columns)) == 10
    file = write_surprise(found, tmp_path / "films.json")
    assert json.loads(file.read_text())["levels"][0]["laws"][0]["relative"] == 1.0


def test_false_alarms_are_as_frequent_as_asked_for(predictor: Callable[[Errors], None], marked: Any) -> None:
    rng = np.random.default_rng(0)
    predictor(lambda film: rng.random(4))
    (level,) = measure(agent(), marked, episodes=400).levels
    for nominal, measured in level.film_alarms:
        assert abs(measured - nominal) < 4 * (2 * nominal * (1 - nominal) / 1600) ** 0.5
    assert level.false_alarms == 0, "no error is above the agent's own threshold"


def test_a_picture_shows_a_quadruplet_with_its_errors(predictor: Callable[[Errors], None], marked: Any) -> None:
    predictor(lambda film: film.observations[1:].max((1, 2, 3)) * 2.0)
    films = strips(agent(), marked, "marks", hidden=False)
    assert [film.name for film in films] == ["possible: marks, in the open"] * 2 + [
        "impossible: marks, in the open"
    ] * 2
    assert [film.errors for film in films] == [(0, 0, 0, 0)] * 2 + [(0, 0, 2, 0)] * 2
    assert [film.moment for film in films] == [None, None, 3, 3] and films[0].frames.shape == (5, PIXELS, PIXELS, 3)


def test_worlds_without_films_are_not_drawn() -> None:
    with pytest.raises(UsageError, match="DoorKey-8x8 has no films to draw; expected a task such as visual/films"):
        strips(agent(), load_task("minigrid/DoorKey-8x8"), "permanence")


def test_worlds_without_films_are_disturbed_as_before() -> None:
    name = "minigrid/DoorKey-8x8"
    found = measure(hplan.load(name), load_task(name), episodes=2, seed=50)
    assert all(level.disturbances and not level.laws for level in found.levels)


def test_an_agent_of_other_images_is_refused() -> None:
    with pytest.raises(UsageError, match=r"visual/films shows image \(32, 32, 24\); made-up sees image \(64, 64, 3\)"):
        measure(agent((64, 64, 3)), load_task("visual/films"))


def test_a_film_is_an_episode_in_which_nothing_could_be_done() -> None:
    film = np.zeros((5, 2, 2, 3), np.uint8)
    assert len(episode_of(film)) == 4 and episode_of(film).observations is film
