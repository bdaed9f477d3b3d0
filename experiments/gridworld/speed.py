"""Processor time that an agent takes to plan, by layout: the first plan, the longest step, the mean of all steps, and
what of it all each level's planner takes.

    python experiments/gridworld/speed.py AGENT TASK --episodes 10 --seed 60 --json OUT

What others do on the machine counts for less so than on the clock of `hplan eval`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

import hplan
from hplan.agent import Agent
from hplan.evaluation.episode import begin
from hplan.files import write_atomically
from hplan.registry import load_task, make_world
from hplan.types import Planner, PlanResult
from hplan.worlds.split import SplitEnv


class Timed:
    """A planner that counts the processor's milliseconds in it."""

    def __init__(self, planner: Planner) -> None:
        self.planner, self.ms = planner, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.planner, name)

    def plan(self, *given: Any, **options: Any) -> PlanResult:
        began = time.process_time()
        result = self.planner.plan(*given, **options)
        self.ms += 1000 * (time.process_time() - began)
        return result


EPISODES = 1_000_000  # reset seeds of one evaluation seed, as in `hplan eval`


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("agent")
    parser.add_argument("task")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--json", required=True, help="write the figures there, after each episode")
    given = parser.parse_args(arguments)
    agent, env, found = hplan.load(given.agent), make_world(load_task(given.task), split="eval"), []
    try:
        for episode in range(given.episodes):
            found.append(measured(agent, env, given.seed * EPISODES + episode))
            write_atomically(given.json, json.dumps({"task": given.task, "episodes": found}, indent=1) + "\n")
            sys.stdout.write(f"{found[-1]}\n")
    finally:
        env.close()


def measured(agent: Agent, env: SplitEnv, seed: int) -> dict[str, Any]:
    """One episode; times in milliseconds of the processor."""
    planners = [Timed(each) for each in agent.planners]
    agent.planners = tuple(planners)
    observation, _ = begin(agent, env, seed)
    times, success, over = [], False, False
    while not over:
        began = time.process_time()
        action = agent.act(observation)
        times.append(1000 * (time.process_time() - began))
        observation, _, terminated, truncated, info = env.step(action)
        success, over = success or bool(info["success"]), terminated or truncated
    each = {"first": times[0], "longest": max(times), "mean": sum(times) / len(times)}
    agent.planners = tuple(each.planner for each in planners)
    steps = {"seed": seed, "steps": len(times), "success": success, "evaluations": agent.evaluations}
    shares = {"share": [round(each.ms / sum(times), 3) for each in planners]}  # of all the time, by level
    return steps | {f"{name}_ms": round(value, 2) for name, value in each.items()} | shares


if __name__ == "__main__":
    main(sys.argv[1:])
