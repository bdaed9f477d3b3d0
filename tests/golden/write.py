"""What shipped agents do today, stored so that the tests can hold later code to it. Renewed, after a change for the
better or a new agent, by

    python tests/golden/write.py [AGENT ...]     every shipped agent where none is named

`shipped.toml` holds successes and predictor evaluations per step, `trees/AGENT.json` plan trees as `print` draws them.
"""

from __future__ import annotations

import json
import sys
import tomllib
from itertools import islice
from pathlib import Path
from typing import Any

import tomli_w
import torch

import hplan
from hplan.evaluation.episode import begin, play
from hplan.registry import load_task, make_world, shipped_agents

HERE = Path(__file__).parent
SHIPPED, TREES = HERE / "shipped.toml", HERE / "trees"
EPISODES, SEED = 5, 60  # five goals of a maze, one each
FEWER = {"ogbench/powderworld-easy-play": 2, "ogbench/powderworld-medium-play": 2, "ogbench/powderworld-hard-play": 4}
FIRST_EPISODE = SEED * 1_000_000  # the reset seed of the first of these episodes
REPAIRED_WITHIN = 5  # steps: later ones depend on more float arithmetic than two machines agree about


def episodes_of(name: str) -> int:
    """How many of an agent are looked at."""
    return FEWER.get(name, EPISODES)


def figures(name: str) -> dict[str, Any]:
    """Successes of its episodes, and what a step of these costs in predictor evaluations."""
    result = hplan.evaluate(name, episodes=episodes_of(name), seed=SEED)
    solved = [record for record in result.records if record["success"]]
    evaluations, steps = (sum(record[key] for record in solved) for key in ("evaluations", "steps"))
    return {"successes": result.successes, "predictor_evals_per_step": round(evaluations / max(steps, 1), 2)}


def trees(name: str) -> dict[str, list[str]]:
    """Lines of the first plan of an episode, and of the plan after its first repair if that comes within five steps."""
    agent = hplan.load(name)
    env = make_world(load_task(agent.task), split="eval")
    observation, _ = begin(agent, env, FIRST_EPISODE)
    drawn = {"first": str(agent.plan(observation)).splitlines()}
    for moment in islice(play(agent, env, observation, FIRST_EPISODE), REPAIRED_WITHIN + 1):
        if moment.repair is not None:
            return drawn | {"repaired": str(agent.tree).splitlines()}
    return drawn


def stored_figures() -> dict[str, dict[str, Any]]:
    return tomllib.loads(SHIPPED.read_text(encoding="utf-8")) if SHIPPED.exists() else {}


def tree_file(name: str) -> Path:
    return TREES / f"{name}.json"


def main(names: list[str]) -> None:
    shipped = shipped_agents()
    if unknown := sorted(set(names) - shipped.keys()):
        sys.exit(f"{', '.join(unknown)}: no shipped agent; `hplan list` shows which there are")
    torch.set_num_threads(1)  # as in the tests: sums of floats depend on it
    kept = {name: stored for name, stored in stored_figures().items() if name in shipped}
    for name in names or shipped:
        kept[name] = figures(name)
        file = tree_file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(trees(name), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(name, kept[name], flush=True)
    head = f"# {EPISODES} episodes (or as FEWER has it) of `hplan eval AGENT --seed {SEED}`, written by "
    head += "`python tests/golden/write.py`\n\n"
    SHIPPED.write_text(head + tomli_w.dumps(dict(sorted(kept.items()))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
