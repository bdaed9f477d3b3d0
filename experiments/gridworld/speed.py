"""Processor time that an agent takes to plan, by layout: the first plan, the longest step, and the mean of all steps.

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
from hplan.worlds.split import SplitEnv

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
    observation, _ = begin(agent, env, seed)
    times, success, over = [], False, False
    while not over:
        began = time.process_time()
        action = agent.act(observation)
        times.append(1000 * (time.process_time() - began))
        observation, _, terminated, truncated, info = env.step(action)
        success, over = success or bool(info["success"]), terminated or truncated
    each = {"first": times[0], "longest": max(times), "mean": sum(times) / len(times)}
    steps = {"seed": seed, "steps": len(times), "success": success, "evaluations": agent.evaluations}
    return steps | {f"{name}_ms": round(value, 2) for name, value in each.items()}


if __name__ == "__main__":
    main(sys.argv[1:])
