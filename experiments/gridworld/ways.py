"""How much longer an agent's ways are than the best ones, of episodes that `hplan eval` measured.

    python experiments/gridworld/ways.py RESULT.json --episodes 20 --json OUT

The best way is found in the world's true state by breadth-first search (hplan/worlds/optimal.py), where that meets few
enough states. No agent sees it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from hplan.files import write_atomically
from hplan.registry import load_task, make_world
from hplan.worlds.optimal import optimal_steps


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("result", help="what `hplan eval --json` wrote")
    parser.add_argument("--episodes", type=int, default=20, help="the first so many that succeeded")
    parser.add_argument("--json", required=True, help="write the figures there")
    given = parser.parse_args(arguments)
    result = json.loads(Path(given.result).read_text(encoding="utf-8"))
    solved = [record for record in result["records"] if record["success"]][: given.episodes]
    env = make_world(load_task(result["task"]), split="eval")
    try:
        ways = [(record["steps"], optimal_steps(env, env.reset(seed=record["seed"]))) for record in solved]
    finally:
        env.close()
    known = np.array([way for way in ways if way[1]], float).reshape(-1, 2)
    ratios = known[:, 0] / known[:, 1]
    found = {
        "task": result["task"],
        "seed": result["seed"],
        "episodes": len(known),
        "steps": round(float(known[:, 0].mean()), 1) if len(known) else None,
        "best_steps": round(float(known[:, 1].mean()), 1) if len(known) else None,
        "ratio": round(float(ratios.mean()), 3) if len(known) else None,
        "largest_ratio": round(float(ratios.max()), 3) if len(known) else None,
    }
    write_atomically(given.json, json.dumps(found, indent=1) + "\n")
    sys.stdout.write(f"{found}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
