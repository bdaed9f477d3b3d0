"""`hplan surprise` where a world has films in matched quadruplets: which of them could not happen?

A film's score is its largest error, and two films that begin alike are compared (as by Garrido et al., 2025, arXiv
2502.11831). A quadruplet is judged by the sums over its two possible and its two impossible films, as in IntPhys
(Riochet et al., 2018, arXiv 1803.07616), and there by mean errors: sums of largest ones would tell two films of one
event each from one of two events and one of none. How often a possible film is taken for an impossible one is measured
by split-conformal thresholds of the scores of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from scipy.stats import mannwhitneyu

from hplan.agent import Agent
from hplan.config import TaskConfig
from hplan.evaluation import disturbances
from hplan.evaluation.disturbances import APART, Progress, surprises
from hplan.levels.calibration import conformal_threshold
from hplan.registry import make_world
from hplan.types import Episode, FilmStrip, LawReport, LevelReport, LevelSurprise, SurpriseReport, UsageError

NOMINAL = (0.01, 0.05, 0.1)  # rates of false alarms
AT_ONCE = 128  # films that are looked at together
CLOSE = 1e-5  # of two scores, of which one is the other: rounding depends on what is encoded at once


class MatchedFilms(Protocol):
    """A world that has films; shapes as `hplan.worlds.films.Films` has them."""

    laws: tuple[str, ...]

    def possible(self, count: int, rng: np.random.Generator) -> np.ndarray: ...

    def quadruplets(
        self, law: str, hidden: bool, count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]: ...


def measure(
    agent: Agent, task: TaskConfig, *, episodes: int = 20, seed: int = 0, progress: Progress | None = None
) -> SurpriseReport:
    """`hplan.evaluation.disturbances.measure`; or, in a world of films, so many quadruplets of each law, in the open
    and hidden, and as many possible films as they have to set thresholds by.

    Deterministic: same agent, task, episodes and seed, same figures. Raises UsageError where the task shows something
    else than the agent sees.
    """
    world = make_world(task, "eval")
    try:
        films: MatchedFilms | None = world.unwrapped if hasattr(world.unwrapped, "quadruplets") else None  # type: ignore[assignment]
        here = world.codec.observation_spec
        agent.stack.check_sees(here.kind, here.shape, task.name)  # before anything is played
        if films is None:
            return disturbances.measure(agent, task, episodes=episodes, seed=seed, progress=progress)
        return _measure(agent, task, films, episodes, np.random.default_rng(APART + seed), seed, progress)
    finally:
        world.close()


def _measure(
    agent: Agent,
    task: TaskConfig,
    films: MatchedFilms,
    count: int,
    rng: np.random.Generator,
    seed: int,
    progress: Progress | None,
) -> SurpriseReport:
    kinds = [(law, hidden) for law in films.laws for hidden in (False, True)]
    depth = len(agent.stack.levels)
    laws: list[list[LawReport]] = [[] for _ in range(depth)]
    fresh = [one for _ in kinds for one in _surprises(agent, films.possible(2 * count, rng))]  # not all in memory
    possible: list[tuple[LevelSurprise, ...]] = []
    for number, (law, hidden) in enumerate(kinds):
        right, wrong, _ = films.quadruplets(law, hidden, count, rng)
        found, strange = (_surprises(agent, made.reshape(-1, *made.shape[2:])) for made in (right, wrong))
        for k in range(depth):
            told = compare(*(_errors(each, k).reshape(2, count, -1) for each in (found, strange)))
            laws[k].append(LawReport(law, hidden, count, *told))
        possible += found
        if progress:
            progress("films", number + 1, len(kinds), {})
    levels = []
    for k, level in enumerate(agent.stack.levels):
        errors, others = _errors(possible, k), _errors(fresh, k)
        limits = [(rate, conformal_threshold(others.max(1), rate)) for rate in NOMINAL]
        rates = tuple((rate, float((errors.max(1) > limit).mean())) for rate, limit in limits)
        threshold = possible[0][k].threshold
        alarms = float((errors > threshold).mean())
        levels.append(LevelReport(k, level.stride, threshold, alarms, (), tuple(laws[k]), rates))
    moments = tuple(
        tuple(tuple(zip(one.moments.tolist(), one.errors.round(4).tolist(), strict=True)) for one in each)
        for each in fresh[:count]
    )
    return SurpriseReport(agent.name, task.name, seed, count, tuple(levels), moments)


def compare(possible: np.ndarray, impossible: np.ndarray) -> tuple[float, float, float]:
    """Errors (2, B, M) twice, of films that begin alike at one place -> relative accuracy of pairs, of quadruplets, and
    AUROC (`hplan.types.LawReport`)."""
    largest = impossible.max(2), possible.max(2)
    area = mannwhitneyu(*(scores.ravel() for scores in largest)).statistic / largest[0].size ** 2
    sums = (impossible.mean(2) - possible.mean(2)).sum(0)
    return _larger(largest[0] - largest[1]), _larger(sums), float(area)


def _larger(difference: np.ndarray) -> float:
    """Share above 0; what is as good as 0 counts half."""
    sign = np.sign(difference) * (np.abs(difference) > CLOSE)
    return float(np.mean(sign + 1) / 2)


def episode_of(film: np.ndarray) -> Episode:
    """What a film shows (T, H, W, C), as an episode in which nothing could be done."""
    nothing = np.zeros(len(film) - 1, bool)
    return Episode(film, nothing.astype(np.int64), nothing.astype(np.float32), nothing, nothing, False, 0)


def strips(agent: Agent, task: TaskConfig, law: str, *, hidden: bool = True, seed: int = 0) -> tuple[FilmStrip, ...]:
    """One quadruplet of a law as a picture shows it: two possible films, and the impossible ones that begin alike.

    Raises UsageError where the task has no films, or none of that law.
    """
    world = make_world(task, "eval")
    try:
        films: Any = world.unwrapped
        if not hasattr(films, "quadruplets"):
            raise UsageError(f"{task.name} has no films to draw; expected a task such as visual/films")
        right, wrong, moment = films.quadruplets(law, hidden, 1, np.random.default_rng(APART + seed))
    finally:
        world.close()
    found, where = [], f"{law}, {'behind a screen' if hidden else 'in the open'}"
    for name, kind in (("possible", right), ("impossible", wrong)):
        for film in kind[:, 0]:
            (one, *_) = surprises(agent, [episode_of(film)])[0]
            broken = int(moment[0]) if name == "impossible" else None
            shown = (tuple(one.moments.tolist()), tuple(one.errors.tolist()), one.threshold, broken)
            found.append(FilmStrip(f"{name}: {where}", film[..., :3], *shown))
    return tuple(found)


def _surprises(agent: Agent, films: np.ndarray) -> list[tuple[LevelSurprise, ...]]:
    """Of every level in each of films (B, T, H, W, C), a few at once."""
    parts = [films[begin : begin + AT_ONCE] for begin in range(0, len(films), AT_ONCE)]
    return [one for part in parts for one in surprises(agent, [episode_of(film) for film in part])]


def _errors(found: Sequence[tuple[LevelSurprise, ...]], level: int) -> np.ndarray:
    """(films, M)"""
    return np.stack([each[level].errors for each in found])
