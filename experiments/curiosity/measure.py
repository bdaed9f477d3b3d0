"""What each recipe of play finds in a task at equal steps: `python experiments/curiosity/measure.py [--help]`.

Rare events are counted afterwards, from what was recorded: doors that went from locked to open, balls and keys picked
up, successes. Play that is there already is not made again, and more steps extend it.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from minigrid.core.constants import OBJECT_TO_IDX

from hplan.play.record import play
from hplan.play.store import EpisodeStore
from hplan.registry import load_task
from hplan.worlds.minigrid import CARRIED_TYPE, STATE, TYPE

RESULTS = Path(__file__).parent / "results"
LOCKED = 2


def events(store: EpisodeStore) -> dict[str, int]:
    """How often each thing happened, and in how many layouts."""
    found = {"successes": 0, "ended": 0, "unlocked": 0, "keys": 0, "states": 0}
    layouts: dict[str, set[int]] = {"successes": set(), "unlocked": set()}
    states: set[bytes] = set()
    for episode in store:
        seen, times = episode.observations, {"successes": int(episode.success.sum())}
        found["ended"] += int(episode.terminated)
        states |= {row.tobytes() for row in seen}
        if seen.ndim == 4 and seen.shape[-1] > CARRIED_TYPE:
            locked = (seen[..., TYPE] == OBJECT_TO_IDX["door"]) & (seen[..., STATE] == LOCKED)
            times["unlocked"] = int((np.diff(locked.sum((1, 2))) < 0).sum())
            carried = seen[..., CARRIED_TYPE].max((1, 2)) == OBJECT_TO_IDX["key"]
            times["keys"] = int((carried[1:] & ~carried[:-1]).sum())
        for name, count in times.items():
            found[name] += count
            if count and name in layouts:
                layouts[name].add(episode.seed)
    found["states"] = len(states)
    return found | {f"layouts_{name}": len(seeds) for name, seeds in layouts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="minigrid/KeyCorridorS3R3")
    parser.add_argument("--recipes", nargs="+", default=["random", "explore", "curious"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[50, 51, 52])
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--runs", type=Path, default=Path("runs/curiosity"))
    given = parser.parse_args()
    task = load_task(given.task)
    for recipe in given.recipes:
        for seed in given.seeds:
            label = f"{given.task.replace('/', '-').replace(':', '-')}-{recipe}-{seed}"
            began = time.perf_counter()
            played = replace(task, play=replace(task.play, recipe=recipe))
            store = play(played, given.runs / label, steps=given.steps, seed=seed)
            row = {"task": given.task, "recipe": recipe, "seed": seed, "steps": given.steps, **events(store)}
            row["restart_rare"], row["seconds"] = task.play.restart_rare, round(time.perf_counter() - began, 1)
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{label}-{given.steps}.json").write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
