"""What each command does: call one function of the library and show what came back.

The library is imported inside the commands, so that `hplan --help` and `hplan list` do not wait for torch.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hplan.cli import options
from hplan.cli.progress import Bars
from hplan.files import check_writable

if TYPE_CHECKING:
    from hplan.agent import Agent
    from hplan.config import TaskConfig
    from hplan.types import World

FPS = 5  # steps a second on a terminal


def list_all() -> None:
    """Tasks, experiments, trained and shipped agents."""
    from hplan import registry
    from hplan.cli.experiments import engine, in_checkout

    found = engine().find_experiments() if in_checkout() else {}
    _section("tasks", [*registry.task_names(), "gym:ENV-ID for any registered Gymnasium environment"])
    _section("shipped agents", list(registry.shipped_agents()))
    _section("trained agents, below runs/", [str(folder) for folder in registry.trained_agents()])
    _section("experiments", [f"{name}: {one.question}" for name, one in found.items()])


def _section(title: str, lines: list[str]) -> None:
    print(title)
    print("".join(f"  {line}\n" for line in lines or ["(none)"]))


def train(
    task: options.Task,
    out: Annotated[str, options.folder("Run directory: play data, checkpoints and the agent")],
    steps: Annotated[int | None, options.number("Environment steps of play (default: the task's own)")] = None,
    seed: Annotated[int, options.seeds("Of play and training; same seed, same weights")] = 0,
    levels: Annotated[
        str, typer.Option(metavar="auto|N", parser=options.depth, help="Depth; auto: from the data")
    ] = "auto",
    budget: options.Budget = "quick",
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(
            help="auto is the CPU: networks are small, and on a GPU they learned slower; levels over symbols have not "
            "been seen to learn there"
        ),
    ] = "auto",
    resume: options.Resume = False,
    play_from: Annotated[
        str | None, options.folder("Episodes of this task that exist already, instead of playing (`hplan data`)")
    ] = None,
    settings: Annotated[
        list[Any] | None, options.keys("A setting of training, such as above_steps=800; see tasks/README.md")
    ] = None,
    success: Annotated[
        Literal["auto", "terminated"],
        typer.Option(help="terminated: a gym: task counts as solved when its episode ends"),
    ] = "auto",
) -> None:
    """Play a task without reward, and learn a stack of world models from it."""
    from hplan.training.learn import learn

    with Bars() as progress:
        agent = learn(
            task,
            out,
            steps=steps,
            seed=seed,
            levels=levels,  # type: ignore[arg-type]  # parsed
            budget=budget,
            device=device,
            resume=resume,
            success=success,
            settings=dict(settings or ()),
            play_from=play_from,
            progress=progress,
        )
    count = len(agent.levels_info)
    print(f"{out}: an agent of {count} level{'s' * (count > 1)}; `hplan eval {shlex.quote(out)}` measures it")


def evaluate(
    agent: options.Agent,
    task: options.OtherTask = None,
    method: Annotated[
        Literal["hierarchical", "flat", "random", "oracle"] | None,
        typer.Option(
            help="hierarchical: the whole stack (default); flat: level 0 alone, same planner; random: random actions; "
            "oracle: the scripted expert, a ceiling"
        ),
    ] = None,
    levels: options.Levels = None,
    replan: options.Replan = "surprise",
    episodes: options.Episodes = 100,
    seed: Annotated[int, options.seeds("Fixes the episodes: same agent, same seed, same result")] = 0,
    json: options.Json = None,
    records: Annotated[
        str | None, options.file("Write one JSON line per episode there, with the length of its best way")
    ] = None,
    settings: Annotated[
        list[Any] | None,
        options.keys("A setting of the controller or of a planner, such as patience=2; see docs/replanning.md"),
    ] = None,
    workers: options.Workers = 1,
    success: options.Success = None,
) -> None:
    """An agent's success and planning compute on episodes it never saw."""
    from hplan.evaluation.records import write_records
    from hplan.evaluation.result import write_result
    from hplan.evaluation.run import evaluate as run
    from hplan.report.table import result_lines

    _check_writable(json, records)
    player = _load(
        agent,
        levels=levels,
        method="flat" if method == "flat" else "hierarchical",
        replan=replan,
        settings=dict(settings or ()),
    )
    where = _task(player, task, success)
    with Bars() as progress:
        result = run(player, where, episodes=episodes, seed=seed, method=method, workers=workers, progress=progress)
    print("\n".join(result_lines(result)))
    if records:
        write_records(records, result, where)
    if json:  # last: where it lies, all the rest does
        write_result(result, json)


def watch(
    agent: options.Agent,
    task: options.OtherTask = None,
    replan: options.Replan = "surprise",
    seed: Annotated[int, options.seeds("Of the episode: the first that `eval --seed N` plays")] = 0,
    fps: options.Fps = None,
    trace: Annotated[str | None, options.file("Record every step there, for `hplan replay`")] = None,
) -> None:
    """One episode, live: the plan tree beside the world."""
    from hplan.evaluation.episode import trace_episode
    from hplan.evaluation.run import SEEDS
    from hplan.report.live import show
    from hplan.report.trace import record
    from hplan.threads import one_thread

    _check_writable(trace)
    player = _load(agent, replan=replan)
    where = _task(player, task)
    with _world(where) as world, one_thread():
        steps = trace_episode(player, world, seed * SEEDS)  # the first of `hplan eval --seed`
        title = f"{agent} in {where.name}, seed {seed}"
        show(record(steps, trace) if trace else steps, fps=_pace(fps), title=title)


def replay(
    trace: Annotated[str, typer.Argument(metavar="FILE", help="Written by `hplan watch --trace FILE`")],
    fps: options.Fps = None,
) -> None:
    """A recorded trace, step by step."""
    from hplan.report.live import show
    from hplan.report.trace import read_trace

    found = read_trace(trace)
    show(found.steps, fps=_pace(fps), title=trace)
    if found.damage:
        print(f"cut short: {found.damage}")


def plan(
    agent: options.Agent,
    task: options.OtherTask = None,
    seed: Annotated[int, options.seeds("Of the episode, as for watch")] = 0,
    json_: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the tree there")] = None,
) -> None:
    """One plan tree, with nothing executed."""
    from hplan.evaluation.run import SEEDS
    from hplan.files import write_atomically
    from hplan.threads import one_thread

    _check_writable(json_)
    player = _load(agent)
    with _world(_task(player, task)) as world, one_thread():
        start = world.reset(seed=seed * SEEDS)  # the first episode of `hplan eval --seed`
        player.reset(goal=start.goal, seed=seed * SEEDS, context=start.context)
        tree = player.plan(start.observation, start.goal)
        print(world.draw())
        print(tree)
    if json_:
        write_atomically(json_, json.dumps(tree.to_dict(), indent=1) + "\n")


def draw(
    agent: options.Agent,
    out: Annotated[str, options.file("The picture, an SVG file")],
    task: options.OtherTask = None,
    replan: options.Replan = "surprise",
    levels: options.Levels = None,
    episodes: options.Episodes = 5,
    seed: Annotated[int, options.seeds("Of the first episode, as for eval")] = 0,
) -> None:
    """Ways through a maze with the subgoals of every level, as a picture."""
    from hplan.evaluation.paths import follow
    from hplan.evaluation.run import SEEDS
    from hplan.files import write_atomically
    from hplan.report.paths import paths_figure
    from hplan.threads import one_thread

    _check_writable(out)
    player = _load(agent, replan=replan, levels=levels)
    where = _task(player, task)
    paths = []
    with _world(where) as world, one_thread(), Bars() as progress:
        for i in range(episodes):
            paths.append(follow(player, world, seed * SEEDS + i))
            progress("episodes", i + 1, episodes)
    solved = sum(path.success for path in paths)
    write_atomically(out, paths_figure(paths, f"{where.name}: {solved} of {len(paths)} episodes solved"))
    print(f"{out}: {solved} of {len(paths)} episodes solved")


def inspect(
    agent: options.Agent,
    task: options.OtherTask = None,
    steps: Annotated[int, options.number("Of fresh play to measure on")] = 20_000,
    seed: Annotated[int, options.seeds("Of that play; same agent, same seed, same figures")] = 0,
    json_: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write all figures there")] = None,
    report: Annotated[str | None, options.file("Write a page with plots there")] = None,
) -> None:
    """What each level learned: collapse, time scales, errors, thresholds."""
    from rich.console import Console

    from hplan.evaluation.inspection import inspect as look
    from hplan.evaluation.inspection import write_inspection
    from hplan.registry import agent_path
    from hplan.report.inspection import inspection_lines, inspection_table, verdict_lines
    from hplan.report.inspection_page import write_inspection_page
    from hplan.threads import one_thread
    from hplan.training.learn import CURVES

    _check_writable(json_, report)
    player = _load(agent)
    with Bars() as progress, one_thread():
        found = look(player, _task(player, task), steps=steps, seed=seed, progress=progress)
    print("\n".join(inspection_lines(found)))
    Console(width=None if sys.stdout.isatty() else 132).print(inspection_table(found))
    print("\n".join(verdict_lines(found)))
    file = agent_path(agent) / CURVES
    curves = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for stage, curve in curves.items():
        last = "  ".join(f"{name} {value:.4g}" for name, value in curve[-1].items())
        print(f"{stage}: at the end of training {last}")
    if json_:
        write_inspection(found, json_)
    if report:
        write_inspection_page(report, found, curves)


def doctor() -> None:
    """What is installed, and what will run where."""
    from hplan.doctor import examine

    for line in examine():
        print(line)


def _pace(fps: int | None) -> float | None:
    """Paced for eyes on a terminal; as fast as it comes where a file or a pipe is written."""
    return fps or (FPS if sys.stdout.isatty() else None)


def _check_writable(*files: str | None) -> None:
    for file in filter(None, files):
        check_writable(file)


@contextmanager
def _world(task: TaskConfig) -> Iterator[World]:
    from hplan.registry import make_world

    world = make_world(task, split="eval")
    try:
        yield world
    finally:
        world.close()


def _load(agent: str, **settings: Any) -> Agent:
    from hplan.agent import load

    return load(agent, **settings)


def _task(agent: Agent, name: str | None, success: Literal["auto", "terminated"] | None = None) -> TaskConfig:
    """The task of that name, or else the agent's own; the rule of success is the one given, or else the agent's."""
    from hplan.registry import load_task

    return load_task(name or agent.task, success or agent.stack.success_rule)
