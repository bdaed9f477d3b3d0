"""One episode: an actor in a world from reset to success, an end, or the world's limit of steps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hplan.evaluation.baselines import Actor
from hplan.types import ActionSpec, Repair, Start, Transition, World

if TYPE_CHECKING:
    from hplan.agent import Agent
    from hplan.report.trace import TraceStep


@dataclass(frozen=True)
class Moment:
    """One step taken. `ms`: milliseconds in `act`; `repair`: what it repaired, the last where there were several."""

    action: int | np.ndarray
    transition: Transition
    ms: float
    repair: Repair | None


@dataclass(frozen=True)
class Record:
    """An episode in numbers. `ms`: the time in `act`, all steps together; counts by level have string keys, as JSON.
    `causes`: steps that repaired something, by the cause of their last repair; one step may repair several levels.

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

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_episode(actor: Actor, world: World, seed: int) -> Record:
    """Play one episode and count. Errors of the world (HplanError naming it, seed and step) pass through."""
    start = world.reset(seed=seed)
    begin(actor, start, seed)
    before = (actor.evaluations, dict(actor.planner_calls), dict(actor.repairs))
    moments = list(play(actor, world, start))
    return Record(
        seed=seed,
        goal=start.goal_name,
        success=any(m.transition.success for m in moments),
        steps=len(moments),
        reward=float(sum(m.transition.reward for m in moments)),
        violations=sum(m.transition.violation for m in moments),
        evaluations=actor.evaluations - before[0],
        planner_calls=_since(before[1], actor.planner_calls),
        repairs=_since(before[2], actor.repairs),
        causes=dict(sorted(Counter(m.repair.cause for m in moments if m.repair).items())),
        ms=sum(m.ms for m in moments),
    )


def begin(actor: Actor, start: Start, seed: int) -> None:
    """Reset an actor for the episode that begins so. Only actors of worlds with a layout to see have to take one."""
    layout = {} if start.context is None else {"context": start.context}
    actor.reset(goal=start.goal, seed=seed, **layout)


def trace_episode(agent: Agent, world: World, seed: int) -> Iterator[TraceStep]:
    """The same episode as `run_episode` plays, step by step for view and trace; the last has no action."""
    from hplan.report.trace import TraceStep  # rich is only wanted where somebody looks

    start = world.reset(seed=seed)
    begin(agent, start, seed)
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
            **of_the_action,
        )

    picture, success, repair = world.draw(), False, None
    for moment in play(agent, world, start):
        success, repair = moment.transition.success, moment.repair or repair
        action = action_text(moment.action, world.action_spec)
        yield step_now(picture, ms=moment.ms, action=action, reward=moment.transition.reward, success=success)
        picture, taken = world.draw(), taken + 1
    yield step_now(picture, success=success)


def play(actor: Actor, world: World, start: Start) -> Iterator[Moment]:
    """Act until success, the end, or `world.max_steps`, whichever comes first."""
    observation = start.observation
    for _ in range(world.max_steps):
        began = time.perf_counter()
        action = actor.act(observation)
        ms = 1e3 * (time.perf_counter() - began)
        repair, transition = actor.last_repair, world.step(action)
        yield Moment(action, transition, ms, repair)
        if transition.success or transition.terminated or transition.truncated:
            return
        observation = transition.observation


def action_text(action: int | np.ndarray, spec: ActionSpec) -> str:
    """An action in words, or in numbers where it has none."""
    if spec.kind == "discrete":
        return spec.names[int(action)] if spec.names else str(int(action))
    return f"({', '.join(f'{value:+.2f}' for value in np.asarray(action, float))})"


def _since(before: Mapping[int, int], after: Mapping[int, int]) -> dict[str, int]:
    return {str(level): after[level] - before.get(level, 0) for level in sorted(after)}
