"""`hplan surprise` where a world has films in matched quadruplets: which of them could not happen?

A film's score is its largest error (IntPhys; Riochet et al., 2018, arXiv 1803.07616). Two films that begin alike are
compared (as by Garrido et al., 2025, arXiv 2502.11831), and a quadruplet by the sums of its scores, as IntPhys does. How
often a possible film is taken for an impossible one is measured by split-conformal thresholds of the scores of others.
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
from hplan.types import Episode, LawReport, LevelReport, LevelSurprise, SurpriseReport, UsageError

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
        if films is None:
            return disturbances.measure(agent, task, episodes=episodes, seed=seed, progress=progress)
        here, known = world.codec.observation_spec, agent.stack.observation_spec
        if here != known:
            raise UsageError(
                f"{task.name} shows {here.kind} {here.shape}; {agent.name} sees {known.kind} {known.shape}"
            )
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
    usual = [_scores(agent, films.possible(2 * count, rng)) for _ in kinds]  # not all at once in memory
    fresh, moments = np.concatenate([score for score, _ in usual], 1), usual[0][1][:count]
    known: list[np.ndarray] = []
    alarms: list[list[np.ndarray]] = [[] for _ in range(depth)]
    for number, (law, hidden) in enumerate(kinds):
        possible, impossible, _ = films.quadruplets(law, hidden, count, rng)
        (own, errors), (wrong, _) = (_scores(agent, made.reshape(-1, *made.shape[2:])) for made in (possible, impossible))
        known.append(own)
        for k in range(depth):
            told = compare(own[k].reshape(2, -1), wrong[k].reshape(2, -1))
            laws[k].append(LawReport(law, hidden, count, *told))
            alarms[k] += [each[k].errors > each[k].threshold for each in errors]
        if progress:
            progress("films", number + 1, len(kinds), {})
    levels = []
    for k, level in enumerate(agent.stack.levels):
        scores = np.concatenate([own[k] for own in known])
        rates = tuple((rate, float((scores > conformal_threshold(fresh[k], rate)).mean())) for rate in NOMINAL)
        threshold = float(agent.stack.calibration[k].thresholds()[0])
        levels.append(
            LevelReport(k, level.stride, threshold, float(np.concatenate(alarms[k]).mean()), (), tuple(laws[k]), rates)
        )
    shown = tuple(
        tuple(tuple(zip(one.moments.tolist(), one.errors.round(4).tolist(), strict=True)) for one in each)
        for each in moments
    )
    return SurpriseReport(agent.name, task.name, seed, count, tuple(levels), shown)


def compare(possible: np.ndarray, impossible: np.ndarray) -> tuple[float, float, float]:
    """(2, B) scores twice, of films that begin alike at one place -> relative accuracy of pairs, of quadruplets, and
    AUROC (`hplan.types.LawReport`)."""
    area = mannwhitneyu(impossible.ravel(), possible.ravel()).statistic / possible.size**2
    return _larger(impossible - possible), _larger((impossible - possible).sum(0)), float(area)


def _larger(difference: np.ndarray) -> float:
    """Share above 0; what is as good as 0 counts half."""
    sign = np.sign(difference) * (np.abs(difference) > CLOSE)
    return float(np.mean(sign + 1) / 2)


def episode_of(film: np.ndarray) -> Episode:
    """What a film shows (T, H, W, C), as an episode in which nothing could be done."""
    nothing = np.zeros(len(film) - 1, bool)
    return Episode(film, nothing.astype(np.int64), nothing.astype(np.float32), nothing, nothing, False, 0)


def _scores(agent: Agent, films: np.ndarray) -> tuple[np.ndarray, list[tuple[LevelSurprise, ...]]]:
    """Films (B, T, H, W, C) -> the largest error of every level in each (levels, B), and what was found."""
    found: list[tuple[LevelSurprise, ...]] = []
    for begin in range(0, len(films), AT_ONCE):
        found += surprises(agent, [episode_of(film) for film in films[begin : begin + AT_ONCE]])
    return largest(found), found


def largest(found: Sequence[tuple[LevelSurprise, ...]]) -> np.ndarray:
    """(levels, episodes): the largest error of each level in each."""
    rows: list[Any] = [[one.errors.max(initial=0.0) for one in each] for each in found]
    return np.array(rows).T
