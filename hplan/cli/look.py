"""Commands that look: at what there is, at an episode, at a plan, at ways through a maze."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from hplan.cli import options
from hplan.cli.progress import Bars
from hplan.files import check_writable

if TYPE_CHECKING:
    from hplan.config import TaskConfig
    from hplan.worlds.split import SplitEnv

FPS = 5  # steps a second on a terminal


def list_all() -> None:
    """Tasks, experiments, trained and shipped agents."""
    from hplan import parts, registry
    from hplan.cli.experiments import engine, in_checkout

    found = engine().find_experiments() if in_checkout() else {}
    _section("tasks", [*registry.task_names(), "gym:ENV-ID for any registered Gymnasium environment"])
    _section("shipped agents", list(registry.shipped_agents()))
    _section("trained agents, below runs/", [str(folder) for folder in registry.trained_agents()])
    _section("experiments", [f"{name}: {one.question}" for name, one in found.items()])
    _section(
        "parts by name, beside MODULE:NAME",
        [f"{kind}: {', '.join(parts.names(kind)) or '(none built in)'}" for kind in parts.CHOSEN],
    )


def _section(title: str, lines: list[str]) -> None:
    print(title)
    print("".join(f"  {line}\n" for line in lines or ["(none)"]))


def watch(
    agent: options.AgentName,
    task: options.OtherTask = None,
    replan: options.Replan = "surprise",
    seed: Annotated[int, options.seeds("Of the episode: the first that `eval --seed N` plays")] = 0,
    fps: options.Fps = None,
    trace: Annotated[str | None, options.file("Record every step there, for `hplan replay`")] = None,
    save: Annotated[
        str | None, options.file("Write FILE.gif, FILE.mp4, or FILE.png: a film strip (extra `viz`)")
    ] = None,
    track: options.Track = None,
    planner: options.Planner = "auto",
    forbid: options.Forbid = None,
) -> None:
    """One episode, live: the plan tree beside the world."""
    from hplan.agent import load
    from hplan.evaluation.episode import trace_episode
    from hplan.evaluation.run import SEEDS
    from hplan.report.live import show
    from hplan.report.tensorboard import check
    from hplan.report.trace import record
    from hplan.threads import one_thread

    check_writable(trace, save)
    check(track)
    player = load(agent, replan=replan, planner=planner, forbid=forbid or ())
    where = options.task_of(player, task)
    title = f"{agent} in {where.name}, seed {seed}"
    with _world(where) as world, one_thread():
        steps = trace_episode(player, world, seed * SEEDS)  # the first of `hplan eval --seed`
        if trace:
            steps = record(steps, trace)
        if track:
            from hplan.report.tensorboard import write_episode

            steps = write_episode(track, steps)
        if save:
            from hplan.report.video import save_video

            print(save_video(steps, save, fps=fps or FPS, title=title))
        else:
            show(steps, fps=_pace(fps), title=title)


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
    agent: options.AgentName,
    task: options.OtherTask = None,
    seed: Annotated[int, options.seeds("Of the episode, as for watch")] = 0,
    json_: Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the tree there")] = None,
    forbid: options.Forbid = None,
) -> None:
    """One plan tree, with nothing executed."""
    from hplan.agent import load
    from hplan.evaluation.run import SEEDS
    from hplan.files import write_atomically
    from hplan.threads import one_thread

    check_writable(json_)
    player = load(agent, forbid=forbid or ())
    with _world(options.task_of(player, task)) as world, one_thread():
        observation, info = world.reset(seed=seed * SEEDS)  # the first episode of `hplan eval --seed`
        player.reset(goal=info.get("goal"), seed=seed * SEEDS, context=info.get("context"))
        tree = player.plan(observation)
        print(world.render())
        print(tree)
    if json_:
        write_atomically(json_, json.dumps(tree.to_dict(), indent=1) + "\n")


def draw(
    agent: options.AgentName,
    out: Annotated[str, options.file("The picture, an SVG file")],
    task: options.OtherTask = None,
    replan: options.Replan = "surprise",
    levels: options.Levels = None,
    episodes: options.Episodes = 5,
    seed: Annotated[int, options.seeds("Of the first episode, as for eval")] = 0,
) -> None:
    """Ways through a maze with the subgoals of every level, as a picture."""
    from hplan.agent import load
    from hplan.evaluation.paths import follow
    from hplan.evaluation.run import SEEDS
    from hplan.files import write_atomically
    from hplan.report.path_figure import paths_figure
    from hplan.threads import one_thread

    check_writable(out)
    player = load(agent, replan=replan, levels=levels)
    where = options.task_of(player, task)
    paths = []
    with _world(where) as world, one_thread(), Bars() as progress:
        for i in range(episodes):
            paths.append(follow(player, world, seed * SEEDS + i))
            progress("episodes", i + 1, episodes)
    solved = sum(path.success for path in paths)
    write_atomically(out, paths_figure(paths, f"{where.name}: {solved} of {len(paths)} episodes solved"))
    print(f"{out}: {solved} of {len(paths)} episodes solved")


def doctor() -> None:
    """What is installed, and what will run where."""
    from hplan.doctor import examine

    for line in examine():
        print(line)


def _pace(fps: int | None) -> float | None:
    """Paced for eyes on a terminal; as fast as it comes where a file or a pipe is written."""
    return fps or (FPS if sys.stdout.isatty() else None)


@contextmanager
def _world(task: TaskConfig) -> Iterator[SplitEnv]:
    from hplan.registry import make_world

    world = make_world(task, split="eval")
    try:
        yield world
    finally:
        world.close()
