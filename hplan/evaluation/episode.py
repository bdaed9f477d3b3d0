"""One episode: an actor in an environment from reset to success, an end, or the environment's limit of steps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hplan.codec import OutsideSpace
from hplan.evaluation.baselines import Actor
from hplan.types import Repair, UsageError

if TYPE_CHECKING:
    from hplan.agent import Agent
    from hplan.report.trace import TraceStep
    from hplan.worlds.split import SplitEnv


@dataclass(frozen=True)
class Moment:
    """One step taken, and what it led to. `ms`: milliseconds in `act`; `repair`: what it repaired, the last where
    there were several."""

    action: Any
    observation: Any
    reward: float
    success: bool
    violation: bool
    ms: float
    repair: Repair | None


@dataclass(frozen=True)
class Record:
    """An episode in numbers. `ms`: the time in `act`, all steps together; counts by level have string keys, as JSON.
    `causes`: steps that repaired something, by the cause of their last repair; one step may repair several levels.

    `model_evaluations`, `flops`: of networks (`hplan.levels.meter`), None where the actor's are not known.

    Everything but `ms` is a function of agent, task and seed.
    """

    seed: int
    goal: str
    success: bool
    steps: int
    reward: float
    violations: int
    evaluations: int
    planner_calls: dict[str, int]
    repairs: dict[str, int]
    causes: dict[str, int]
    ms: float
    model_evaluations: int | None = None
    flops: int | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_episode(actor: Actor, env: SplitEnv, seed: int) -> Record:
    """Play one episode and count. Errors of the environment (HplanError naming it, seed and step) pass through."""
    from hplan.levels.meter import Meter  # what only lists and helps needs no torch

    with Meter.of(getattr(actor, "stack", None)) as meter:
        observation, info = begin(actor, env, seed)
        before = (actor.evaluations, dict(actor.planner_calls), dict(actor.repairs))
        moments = list(play(actor, env, observation, seed))
    return Record(
        seed=seed,
        goal=info.get("goal_name", ""),
        success=any(m.success for m in moments),
        steps=len(moments),
        reward=float(sum(m.reward for m in moments)),
        violations=sum(m.violation for m in moments),
        evaluations=actor.evaluations - before[0],
        model_evaluations=meter.evaluations,
        flops=meter.flops,
        planner_calls=_since(before[1], actor.planner_calls),
        repairs=_since(before[2], actor.repairs),
        causes=dict(sorted(Counter(m.repair.cause for m in moments if m.repair).items())),
        ms=sum(m.ms for m in moments),
    )


def begin(actor: Actor, env: SplitEnv, seed: int) -> tuple[Any, dict[str, Any]]:
    """Begin an episode of the environment and of the actor; returns what `env.reset` does. Only actors of environments
    with a layout to see have to take one, and only those of ones with missions, which are not their goal already, have
    to take these."""
    observation, info = env.reset(seed=seed)
    shown = {
        key: info[key] for key in ("context", "mission") if key in info and (key == "context" or "goal" not in info)
    }
    actor.reset(goal=info.get("goal"), seed=seed, **shown)
    return observation, info


def trace_episode(agent: Agent, env: SplitEnv, seed: int) -> Iterator[TraceStep]:
    """The same episode as `run_episode` plays, step by step for view and trace; the last has no action."""
    from hplan.report.trace import TraceStep  # rich is only wanted where somebody looks
    from hplan.worlds.half_blocks import half_blocks

    observation, _ = begin(agent, env, seed)
    before, taken = agent.evaluations, 0

    def step_now(picture: str, **of_the_action: Any) -> TraceStep:
        return TraceStep(
            step=taken,
            world=picture,
            tree=agent.tree,
            surprise=dict(agent.surprise),
            thresholds=dict(agent.thresholds),
            repair=repair,
            evaluations=agent.evaluations - before,
            imagined=imagined(),
            **of_the_action,
        )

    def imagined() -> dict[int, str]:
        """By the levels above 0: level 0 is a step ahead."""
        drawn = {k: agent.stack.draw(k, z) for k, z in agent.subgoals.items() if k}
        return {k: half_blocks(image) for k, image in drawn.items() if image is not None}

    picture, success, repair = env.render(), False, None
    for moment in play(agent, env, observation, seed):
        success, repair = moment.success, moment.repair or repair
        action = env.codec.name(moment.action)
        yield step_now(picture, ms=moment.ms, action=action, reward=moment.reward, success=success)
        picture, taken = env.render(), taken + 1
    yield step_now(picture, success=success)


def play(actor: Actor, env: SplitEnv, observation: Any, seed: int) -> Iterator[Moment]:
    """Act until the episode ends, as it does with success. Raises UsageError that names environment, seed and step for
    an observation that is outside its space."""
    step, over, breaks = 0, False, getattr(actor, "breaks", None)  # constraints that were given; the world has others
    while not over:
        began = time.perf_counter()
        try:
            action = actor.act(observation)
        except OutsideSpace as error:
            raise UsageError(f"{env.name}, seed {seed}, step {step}: {error}") from error
        ms = 1e3 * (time.perf_counter() - began)
        repair = actor.last_repair
        observation, reward, terminated, truncated, info = env.step(action)
        step, over = step + 1, terminated or truncated
        broken = info["violation"] or (breaks is not None and breaks(observation))
        yield Moment(action, observation, float(reward), info["success"], broken, ms, repair)


def _since(before: Mapping[int, int], after: Mapping[int, int]) -> dict[str, int]:
    return {str(level): after[level] - before.get(level, 0) for level in sorted(after)}
