"""Adapting an agent in the world itself: it plays towards what it aims for, and learns from what that brought.

After every round it learns from all play so far. An agent that aims for reward learns anew what steps pay, values and
the policy, and its world model, if asked for, which else stays as it is. One that aims for success has nothing but its
world model, and learns that: where a plan went otherwise than predicted, play has it now. As model-based policy
optimisation does (Janner et al., 2019, arXiv 1906.08253), but for planning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hplan.agent import Agent, load
from hplan.config import TaskConfig
from hplan.evaluation.run import evaluate
from hplan.files import locked
from hplan.goals import hands_out
from hplan.levels.heads.returns import returns_stages
from hplan.levels.pixels import PixelEncoder
from hplan.levels.stack import FORMAT, WEIGHTS
from hplan.play.explore import Start, begin_anywhere, permitted
from hplan.play.manifest import Manifest
from hplan.play.play import Play, load_play
from hplan.play.record import play
from hplan.registry import agent_path, task_for
from hplan.threads import reproducible
from hplan.training.abstractions import abstraction_of
from hplan.training.eye import seen
from hplan.training.fit import Progress, Run
from hplan.training.learn import settings_of, train
from hplan.training.request import claim
from hplan.training.train import run_stages
from hplan.types import Result, UsageError
from hplan.validation import Count, Seed, checked

RANDOM = 0.1  # of the actions are uniform: what the agent would not do is seen, too
SEEDS = 2**31


@dataclass(frozen=True)
class Adapted:
    """The agent, and what it came to on the same episodes before and after."""

    agent: Agent
    before: Result
    after: Result


@checked
def adapt(
    agent: str | Path,
    out: str | Path,
    *,
    task: Any = None,
    steps: Count = 10_000,
    seed: Seed = 0,
    episodes: Count = 20,
    rounds: Count = 4,
    critic_steps: Count = 6000,
    world_model: bool = False,
    play_from: str | Path | None = None,
    progress: Progress | None = None,
) -> Adapted:
    """Tune an agent in its own task, in layouts for training, and save it in `out`.

    It plays `steps` steps in `rounds` rounds, one action in ten at random, and learns after each from these and from
    the play that it was trained on: beside it, or in `play_from`. An agent that aims for reward learns rewards and
    values; levels, thresholds and landmarks stay as they are. With `world_model`, and where an agent aims for success,
    all of them are learned anew, now that it has been where plans lead: every round takes as long as the training did.
    `episodes`: of evaluation, before and after. Called again with the same arguments it goes on where it stopped.

    Raises UsageError for an agent whose world model is to be learned without the play that it was trained on, for
    rewards that were counted, and for an `out` that holds something else, and HplanError where the environment fails.
    """
    first, out = load(agent), Path(out)
    paid, world_model = first.stack.paid, world_model or not first.stack.paid
    if paid and (first.stack.levels[0].returns is None or first.stack.levels[0].process is not None):
        raise UsageError(
            f"{agent} counted its rewards and solved for them, and there is nothing to tune: train it with more --steps"
        )
    where = task_for(first, task)
    own = Path(play_from) if play_from else agent_path(agent) / "play"
    stores: list[Path] = [own] if play_from or own.exists() else []
    if not stores and not paid:
        raise UsageError(
            f"{agent} has no play beside it, and its world model would be learned from {steps:,} steps alone: say "
            "where it lies (--play-from)"
        )
    player = first
    asked = {"steps": steps, "seed": seed, "critic_steps": critic_steps, "world_model": world_model, "rounds": rounds}
    if play_from:
        asked["play_from"] = hashlib.sha256(repr(Manifest.load(own)).encode()).hexdigest()[:12]
    weights = hashlib.sha256((agent_path(agent) / WEIGHTS).read_bytes()).hexdigest()[:12]
    with locked(out), reproducible():
        claim(out, {"format": FORMAT, "adapts": weights, "task": where.name, **asked}, resume=True)
        for number in range(rounds):
            folder = out / f"round-{number + 1}"
            told = _told(progress, f"play {number + 1}") if progress else None
            share = steps * (number + 1) // rounds - steps * number // rounds
            now = player
            if share:
                play(
                    where,
                    folder / "play",
                    steps=share,
                    seed=seed * rounds + number,
                    progress=told,
                    driver=lambda env, rng, _steps, now=now: AgentPlay(now, env, rng),
                )
                stores.append(folder / "play")
            run, known = Run(seed, folder / "stages", "cpu", progress), load_play(*stores)
            player = _anew(player, known, run, where) if world_model else _learned(player, known, run, critic_steps)
        results = [evaluate(one, where, episodes=episodes, seed=seed, progress=progress) for one in (first, player)]
        before, after = (one.return_mean if paid else one.success_rate for one in results)
        brought = {"steps": steps, "before": before, "after": after}
        stack = replace(player.stack, train={**player.stack.train, "adapted": brought})
        stack.save(out)
    return Adapted(Agent(stack, name=str(out)), *results)


class AgentPlay:
    """A driver of play (`hplan.play.collect`): the agent, with random actions between its own."""

    def __init__(self, agent: Agent, env: Any, rng: np.random.Generator) -> None:
        self.agent, self.env, self.rng = agent, env, rng

    def start(self) -> Start:
        start = begin_anywhere(self.env, self.rng)
        asked = {"goal": start.goal} if start.goal is not None else {"mission": start.mission}
        self.agent.reset(seed=int(self.rng.integers(SEEDS)), context=start.context, **asked)
        return start

    def act(self, observation: np.ndarray, step: int) -> Any:
        chosen = self.agent.choose(observation)
        if self.rng.random() < RANDOM:
            return permitted(self.env, self.env.codec.random_action(self.rng), self.rng)
        return chosen.numpy(force=True)


def _learned(agent: Agent, play: Play, run: Run, steps: int) -> Agent:
    """The agent with what it knows of reward learned anew."""
    stack = agent.stack
    level = deepcopy(stack.levels[0])
    head = level.returns_head
    known = stack.seen(play)
    if isinstance(level.encoder, PixelEncoder):
        known = seen(level.encoder.eye, known)
    options = {"discount": head.discount, "hidden": head.hidden, "steps": steps}
    run_stages(returns_stages(level, known, seed=run.seed, **options), run)
    level.eval().requires_grad_(False)
    return Agent(replace(stack, levels=(level, *stack.levels[1:])))


def _anew(agent: Agent, play: Play, run: Run, task: TaskConfig) -> Agent:
    """All of the agent learned anew, as it was learned first."""
    stack = agent.stack
    specs = stack.codec.observation_spec, stack.codec.action_spec
    cutting = abstraction_of(task, specs, "auto", stack.train["settings"].get("encoder", "auto"))
    own = dict(stack.train["settings"])
    if any(field.name == "history" for field in fields(cutting.Settings)):
        own["history"] = stack.history
    settings = settings_of(task, specs, cutting, own)
    if stack.paid or task.goal == "observation" or hands_out(stack):  # as `learn` has it
        play = replace(play, success=torch.zeros_like(play.success))
    if not stack.paid:
        play = replace(play, rewards=torch.zeros_like(play.rewards))
    found = train(play, cutting, settings, levels=len(stack.levels), run=run)
    names = ("levels", "calibration", "tolerance", "edges", "beginning", "reading", "asking")
    learned = {name: getattr(found, name) for name in names}
    return Agent(replace(stack, **learned, train={**stack.train, **found.facts}).with_gallery(play))


def _told(progress: Progress, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(stage, done, total, {})
