"""What each command does: call one function of the library and show what came back.

The library is imported inside the commands, so that `hplan --help` and `hplan list` do not wait for torch.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hplan.cli.progress import Bars
from hplan.types import UsageError

if TYPE_CHECKING:
    from hplan.agent import Agent
    from hplan.config import TaskConfig

FPS = 5  # steps a second on a terminal


def list_all(_: Namespace) -> None:
    from hplan import registry
    from hplan.experiments import find_experiments

    _section("tasks", [*registry.task_names(), "gym:ENV-ID for any registered Gymnasium environment"])
    _section("shipped agents", list(registry.shipped_agents()))
    _section("trained agents, below runs/", [str(folder) for folder in registry.trained_agents()])
    _section("experiments", [f"{name}: {one.question}" for name, one in find_experiments().items()])


def _section(title: str, lines: list[str]) -> None:
    print(title)
    print("".join(f"  {line}\n" for line in lines or ["(none)"]))


def train(arguments: Namespace) -> None:
    from hplan.training.learn import learn

    with Bars() as progress:
        agent = learn(
            arguments.task,
            arguments.out,
            steps=arguments.steps,
            seed=arguments.seed,
            levels=arguments.levels,
            budget=arguments.budget,
            device=arguments.device,
            resume=arguments.resume,
            success=arguments.success,
            settings=dict(arguments.settings),
            play_from=arguments.play_from,
            progress=progress,
        )
    levels = len(agent.levels_info)
    print(f"{arguments.out}: an agent of {levels} level{'s' * (levels > 1)}; `hplan eval {arguments.out}` measures it")


def evaluate(arguments: Namespace) -> None:
    from hplan.evaluation.records import write_records
    from hplan.evaluation.result import write_result
    from hplan.evaluation.run import evaluate as run
    from hplan.report.table import result_lines

    levels = arguments.levels
    if arguments.method == "flat":
        if levels not in (None, 1):
            raise UsageError(f"--method flat is one level, not --levels {levels}; leave one of them out")
        levels = 1
    agent = _load(arguments, levels=levels, replan=arguments.replan, settings=dict(arguments.settings))
    task = _task(agent, arguments)
    with Bars() as progress:
        result = run(
            agent,
            task,
            episodes=arguments.episodes,
            seed=arguments.seed,
            method=arguments.method,
            workers=arguments.workers,
            progress=progress,
        )
    print("\n".join(result_lines(result)))
    if arguments.records:
        write_records(arguments.records, result, task)
    if arguments.json:  # last: where it lies, all the rest does
        write_result(result, arguments.json)


def watch(arguments: Namespace) -> None:
    from hplan.evaluation.episode import trace_episode
    from hplan.evaluation.run import SEEDS
    from hplan.registry import make_world
    from hplan.report.live import show
    from hplan.report.trace import record

    agent = _load(arguments, replan=arguments.replan)
    task = _task(agent, arguments)
    world = make_world(task, split="eval")
    try:
        steps = trace_episode(agent, world, arguments.seed * SEEDS)  # the first of `hplan eval --seed`
        title = f"{arguments.agent} in {task.name}, seed {arguments.seed}"
        show(record(steps, arguments.trace) if arguments.trace else steps, fps=_fps(arguments), title=title)
    finally:
        world.close()


def replay(arguments: Namespace) -> None:
    from hplan.report.live import show
    from hplan.report.trace import read_trace

    trace = read_trace(arguments.trace)
    show(trace.steps, fps=_fps(arguments), title=arguments.trace)
    if trace.damage:
        print(f"cut short: {trace.damage}")


def plan(arguments: Namespace) -> None:
    from hplan.evaluation.run import SEEDS
    from hplan.files import write_atomically
    from hplan.registry import make_world

    agent = _load(arguments)
    world = make_world(_task(agent, arguments), split="eval")
    seed = arguments.seed * SEEDS  # the first episode of `hplan eval --seed`
    observation, info = world.reset(seed=seed)
    agent.reset(goal=info.get("goal"), seed=seed, context=info.get("context"))
    tree = agent.plan(observation)
    print(world.render())
    print(tree)
    world.close()
    if arguments.json:
        write_atomically(arguments.json, json.dumps(tree.to_dict(), indent=1) + "\n")


def draw(arguments: Namespace) -> None:
    from hplan.evaluation.paths import follow
    from hplan.evaluation.run import SEEDS, one_thread
    from hplan.files import write_atomically
    from hplan.registry import make_world
    from hplan.report.paths import paths_figure

    if Path(arguments.out).is_dir():
        raise UsageError(f"--out {arguments.out} is a folder; name a file, such as {Path(arguments.out, 'ways.svg')}")
    agent = _load(arguments, replan=arguments.replan, levels=arguments.levels)
    task = _task(agent, arguments)
    world = make_world(task, split="eval")
    try:
        first = arguments.seed * SEEDS
        with one_thread(), Bars() as progress:
            paths = []
            for i in range(arguments.episodes):
                paths.append(follow(agent, world, first + i))
                progress("episodes", i + 1, arguments.episodes)
    finally:
        world.close()
    solved = sum(path.success for path in paths)
    write_atomically(arguments.out, paths_figure(paths, f"{task.name}: {solved} of {len(paths)} episodes solved"))
    print(f"{arguments.out}: {solved} of {len(paths)} episodes solved")


def inspect(arguments: Namespace) -> None:
    from rich.console import Console

    from hplan.evaluation.inspection import inspect as look
    from hplan.evaluation.inspection import write_inspection
    from hplan.registry import agent_path
    from hplan.report.inspection import inspection_lines, inspection_table, verdict_lines
    from hplan.report.inspection_page import write_inspection_page
    from hplan.training.learn import CURVES

    agent = _load(arguments)
    with Bars() as progress:
        found = look(agent, _task(agent, arguments), steps=arguments.steps, seed=arguments.seed, progress=progress)
    print("\n".join(inspection_lines(found)))
    Console(width=None if sys.stdout.isatty() else 132).print(inspection_table(found))
    print("\n".join(verdict_lines(found)))
    file = agent_path(arguments.agent) / CURVES
    curves = json.loads(file.read_text()) if file.exists() else {}
    for stage, curve in curves.items():
        last = "  ".join(f"{name} {value:.4g}" for name, value in curve[-1].items())
        print(f"{stage}: at the end of training {last}")
    if arguments.json:
        write_inspection(found, arguments.json)
    if arguments.report:
        write_inspection_page(arguments.report, found, curves)


def list_experiments(_: Namespace) -> None:
    from hplan.experiments import find_experiments

    for name, one in find_experiments().items():
        steps = one.steps()
        print(f"{name}  {sum(step.output.exists() for step in steps)}/{len(steps)} steps done\n  {one.question}")


def run_experiment(arguments: Namespace) -> None:
    from hplan.experiments import run_experiment as run

    with Bars() as progress:
        table = run(arguments.experiment, quick=arguments.quick, workers=arguments.workers, progress=progress)
    print(table)


def doctor(_: Namespace) -> None:
    from hplan.doctor import examine

    for line in examine():
        print(line)


def _fps(arguments: Namespace) -> float | None:
    """Paced for eyes on a terminal; as fast as it comes where a file or a pipe is written."""
    return arguments.fps or (FPS if sys.stdout.isatty() else None)


def _load(arguments: Namespace, **options: Any) -> Agent:
    from hplan.agent import load

    return load(arguments.agent, **options)


def _task(agent: Agent, arguments: Namespace) -> TaskConfig:
    """The task that --task names, or else the agent's own; the rule of success is --success, or else the agent's."""
    from hplan.registry import load_task

    return load_task(arguments.task or agent.task, getattr(arguments, "success", None) or agent.stack.success_rule)
