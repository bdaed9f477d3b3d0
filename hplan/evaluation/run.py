"""`hplan.evaluate`: full episodes on the evaluation split, one after another or spread over processes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field

from hplan.config import Task, TaskConfig
from hplan.evaluation.baselines import Actor, RandomActor
from hplan.evaluation.episode import Record, run_episode
from hplan.evaluation.records import EpisodeLog
from hplan.evaluation.result import summarise
from hplan.registry import task_for
from hplan.threads import one_thread
from hplan.types import Result, UsageError
from hplan.validation import Count, Seed, checked

if TYPE_CHECKING:
    from hplan.agent import Agent
    from hplan.worlds.split import SplitEnv

Method = Literal["hierarchical", "flat", "random", "oracle"]
SEEDS = 1_000_000  # episodes of one seed; a multiple of any sensible number of goals: every seed starts at the first
LARGEST_SEED = 2**63 // SEEDS - 1  # then the seeds of its episodes are such as torch takes
Progress = Callable[[str, int, int, dict[str, float]], None]


@checked
def evaluate(
    agent: Agent | str | Path,
    task: Task | None = None,
    *,
    episodes: Annotated[Count, Field(le=SEEDS)] = 100,
    seed: Seed = 0,
    method: Method | None = None,
    workers: Count = 1,
    progress: Progress | None = None,
    log: EpisodeLog | None = None,
) -> Result:
    """Success and cost of an agent on a task's evaluation split.

    `agent`: an agent, a run directory or the name of a shipped one. `task`: a task, its name, or a function that makes
    a Gymnasium environment; None is the agent's own. `method`: None is "flat" for one level, else "hierarchical";
    "random" and "oracle" play the task instead of the agent.
    Episode i starts from reset seed `seed * SEEDS + i`, so that tasks with numbered goals cover them evenly, and does
    not depend on the others: any number of `workers` (processes, which a script must start below
    `if __name__ == "__main__"`) gives the same figures, times apart. Every process computes on one thread. Only for an
    agent that remembers (`Agent`) does an episode depend on those before it, and one worker plays them in turn.
    `log`: episodes that it holds are not played again, and those that are come into it.
    Raises UsageError for a wrong call, HplanError naming seed and step where an episode fails.
    """
    player = _load(agent, method) if isinstance(agent, str | Path) else agent
    if not hasattr(player, "levels_info"):
        raise UsageError(f"agent is {agent!r}; expected an agent, a run directory or the name of a shipped agent")
    if workers > 1 and getattr(player, "remembers", False):
        raise UsageError("an agent that remembers plays its episodes in turn: use 1 worker, or leave remember out")
    levels = len(player.levels_info)
    if method == "flat" and levels != 1:
        raise UsageError(f"method 'flat' is one level, and this agent has {levels}: use hplan.load(..., levels=1)")
    method = method or ("flat" if levels == 1 else "hierarchical")
    task = task_for(player, task)
    seeds = [seed * SEEDS + i for i in range(episodes)]
    if log is not None and getattr(player, "remembers", False):
        raise UsageError("an agent that remembers plays its episodes in turn, from the first: leave the log out")
    records: list[Record] = [] if log is None else log.records[:episodes]
    seeds = seeds[len(records) :]
    runs = _spread(player, task, method, seeds, workers) if workers > 1 else _in_turn(player, task, method, seeds)
    for record in runs:
        records.append(record)
        if log is not None:
            log.add(record)
        if progress:
            progress("evaluate", len(records), episodes, {"success": sum(r.success for r in records) / len(records)})
    planned = method in ("hierarchical", "flat")
    return summarise(
        records,
        task=task.name,
        agent=_name(agent),
        method=method,
        replan=player.replan if planned else "never",
        seed=seed,
        levels_info=player.levels_info if planned else (),
        train=player.train_info if planned else None,
    )


def _load(agent: str | Path, method: str | None) -> Agent:
    from hplan.agent import load

    return load(agent, levels=1 if method == "flat" else None)


def _name(agent: Agent | str | Path) -> str:
    return str(agent) if isinstance(agent, str | Path) else getattr(agent, "name", type(agent).__name__)


def _stage(player: Agent, task: TaskConfig, method: str) -> tuple[Actor, SplitEnv]:
    """The environment, and who plays in it."""
    from hplan.registry import make_world

    env = make_world(task, split="eval")
    if method == "random":
        return RandomActor(env.codec, env), env
    if method == "oracle":
        return _oracle(env, task), env
    return player, env


def _oracle(env: SplitEnv, task: TaskConfig) -> Actor:
    from hplan.worlds.experts import make_oracle

    return make_oracle(env, task)


def _in_turn(player: Agent, task: TaskConfig, method: str, seeds: list[int]) -> Iterator[Record]:
    actor, env = _stage(player, task, method)
    try:
        with one_thread():
            for seed in seeds:
                yield run_episode(actor, env, seed)
    finally:
        env.close()


# ---------------------------------------------------------------------------------------------------- worker processes

_payload = b""  # in a worker: what to play, unpacked at its first episode, where an error reaches the caller


def _spread(player: Agent, task: TaskConfig, method: str, seeds: list[int], workers: int) -> Iterator[Record]:
    try:
        payload = pickle.dumps((player, task, method))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(f"this agent cannot be sent to {workers} workers ({error}); use workers=1") from error
    context = get_context("spawn")  # torch does not survive a fork
    with ProcessPoolExecutor(max(min(workers, len(seeds)), 1), context, _receive, (payload,)) as pool:
        try:
            yield from pool.map(_run_one, seeds)
        finally:
            pool.shutdown(cancel_futures=True)


def _receive(payload: bytes) -> None:
    global _payload
    _payload = payload
    torch.set_num_threads(1)


@cache
def _worker_stage() -> tuple[Actor, SplitEnv]:
    return _stage(*pickle.loads(_payload))


def _run_one(seed: int) -> Record:
    return run_episode(*_worker_stage(), seed)
