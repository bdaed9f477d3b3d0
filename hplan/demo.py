"""`make demo`: play, learn a stack, compare it with the flat agent on layouts that it never saw, and show it all.

Everything goes through public functions, so that what it does can be done again on any other task.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hplan.agent import Agent, load
from hplan.cli.progress import Bars
from hplan.config import TaskConfig
from hplan.evaluation.episode import trace_episode
from hplan.evaluation.run import evaluate
from hplan.registry import load_task, make_world
from hplan.report.page import LevelPage, write_report
from hplan.report.table import results_table
from hplan.report.trace import TraceStep
from hplan.training.learn import CURVES, learn
from hplan.types import Result

TASK = "minigrid/DoorKey-8x8"
SMALL = "minigrid/DoorKey-6x6"  # of the smoke run, with training of seconds
SMALL_TRAINING = {"base_steps": 1000, "above_steps": 150, "batch": 128}
SEED = 0


def demo(task: TaskConfig, out: Path, *, episodes: int, steps: int | None = None, workers: int = 2) -> Path:
    """Run everything below `out` and return the report. What an interrupted run has finished is not done again."""
    console, began = Console(width=None if sys.stdout.isatty() else 132), time.monotonic()
    console.print(f"hplan plays {task.name} without reward and learns a stack of world models from it, in {out}")
    with Bars() as progress:
        learn(task, out, steps=steps, seed=SEED, budget="quick", workers=workers, progress=progress)
        results = [
            evaluate(load(out, method=method), episodes=episodes, seed=SEED, workers=workers, progress=progress)
            for method in ("hierarchical", "flat")
        ]
    agent = load(out)
    solved = next((record["seed"] for record in results[0].records if record["success"]), results[0].records[0]["seed"])
    episode = watch(agent, solved)
    console.print(results_table(results, f"{episodes} layouts that training never saw"))
    console.print(f"\nOne of them, and the plan for it:\n\n{episode[0].world}\n", markup=False, highlight=False)
    console.print(str(episode[0].tree), markup=False, highlight=False, soft_wrap=True)
    seconds = time.monotonic() - began
    report = write(out / "report.html", agent, results, episode, solved, seconds)
    console.print(f"\n{seconds:.0f} s in all; learning curves, latents and the episode are in {report}")
    return report


def watch(agent: Agent, seed: int) -> list[TraceStep]:
    """One evaluation episode of the agent's own task."""
    world = make_world(load_task(agent.task), split="eval")
    try:
        return list(trace_episode(agent, world, seed))
    finally:
        world.close()


def write(
    path: Path, agent: Agent, results: Sequence[Result], episode: Sequence[TraceStep], seed: int, seconds: float
) -> Path:
    """The report of `make demo`: one self-contained page."""
    hierarchical, flat = results
    layouts = f"of {hierarchical.episodes} layouts that training never saw"
    return write_report(
        path,
        title=f"hplan on {agent.task}",
        summary=(
            f"{hierarchical.levels} levels solved {hierarchical.successes} {layouts}, with "
            f"{hierarchical.predictor_evals_per_step:,.1f} predictor evaluations a step; level 0 alone, the flat "
            f"agent, solved {flat.successes} with {flat.predictor_evals_per_step:,.1f}.",
            f"Played, learned and measured in {seconds:.0f} s.",
        ),
        curves=json.loads((path.parent / CURVES).read_text(encoding="utf-8-sig")),
        levels=pages(agent, seed),
        results=results,
        episode=episode,
        versions=hierarchical.versions,
        command="make demo",
    )


def pages(agent: Agent, seed: int) -> list[LevelPage]:
    """What each level knows, and what it sees of the layout of an episode: equal colours are equal latents."""
    world = make_world(load_task(agent.task), split="eval")
    latents = agent.stack.encode(world.codec.encode(world.reset(seed=seed)[0]))
    world.close()
    return [
        LevelPage(
            level=info["level"],
            facts={
                "step duration": f"{info['stride']:.1f} environment steps",
                "latent shape": " x ".join(map(str, info["latent_shape"])),
                "macro-actions": info["macro"],
                "surprise threshold": f"{agent.thresholds[info['level']]:.2f} level steps",
            },
            maps=[("latent code of each cell", z.numpy(force=True))],
        )
        for info, z in zip(agent.levels_info, latents, strict=True)
    ]


def main(
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="(default: runs/demo)")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="The same path with budgets of seconds, for CI")] = False,
) -> None:
    """What `make demo` runs."""
    if smoke:
        task = replace(load_task(SMALL), training={"quick": SMALL_TRAINING})
        demo(task, out or Path("runs/demo-smoke"), episodes=2, steps=30_000, workers=1)
    else:
        demo(load_task(TASK), out or Path("runs/demo"), episodes=100)


if __name__ == "__main__":
    typer.run(main)
